"""What an exception that none of our code expected means to the one who builds: this machine is at
fault (no space, too many open files, a cache that cannot be written), or a library says no. Knows
nothing of stages or processes."""

from __future__ import annotations

import errno
import re
import resource
import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from .errors import BuildError, LibraryError, MachineError, StageError

_WORDS = 300  # characters of a library's last words that are quoted
_OURS = frozenset(("fieldpack", "fieldpack_build", "fieldpack_app", "__main__"))
NO_SPACE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_TOO_MANY_FILES = frozenset((errno.EMFILE, errno.ENFILE))
_NOT_WRITABLE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))
# How those say it that do not raise an OSError with its number: safetensors ("os error 28"),
# sqlite, numpy's tofile ("805306368 requested and 12288 written"), torch.save, and any process
# whose standard error is all that is left of it.
_FULL_WORDS = re.compile(
    r"No space left on device|\(os error 28\)|Disk quota exceeded|File too large|database or disk "
    r"is full"
    r"|\d+ requested and \d+ written|PytorchStreamWriter failed writing|unexpected pos \d+ vs \d+"
)
_FULL_BELOW = 1 << 20  # bytes: less than a log and a receipt take


def disk_is_full(words: str) -> bool:
    """Whether the last words of a library or of a process say that the disk took no more."""
    return _FULL_WORDS.search(words) is not None


def has_room(folder: Path) -> bool:
    """Whether the disk of `folder` still takes a small file: a process that died there without a
    word may have found none."""
    return shutil.disk_usage(folder).free >= _FULL_BELOW


def no_space(place: Path | str, words: str = "") -> MachineError:
    """Return the error for a full disk; `words`: how the one who found it full said so."""
    quoted = f" ({_short(words)})" if words else ""
    return MachineError(
        f"{place}: no space left on the disk{quoted}; `build clean` frees what interrupted builds "
        "left, --cache names another "
        "folder; then run the same command to go on"
    )


def as_build_error(error: BaseException, *, cache: Path, log: Path | None = None) -> BuildError:
    """Return the error of ours that says what `error` means; `log`: where its traceback is.

    MachineError for a full disk, memory, too many open files, a file below `cache` that cannot be
    written and a package that is not installed; else LibraryError, which names the library and
    quotes it, or StageError where our own code failed."""
    if isinstance(error, BuildError):
        return error
    for one in _chain(error):
        if (machine := _of_machine(one, cache)) is not None:
            return machine
    more = f"; the whole traceback is in {log}" if log else ""
    said = f'{type(error).__name__}: "{_short(str(error)) or "no word"}"'
    library = _library(error)
    if library is None:
        return StageError(
            f"Fieldpack itself failed with {said} at {_place(error)}{more}; please report it with "
            "that file"
        )
    return LibraryError(
        f"{library} ended it with {said}{more}; if these words do not say what to change, report "
        "it with that file"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it was raised from or while handling, the outermost first."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _of_machine(error: BaseException, cache: Path) -> MachineError | None:
    if isinstance(error, MemoryError):
        why = _short(str(error)) or "MemoryError"
        return MachineError(
            f"memory ran out ({why}); close other programs, or take a larger machine"
        )
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] not in _OURS:
        return MachineError(
            f"{error.name} is not installed; the build server needs `pip install fieldpack[build]`"
        )
    number = error.errno if isinstance(error, OSError) else None
    name = str(error.filename) if isinstance(error, OSError) and error.filename is not None else ""
    if number in NO_SPACE or (number is None and disk_is_full(str(error))):
        return no_space(name or cache, "" if number == errno.ENOSPC else str(error))
    if number in _TOO_MANY_FILES:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return MachineError(
            f"too many open files ({limit:,} are allowed at once); raise the limit: ulimit -n "
            f"{4 * limit}"
        )
    if number in _NOT_WRITABLE and name and Path(name).absolute().is_relative_to(cache.absolute()):
        return MachineError(
            f"{error}; the cache must be writable: name another folder with --cache"
        )
    return None


def _library(error: BaseException) -> str | None:
    """Return the package whose code raised: that of the innermost frame outside of ours and of the
    standard library, as a library that calls `json.loads` is at fault and not json. Where our own
    frame is the innermost, native code may have raised: then the exception's class tells, if it is
    the library's own. None where nothing but our code was at work."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        top = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if top in _OURS:
            break
        if top and top not in sys.stdlib_module_names:
            return top
    top = type(error).__module__.partition(".")[0]
    return None if top in _OURS or top in sys.stdlib_module_names else top


def _place(error: BaseException) -> str:
    """Return module and line of the innermost frame of ours."""
    frames = [
        (frame.f_globals.get("__name__", "?"), line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    ours = [(name, line) for name, line in frames if str(name).partition(".")[0] in _OURS] or [
        ("?", 0)
    ]
    return f"{ours[-1][0]}:{ours[-1][1]}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WORDS else line[: _WORDS - 1] + "…"
