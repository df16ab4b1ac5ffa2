"""Looks through a folder for documents: which there are, and what is passed over and why. Opens no
file.

Knows formats by their suffix only, which the caller gives.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fieldpack_build.documents.pages import Skipped

EVERYTHING = ("**/*",)
# Documents to a person, but to no reader of ours: named one by one. What else is there, pictures or
# programs, is counted by suffix.
_SAVE_AS = {
    ".doc": ".docx",
    ".dot": ".docx",
    ".wpd": ".docx",
    ".pages": ".docx",
    ".xls": ".xlsx",
    ".xlsb": ".xlsx",
    ".numbers": ".xlsx",
    ".ppt": ".pptx",
    ".pps": ".pptx",
    ".key": ".pptx",
    ".msg": ".eml",
    ".mht": ".html",
    ".mhtml": ".html",
    ".djvu": ".pdf",
    ".xps": ".pdf",
    ".ps": ".pdf",
    ".zim": ".html",
    ".mobi": ".epub",
    ".azw3": ".epub",
    ".fb2": ".epub",
    ".chm": ".html",
    ".pst": ".mbox",
    ".ost": ".mbox",
    ".one": ".docx",
    ".vsd": ".pdf",
    ".vsdx": ".pdf",
    ".pub": ".pdf",
    ".tex": ".pdf",
}
# Hidden files, and the marks that Office and LibreOffice leave beside a document that is open.
_PASSED_OVER = (".", "~$")
_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is in a folder: `paths` and `skipped` are sorted by path.

    `other_formats` counts, by suffix, the files that are no documents. `names`: what each of
    `paths` is called in the library.
    """

    paths: list[Path]
    skipped: list[Skipped]
    other_formats: dict[str, int] = field(default_factory=dict)
    names: dict[Path, str] = field(default_factory=dict)


def survey(
    folder: Path, *, suffixes: Collection[str], include: Sequence[str], max_file_mb: int
) -> Survey:
    """Return the files below `folder` with one of `suffixes` that a pattern of `include` matches,
    and those that cannot be read.

    Patterns are relative to `folder`: `*` and `?` within a name, `**/` for any number of folders.
    Hidden files and folders are passed over without a word. A link to a file inside is a document
    of its own; one to a folder inside is not followed, as what is in it is met on its own path.
    """
    search = _Search(folder, frozenset(suffixes), matcher(include), max_file_mb)
    search.run()
    paths = [search.paths[relative] for relative in sorted(search.paths)]
    skipped = [
        Skipped(relative, f"{relative}: {search.skipped[relative]}")
        for relative in sorted(search.skipped)
    ]
    names = {path: relative for relative, path in search.paths.items()}
    return Survey(paths, skipped, dict(sorted(search.others.items())), names)


def survey_file(path: Path, *, suffixes: Collection[str], max_file_mb: int) -> Survey:
    """Return one file that is named outright: a document of its own name, or skipped and why."""
    suffix = path.suffix.lower()
    reason = ""
    if suffix not in suffixes:
        instead = _SAVE_AS.get(suffix)
        reason = f"no reader for {suffix or 'a file without suffix'}" + (
            f"; save it as {instead}" if instead else ""
        )
    elif path.stat().st_size > max_file_mb * _MB:
        reason = (
            f"has {path.stat().st_size / _MB:,.0f} MB, over the {max_file_mb} of "
            "knowledge.max_file_mb"
        )
    if reason:
        return Survey(
            [],
            [Skipped(path.name, f"{path.name}: {reason}")],
            {} if suffix in _SAVE_AS else {suffix or "(none)": 1},
        )
    return Survey([path], [], {}, {path: path.name})


def together(surveys: Sequence[Survey], prefixes: Sequence[str]) -> Survey:
    """Return several surveys as one, the names of each behind its prefix."""
    paths: list[Path] = []
    names: dict[Path, str] = {}
    skipped: list[Skipped] = []
    others: Counter[str] = Counter()
    for one, prefix in zip(surveys, prefixes, strict=True):
        paths += [path for path in one.paths if path not in names]
        names = {path: f"{prefix}{name}" for path, name in one.names.items()} | names
        skipped += [
            Skipped(f"{prefix}{entry.path}", f"{prefix}{entry.reason}") for entry in one.skipped
        ]
        others.update(one.other_formats)
    return Survey(
        sorted(paths, key=lambda path: names[path]),
        sorted(skipped, key=lambda entry: entry.path),
        dict(sorted(others.items())),
        names,
    )


class _Search:
    def __init__(
        self, folder: Path, suffixes: frozenset[str], pattern: re.Pattern[str], max_file_mb: int
    ) -> None:
        self._root = folder.resolve()
        self._folder = folder
        self._suffixes = suffixes
        self._pattern = pattern
        self._max_mb = max_file_mb
        self.paths: dict[str, Path] = {}
        self.skipped: dict[str, str] = {}
        self.others: Counter[str] = Counter()

    def run(self) -> None:
        waiting = [(os.fspath(self._folder), "")]
        while waiting:  # a list, not a recursion: a folder can be nested deeper than Python's stack
            top, relative = waiting.pop()
            try:
                with os.scandir(top) as entries:
                    for entry in entries:
                        if not entry.name.startswith(_PASSED_OVER):
                            path = f"{relative}{entry.name}"
                            if entry.is_dir(follow_symlinks=False):
                                waiting.append((entry.path, f"{path}/"))
                            else:
                                self._file(entry, path)
            except OSError as error:
                self._skip(
                    relative.rstrip("/") or ".", f"the folder cannot be opened: {error.strerror}"
                )

    def _file(self, entry: os.DirEntry[str], relative: str) -> None:
        if entry.is_symlink() and (reason := self._bad_link(entry)):
            if self._pattern.fullmatch(relative):
                self._skip(relative, reason)
            return
        if not self._pattern.fullmatch(relative):
            return
        stem, _, ending = entry.name.rpartition(".")
        suffix = f".{ending.lower()}" if stem else ""
        if suffix not in self._suffixes:
            if instead := _SAVE_AS.get(suffix):
                self._skip(relative, f"no reader for {suffix}; save it as {instead}")
            else:
                self.others[suffix or "(none)"] += 1
        elif reason := self._unreadable(entry, relative):
            self._skip(relative, reason)
        else:
            self.paths[relative] = self._folder / relative

    def _bad_link(self, entry: os.DirEntry[str]) -> str:
        try:
            target = Path(entry.path).resolve(strict=True)
        except FileNotFoundError:
            return f"is a link to {Path(entry.path).readlink()}, which is not there"
        # RuntimeError: pathlib's word for a link in a circle, before Python 3.13; OSError: no right
        # to look there.
        except (OSError, RuntimeError):
            return "is a link that leads nowhere, or in a circle"
        if not target.is_relative_to(self._root):
            return "is a link out of the folder of documents; put the file itself there"
        if not target.is_dir():
            return ""
        around = Path(entry.path).parent.resolve().is_relative_to(target)
        return (
            "is a link to a folder around it, a loop"
            if around
            else "is a link to a folder that is read as itself"
        )

    def _unreadable(self, entry: os.DirEntry[str], relative: str) -> str:
        try:
            relative.encode()
            status = entry.stat()
        except UnicodeEncodeError:
            return "its name is not UTF-8; rename it"
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        if not stat.S_ISREG(status.st_mode):
            return "is no file but a pipe, socket or device"
        if status.st_size > self._max_mb * _MB:
            return (
                f"has {status.st_size / _MB:,.0f} MB, over the {self._max_mb} of "
                "knowledge.max_file_mb"
            )
        return "" if os.access(entry.path, os.R_OK) else "cannot be read: Permission denied"

    def _skip(self, relative: str, reason: str) -> None:
        # A name in another encoding arrives as lone surrogates, which neither sqlite nor JSON
        # takes.
        self.skipped[relative.encode("utf-8", "backslashreplace").decode()] = reason


def matcher(include: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern that matches the whole of a path if one of the globs does.

    `*` and `?` match within a name, `**/` any number of folders; without globs nothing matches.
    """
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    patterns = (
        "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", glob))
        for glob in include
    )
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)", re.DOTALL)
