"""Writes the systemd unit of a server. Knows nothing of where units lie or of systemctl.

The words are those of systemd.exec(5), systemd.service(5) and systemd.resource-control(5), as of
version 252. `systemd-analyze security` gives the system's unit an exposure of about 1 of 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldpack import InputError

STATE_FOLDER = "/var/lib/fieldpack-service"  # of a system's service: STATE/NAME; systemd makes it
# Private networks and link-local addresses: who may reach a server on a local network.
_LAN = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 fe80::/10 fc00::/7"
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_TMP = (Path("/tmp"), Path("/var/tmp"))

# What needs no privileges to be switched on, so that a user's own service has it too.
_FOR_ALL = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
UMask=0077
"""
_FOR_THE_SYSTEM = """\
ProtectSystem=strict
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RemoveIPC=yes
CapabilityBoundingSet=
AmbientCapabilities=
"""


@dataclass(frozen=True, slots=True)
class Service:
    """What a unit is written for. `command`: the program and what it needs before `serve`.
    `bundles`: folders, or names of installed bundles. `key_file`: holds the server's key.
    `options`: more of `fieldpack serve`. `store`: of installed bundles, None where none is served;
    the service then runs as its `owner` and may write to it. `for_user`: a service of one user
    alone. `devices`: whether it may use a GPU or an NPU; `groups`: to whom those belong."""

    name: str
    command: tuple[str, ...]
    bundles: tuple[str, ...]
    port: int
    key_file: Path
    options: tuple[str, ...] = ()
    store: Path | None = None
    owner: str = ""
    for_user: bool = False
    lan: bool = False
    devices: bool = False
    groups: tuple[str, ...] = ()

    @property
    def unit_name(self) -> str:
        """The unit's file name."""
        return f"{self.name}.service"


def unit_text(service: Service) -> str:
    """Return the unit's text. Raises InputError where a path cannot stand in one.

    A server of plain HTTP listens on the loopback of this machine, so it has no network namespace of
    its own (PrivateNetwork): in that nobody could reach it. The kernel drops all other packets
    instead, in and out (IPAddressDeny)."""
    # %S is not ~/.local/state in versions before 254, so a user's service takes the default.
    state = [] if service.for_user else ["--state", f"{STATE_FOLDER}/{service.name}"]
    arguments = [
        *service.command,
        "serve",
        *service.bundles,
        "--port",
        str(service.port),
        "--token-file",
        "%d/key",
        *state,
        # A code belongs on a terminal, not into the journal.
        *(["--lan", "--pair-minutes", "0"] if service.lan else []),
        *service.options,
    ]
    lines = [
        "# Written by `fieldpack service install`; `fieldpack service remove` takes it away.",
        "[Unit]",
        f"Description=Fieldpack: {_plain(' '.join(Path(one).name for one in service.bundles))}",
        "Documentation=man:systemd.exec(5)",
        *(["Wants=network-online.target", "After=network-online.target"] if service.lan else []),
        "StartLimitIntervalSec=300",
        "StartLimitBurst=5",
        "",
        "[Service]",
        "Type=exec",
        "ExecStart=" + " ".join(_quoted(one) for one in arguments),
        f"LoadCredential=key:{_plain(service.key_file)}",
        "Environment=PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1",
        *([f"Environment={_quoted(f'FIELDPACK_STORE={service.store}')}"] if service.store else []),
        "StandardOutput=journal",
        "StandardError=journal",
        f"SyslogIdentifier={service.name}",
        "# After a crash, and after the kernel ended it for want of memory; not after an error that",
        "# comes again: 2 usage, 3 the bundle, 4 an input.",
        "Restart=on-failure",
        "RestartSec=5",
        "RestartPreventExitStatus=2 3 4",
        "TimeoutStopSec=30",
        "OOMScoreAdjust=500",
        "LimitNOFILE=4096",
        "",
        # Netlink tells a server of the local network its addresses.
        f"RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX{' AF_NETLINK' if service.lan else ''}",
        *_FOR_ALL.splitlines(),
    ]
    if not service.for_user:
        lines += _system_lines(service)
    target = "default.target" if service.for_user else "multi-user.target"
    return "\n".join([*lines, "", "[Install]", f"WantedBy={target}", ""])


def _system_lines(service: Service) -> Sequence[str]:
    """Return the lines that only the system's own manager can obey. Raises InputError."""
    read = [service.command[0], *service.bundles, *([str(service.store)] if service.store else [])]
    if hidden := [one for one in read for tmp in _TMP if Path(one).is_relative_to(tmp)]:
        raise InputError(f"{hidden[0]}: the service has a /tmp of its own; move it, to /opt say")
    in_home = any(Path(one).is_relative_to(folder) for one in read for folder in _HOMES)
    home = "read-only" if in_home else "yes"
    if in_home and service.store:  # a start is written down in the store
        home = "no"
    user = f"User={_plain(service.owner)}" if service.owner else "DynamicUser=yes"
    return [
        user,
        f"StateDirectory={Path(STATE_FOLDER).name}/{service.name}",
        "StateDirectoryMode=0700",
        *([f"ReadWritePaths={_quoted(str(service.store))}"] if service.store else []),
        f"ProtectHome={home}",
        f"PrivateDevices={'no' if service.devices else 'yes'}",
        *([f"SupplementaryGroups={' '.join(service.groups)}"] if service.groups else []),
        *_FOR_THE_SYSTEM.splitlines(),
        "IPAddressDeny=any",
        f"IPAddressAllow=localhost{' ' + _LAN if service.lan else ''}",
    ]


def _plain(text: object) -> str:
    """Return text for a value that is not split into words. Raises InputError."""
    if any(ord(letter) < 32 for letter in str(text)):
        raise InputError(f"{str(text)!r}: control characters cannot stand in a unit; rename it")
    return str(text).replace("%", "%%")


def _quoted(word: str) -> str:
    """Return a word of a command line or a list as systemd reads it back. Raises InputError."""
    if word == "%d/key":
        return word  # systemd's own: the folder of credentials
    text = _plain(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return (
        text if text.replace("/", "").replace("-", "").replace(".", "").isalnum() else f'"{text}"'
    )
