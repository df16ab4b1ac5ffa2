"""The options of `fieldpack search` that say which documents may answer, and the message when none
may. Knows nothing of indexes: the filter itself is the runtime's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import PurePosixPath
from typing import Any, TypeVar

import click

from fieldpack import DocumentRecord, Filter

_Command = TypeVar("_Command", bound=Callable[..., Any])
_MAX_LISTED = 10  # tags, folders or documents named in a message


class _Date(click.ParamType[str]):
    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the date as YYYY-MM-DD; nothing else that Python would take ("20241231",
        "2024-W52-2") is accepted, as the index compares letters."""
        text = str(value).strip()
        try:
            if len(text) == len("2024-12-31") and date.fromisoformat(text).isoformat() == text:
                return text
        except ValueError:
            pass
        self.fail(f"{text!r} is no date; write YYYY-MM-DD, such as 2024-12-31", param, ctx)


def filter_options(command: _Command) -> _Command:
    """Add five options, passed to the command as documents, folders, after, before, tags."""
    options = (
        click.option(
            "--document",
            "documents",
            multiple=True,
            metavar="GLOB",
            help="Only documents whose path fits, such as 'fees/*.pdf'; again for more.",
        ),
        click.option(
            "--folder",
            "folders",
            multiple=True,
            metavar="FOLDER",
            help="Only documents in or below this folder; again for more.",
        ),
        click.option(
            "--after",
            type=_Date(),
            metavar="DATE",
            help="Only documents of this day (2024-12-31) or later.",
        ),
        click.option(
            "--before", type=_Date(), metavar="DATE", help="Only documents of this day or earlier."
        ),
        click.option(
            "--tag",
            "tags",
            multiple=True,
            metavar="TAG",
            help="Only documents with this tag; again: with all.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def make_filter(
    documents: Sequence[str],
    folders: Sequence[str],
    after: str | None,
    before: str | None,
    tags: Sequence[str],
) -> Filter | None:
    """Return the filter of the options; None where none was given. Raises click.UsageError for a
    span of time that is empty."""
    if after and before and after > before:
        raise click.UsageError(
            f"--after {after} is later than --before {before}: no document can be both"
        )
    # A shell completes "./fees/".
    below = tuple(PurePosixPath(folder.strip("/")).as_posix() for folder in folders)
    return Filter(tuple(documents), below, after, before, tuple(tags)) or None


def why_none(
    where: Filter | None, documents: Callable[[Filter | None], Sequence[DocumentRecord]]
) -> str:
    """Return the message that says which option no document matches, and what there is instead; all
    options where only together they match none. `documents`: returns those that a filter lets
    through."""
    every = documents(None)
    if not every:
        return "no passages: this bundle holds no documents"
    if where is None or documents(where):
        return "no passages: the documents hold no text that fits"
    parts = _parts(where)
    missed = [(words, part) for words, part in parts if not documents(part)]
    if not missed:
        return f"no passages: no document matches {' '.join(words for words, _ in parts)} together"
    instead = dict.fromkeys(_instead(part, every) for _, part in missed)
    return (
        f"no passages: no document matches {' or '.join(words for words, _ in missed)}; "
        f"{'; '.join(instead)}"
    )


def _parts(where: Filter) -> list[tuple[str, Filter]]:
    """Return each condition as it was typed, and the filter that it would be alone."""
    parts = [
        (
            " ".join(f"--document {glob}" for glob in where.documents),
            Filter(documents=where.documents),
        ),
        (" ".join(f"--folder {folder}" for folder in where.folders), Filter(folders=where.folders)),
        (f"--after {where.after}", Filter(after=where.after)),
        (f"--before {where.before}", Filter(before=where.before)),
        *((f"--tag {tag}", Filter(tags=(tag,))) for tag in where.tags),
    ]
    return [(words, part) for words, part in parts if part]


def _instead(part: Filter, records: Sequence[DocumentRecord]) -> str:
    """Return what there is instead of what a condition names."""
    if part.tags:
        return _listing("tags", sorted({tag for record in records for tag in record.tags}))
    if part.folders:
        return _listing("folders", sorted(folders_of(records)))
    if part.documents:
        return _listing("documents", sorted(record.path for record in records))
    dates = sorted(record.date for record in records if record.date)
    return (
        f"dates in this bundle: {dates[0]} to {dates[-1]}"
        if dates
        else "no document in this bundle states its date"
    )


def folders_of(records: Iterable[DocumentRecord]) -> set[str]:
    """Return the folders of documents, without those that only hold folders; documents at the top
    have none."""
    return {record.path.rpartition("/")[0] for record in records} - {""}


def _listing(what: str, names: Sequence[str]) -> str:
    if not names:
        return f"no {what} in this bundle"
    more = f" and {len(names) - _MAX_LISTED:,} more" if len(names) > _MAX_LISTED else ""
    return f"{what} in this bundle: {', '.join(names[:_MAX_LISTED])}{more}"
