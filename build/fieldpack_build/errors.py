"""Every error the build raises, as one tree, with the exit code that `build` ends with.

    FieldpackError (runtime)
    └── BuildError                 exit code 1
        ├── RecipeError            exit code 5   the YAML: unknown, missing, mistyped, out of range
        ├── DocumentError          exit code 6   no documents, or a broken one under `on_error:
                                   fail`
        ├── DataError              exit code 6   training rows or test questions
        ├── SourceError            exit code 7   a model: not found, wrong hash, no network,
                                   incomplete
        ├── StageError             exit code 8   a stage failed or its child process died
        │   ├── CheckFailed                      a stage's own proof failed (parity, weights
            unmoved, ...)
        │   ├── ProcessKilled                    SIGKILL: the kernel's, where memory runs out, or
            somebody's
        │   └── LibraryError                     a library said no, in words of its own that are
            quoted
        ├── GateMissed             exit code 9   the measured expert is worse than the recipe allows
        ├── MachineError           exit code 10  no GPU, no disk space left, the cache is in use or
                                   cannot be written
        ├── OutputExists           exit code 11  the output folder holds something that is not ours
                                   to replace

Exit code 2 is a wrong command line, 130 an interruption by Ctrl-C.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from fieldpack.errors import FieldpackError


def suggest(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean x?)" for the known word that is closest, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


class BuildError(FieldpackError):
    """Anything that stops a build; `exit_code` is what `build` ends with."""

    exit_code = 1


class RecipeError(BuildError):
    """The recipe is wrong. `problems` holds one line for each thing that is, all found in one
    reading."""

    exit_code = 5

    def __init__(self, problems: list[str] | str) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class DocumentError(BuildError):
    """There are no documents, or one is broken and the recipe says `on_error: fail`."""

    exit_code = 6


class DataError(BuildError):
    """Training rows or test questions cannot be used."""

    exit_code = 6


class SourceError(BuildError):
    """A model cannot be had: not found, wrong hash, no network, incomplete."""

    exit_code = 7


class StageError(BuildError):
    """A stage failed, or its process died."""

    exit_code = 8


class CheckFailed(StageError):
    """A stage's own proof failed: parity, weights that did not move, limits."""


class ProcessKilled(StageError):
    """A stage's process was killed: by the kernel where memory ran out, or by somebody."""


class LibraryError(StageError):
    """A library said no, in words of its own that are quoted."""


class GateMissed(BuildError):
    """The measured expert is worse than the recipe allows."""

    exit_code = 9


class MachineError(BuildError):
    """This machine is at fault: no GPU, no disk space, a cache in use or not writable."""

    exit_code = 10


class OutputExists(BuildError):
    """The output folder holds something that is not ours to replace."""

    exit_code = 11


class SigningError(BuildError):
    """A key is missing, wrong or void, or what it should sign is not whole."""

    exit_code = 12
