"""The addresses of this machine on its networks, asked of the kernel. Sends nothing."""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import closing
from ipaddress import IPv4Address

_SIOCGIFADDR = 0x8915  # netdevice(7)
_NAME_BYTES = 16  # IFNAMSIZ
_ELSEWHERE = ("10.255.255.255", 9)  # a UDP socket that is connected has sent nothing yet


def own_addresses() -> list[IPv4Address]:
    """Return the IPv4 addresses that others can reach, those of private networks first."""
    addresses = []
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asking:
        if sys.platform != "linux":  # the one address by which it would speak to its network
            try:
                asking.connect(_ELSEWHERE)
            except OSError:
                return []
            return [IPv4Address(asking.getsockname()[0])]
        import fcntl  # of Linux alone

        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[: _NAME_BYTES - 1])
            try:
                answer = fcntl.ioctl(asking, _SIOCGIFADDR, request)
            except OSError:
                continue  # an interface without an address
            addresses.append(IPv4Address(answer[20:24]))
    usable = [one for one in addresses if not one.is_loopback and not one.is_unspecified]
    return sorted(usable, key=lambda one: (one.is_link_local, not one.is_private))


def local_name() -> str:
    """Return the name that this machine has by mDNS, where that runs: "kitchen.local"."""
    return f"{socket.gethostname().partition('.')[0].lower()}.local"
