"""What can go wrong when releases are installed, as branches of the runtime's tree.

FieldpackError
├── BundleError                exit code 3
│   ├── NotTrusted                 a signature, a threshold, a key, other bytes than those signed
│   │   └── Older                  older than what this device has seen: an old stick, or a replay
│   ├── Withdrawn                  the release was recalled by those who made it
│   ├── NotInstalled               no release of this name on this device
│   └── Unhealthy                  the new release does not open or answer here; the old one stays
├── InputError                 exit code 4
│   └── SourceFailed               the stick or server: not there, cut off, a file missing
└── StoreFailed                exit code 1   the device: no room, a file system that cannot hold a
                                             store, in use
"""

from __future__ import annotations

from fieldpack import BundleError, FieldpackError, InputError


class NotTrusted(BundleError):
    """What a source offers is not signed as this device wants it, or differs from what was
    signed."""


class Older(NotTrusted):
    """A source's signed metadata is older than what this device has seen."""


class Withdrawn(BundleError):
    """The release was recalled by those who made it."""


class NotInstalled(BundleError):
    """No release of this name is installed on this device."""


class Unhealthy(BundleError):
    """The new release does not open or answer on this device; the old one stays."""


class SourceFailed(InputError):
    """The stick or the server is not there, was cut off, or lacks a file."""


class StoreFailed(FieldpackError):
    """The device cannot hold the store: no room, the wrong file system, or in use."""
