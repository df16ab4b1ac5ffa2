"""Every error the runtime raises, as one tree. An error says what, where, and the next step.

FieldpackError                 exit code 1
├── BundleError                exit code 3   the bundle on disk
│   ├── BundleNotFound             no folder, or a folder without manifest.json
│   ├── BundleCorrupt              a file is changed, missing, truncated, or extra
│   └── BundleUnsupported          written for another schema, or wants what this device lacks
├── QuestionError              exit code 4   what was asked
│   ├── EmptyQuestion
│   ├── QuestionTooLong
│   └── NoSuchPassage              an id that the bundle's library does not have
├── EngineFailed               exit code 1   the model's engine gave up while it read or wrote
├── OutOfMemory                exit code 1   this machine had too little memory for what was to be done
├── Cancelled                  exit code 130 the caller stopped the answer
└── InputError                 exit code 4   a batch file, or another input of a command
"""

from __future__ import annotations


class FieldpackError(Exception):
    """Base of all errors with a sentence for the user; `exit_code` is what a command ends with."""

    exit_code = 1


class BundleError(FieldpackError):
    """Something is wrong with the bundle on disk."""

    exit_code = 3


class BundleNotFound(BundleError):
    """There is no bundle at the path."""


class BundleCorrupt(BundleError):
    """A file of the bundle is changed, missing, truncated, or extra."""


class BundleUnsupported(BundleError):
    """The bundle has another schema, or needs what this device lacks."""


class QuestionError(FieldpackError):
    """The question, or what came with it, cannot be answered as it is."""

    exit_code = 4


class EmptyQuestion(QuestionError):
    """The question has no text."""


class QuestionTooLong(QuestionError):
    """The question is longer than the bundle takes."""


class InputError(FieldpackError):
    """A batch file, or another input of a command, cannot be used."""

    exit_code = 4


class NoSuchPassage(QuestionError):
    """The library has no passage with this id."""


class EngineFailed(FieldpackError):
    """The language model's engine gave up while it read or wrote."""


class OutOfMemory(FieldpackError):
    """This machine, or the limit set for the process, has too little memory. It says nothing of the
    bundle: with more memory the same call may succeed."""


class Cancelled(FieldpackError):
    """The caller stopped the answer."""

    exit_code = 130
