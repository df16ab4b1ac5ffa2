"""One-time codes that let a device in: eight digits, good for a few minutes, for one device and for
five tries in all. Another command may make the code that a running server takes. Knows nothing of
HTTP.

Five guesses at 10^8 codes find one in twenty million. Who guesses all the same uses a code up, and
the owner makes another one."""

from __future__ import annotations

import json
import re
import secrets
import time
from dataclasses import asdict, dataclass
from hmac import compare_digest
from pathlib import Path
from typing import Literal

from fieldpack.untrusted import typed

from ..state import locked, read_regular, write_private

TRIES = 5
_FILE = "pairing.json"
_DIGITS = 8


Reason = Literal["none_open", "damaged", "expired", "wrong", "used_up"]


class PairingRefused(Exception):
    """A code that lets nobody in; the message says why. `reason`: the same for a program. `left`:
    how many tries are left of a code that was not given."""

    def __init__(self, reason: Reason, message: str, *, left: int = 0) -> None:
        super().__init__(message)
        self.reason = reason
        self.left = left


@dataclass(frozen=True, slots=True)
class _Code:
    """A code as it is kept. `opened`: when, in seconds since 1970."""

    code: str
    opened: int
    seconds: int
    tries: int


def open_pairing(folder: Path, *, seconds: int) -> str:
    """Make a code, in place of any other, and return it as "1234-5678". Raises OSError."""
    code = "".join(secrets.choice("0123456789") for _ in range(_DIGITS))
    with locked(folder):
        _write(folder, _Code(code, int(time.time()), seconds, TRIES))
    return f"{code[:4]}-{code[4:]}"


def redeem(folder: Path, text: str) -> None:
    """Use the code up if `text` is it; spaces and dashes do not count. A wrong one costs a try,
    which is on the disk before the codes are compared. Raises PairingRefused, OSError."""
    typed_digits = re.sub(r"[\s-]", "", text)
    with locked(folder):
        try:
            code = typed(_Code, json.loads(read_regular(folder / _FILE)))
        except FileNotFoundError:
            raise PairingRefused(
                "none_open", "no code is open; make one with `fieldpack keys pair`"
            ) from None
        except (ValueError, TypeError):
            (folder / _FILE).unlink()
            raise PairingRefused("damaged", "the code is damaged; make another one") from None
        # Also where the clock was set back: else a code would live on.
        if not 0 <= time.time() - code.opened < code.seconds:
            (folder / _FILE).unlink()
            raise PairingRefused(
                "expired", "the code has expired; make another one: `fieldpack keys pair`"
            )
        left = code.tries - 1
        _write(folder, _Code(code.code, code.opened, code.seconds, left))
        right = compare_digest(code.code.encode(), typed_digits.encode("utf-8", "replace"))
        if right or left <= 0:
            (folder / _FILE).unlink()
        if not right and left <= 0:
            raise PairingRefused("used_up", "that is not the code; it is used up: make another one")
        if not right:
            raise PairingRefused("wrong", f"that is not the code; tries left: {left}", left=left)


def _write(folder: Path, code: _Code) -> None:
    write_private(folder / _FILE, json.dumps(asdict(code)).encode())
