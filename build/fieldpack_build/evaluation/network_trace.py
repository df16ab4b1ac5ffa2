"""What a command asks of the system, watched from outside with strace: network calls, names looked
up, files written. Knows nothing of bundles or of what the command does."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

_WATCHED = "%network,%file,io_uring_setup"
# io_uring can reach the network past all other calls: a process that sets it up is not silent.
_NETWORK = frozenset(
    (
        "socket socketpair bind listen accept accept4 connect getsockname getpeername getsockopt "
        "setsockopt shutdown send sendto "
        "sendmsg sendmmsg recv recvfrom recvmsg recvmmsg socketcall io_uring_setup"
    ).split()
)
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+|\?)")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")
_CHANGING = frozenset(
    (
        "creat mkdir mkdirat rename renameat renameat2 unlink unlinkat rmdir link linkat symlink "
        "symlinkat mknod mknodat "
        "truncate chmod fchmodat chown lchown fchownat utime utimes utimensat setxattr lsetxattr"
    ).split()
)
_OPENING = frozenset(("open", "openat", "openat2"))
_LOOKING_UP = frozenset(
    ("/etc/resolv.conf", "/etc/hosts", "/etc/gai.conf", "/run/systemd/resolve/stub-resolv.conf")
)
_NOWHERE = (Path("/dev"), Path("/proc"))


@dataclass(frozen=True, slots=True)
class Trace:
    """`network`: the calls as strace writes them. `looked_up`: files that only a name look-up
    reads. `written`: paths opened for writing, made, renamed or removed outside of what was
    allowed. `calls` and `threads`: how much was watched."""

    tool: str
    command: tuple[str, ...]
    returncode: int
    output: str
    errors: str
    network: tuple[str, ...]
    looked_up: tuple[str, ...]
    written: tuple[str, ...]
    calls: int
    threads: int

    @property
    def silent(self) -> bool:
        """Whether the command asked for nothing that it should not."""
        return not (self.network or self.looked_up or self.written)


@cache
def find_strace() -> tuple[str | None, str]:
    """Return strace's version and "", or None and why nothing can be watched here."""
    strace = shutil.which("strace")
    if strace is None:
        return None, "strace is missing"
    trial = subprocess.run(
        [strace, "-f", "-qq", "-o", "/dev/null", "true"], capture_output=True, text=True
    )
    if trial.returncode:  # a container that forbids ptrace
        return None, f"strace may not watch here ({' '.join(trial.stderr.split())[:200]})"
    output = subprocess.run([strace, "--version"], capture_output=True, text=True).stdout
    number = re.search(r"version ([\w.]+)", output)
    return f"strace {number[1] if number else ''}".strip(), ""


def trace(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    allowed: Sequence[Path] = (),
    stdin: str | None = None,
    meanwhile: Callable[[subprocess.Popen[str]], None] | None = None,
    timeout: float = 600,
) -> Trace:
    """Run a command to its end and say what it asked for. `allowed`: folders that it may write to;
    /dev and /proc always are. `stdin`: its standard input. `meanwhile`: called once it runs, to
    talk to it and to end it. Python's own cache of compiled modules is left away, as installed
    packages bring theirs. Raises RuntimeError where nothing can be watched, subprocess's
    TimeoutExpired after `timeout` seconds."""
    strace, why = find_strace()
    if strace is None:
        raise RuntimeError(why)
    with tempfile.TemporaryDirectory(prefix="fieldpack-trace-") as folder:
        options = ["-ff", "-qq", "-s", "4096", "-e", f"trace={_WATCHED}", "-o", f"{folder}/t"]
        process = subprocess.Popen(
            ["strace", *options, *command],
            env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            if meanwhile is not None:
                meanwhile(process)
            output, errors = process.communicate(stdin, timeout)
        finally:
            _end(process)
        logs = [
            path.read_text(encoding="utf-8", errors="replace")
            for path in sorted(Path(folder).iterdir())
        ]
    lines = [line for log in logs for line in log.splitlines()]
    paths = set(_paths(lines))
    return Trace(
        strace,
        tuple(command),
        process.returncode,
        output,
        errors,
        network=tuple(network_calls(lines)),
        looked_up=tuple(sorted({path for path, _ in paths if path in _LOOKING_UP})),
        written=tuple(
            sorted(path for path, writes in paths if writes and not _within(path, allowed))
        ),
        calls=len(lines),
        threads=len(logs),
    )


def _end(process: subprocess.Popen[str]) -> None:
    """strace that is killed leaves what it watched running; its group ends all."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def network_calls(lines: Sequence[str]) -> list[str]:
    """Return the lines that are network calls, failed ones too: what was tried was meant."""
    return [line for line in lines if line.partition("(")[0] in _NETWORK]


def _paths(lines: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Each path of a call that succeeded, and whether something is written there."""
    for line in lines:
        call = _CALL.match(line)
        if call is None or call[1] not in _OPENING | _CHANGING or call[3].startswith("-"):
            continue
        writes = call[1] in _CHANGING or _WRITING.search(_STRING.sub("", call[2])) is not None
        for text in _STRING.findall(call[2]):
            # strace writes what is not ASCII as octal escapes of its bytes.
            escaped = text.encode("latin-1", "replace").decode("unicode_escape")
            yield escaped.encode("latin-1", "replace").decode("utf-8", "replace"), writes


def _within(path: str, allowed: Sequence[Path]) -> bool:
    full = PurePosixPath(path if path.startswith("/") else Path.cwd() / path)
    return any(full.is_relative_to(folder) for folder in (*_NOWHERE, *allowed))
