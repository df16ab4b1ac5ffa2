"""Finds the date that a document's own text states near its start or its end: "Valid from 1 March
2026", "Updated 12 January 2026", "Stand: 12. Mai 2026". Knows nothing of files or metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.pages import Page

_HEAD, _FOOT = 12, 3  # lines with words at the start of a document, at the end of a page
_LONGEST = 2000  # characters of these that are looked at
_ENGLISH = (
    r"(?:valid|effective|in force|in effect)(?:\s+(?:from|since|as of|on))?|effective date"
    r"|(?:last\s+)?(?:updated|revised|modified|changed|amended)(?:\s+on)?|last\s+reviewed(?:\s+on)?"
    r"|(?:last\s+)?(?:update|revision)|(?:issued|published|approved)(?:\s+on)?"
    r"|(?:issue|publication|version|document)\s+date|date(?:\s+of\s+issue)?"
    r"|(?:version|revision|rev\.?|edition)\s+\d[\w.]*(?:\s+of)?"
)
_GERMAN = (
    r"(?:gültig|in\s+kraft)(?:\s+(?:ab|seit|von|vom))?(?:\s+dem)?|stand(?:\s+vom)?"
    r"|(?:zuletzt\s+)?(?:aktualisiert|geändert|überarbeitet)(?:\s+am)?"
    r"|letzte\s+(?:änderung|aktualisierung|überarbeitung)(?:\s+(?:am|vom))?"
    r"|(?:erstellt|erlassen|veröffentlicht|freigegeben)(?:\s+am)?|(?:ausgabe)?datum"
    r"|(?:version|fassung|ausgabe|revision)(?:\s+\d[\w.]*)?\s+vom"
)
# "Policy 14, version 5, approved by the committee on 3 February 2026."
_BY = r"(?:^|(?<=[.;|·(,]))[ \t]*(?:approved|adopted|issued|published)\s+by\s+[^.,\n]{1,60}?\s+on"
_MONTHS = {
    **dict.fromkeys(("january", "jan", "januar", "jänner"), 1),
    **dict.fromkeys(("february", "feb", "februar", "feber"), 2),
    **dict.fromkeys(("march", "mar", "märz"), 3),
    **dict.fromkeys(("april", "apr"), 4),
    **dict.fromkeys(("may", "mai"), 5),
    **dict.fromkeys(("june", "jun", "juni"), 6),
    **dict.fromkeys(("july", "jul", "juli"), 7),
    **dict.fromkeys(("august", "aug"), 8),
    **dict.fromkeys(("september", "sept", "sep"), 9),
    **dict.fromkeys(("october", "oct", "oktober", "okt"), 10),
    **dict.fromkeys(("november", "nov"), 11),
    **dict.fromkeys(("december", "dec", "dezember", "dez"), 12),
}
_MONTH = rf"(?:{'|'.join(sorted(_MONTHS, key=len, reverse=True))})\.?"
_DATE = (
    r"(?P<iso>\d{4}-\d\d-\d\d)"
    rf"|(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?P<month>{_MONTH})\s+(?P<year>\d{{4}})"
    rf"|(?P<month_first>{_MONTH})\s+(?P<day_next>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year_last>\d{{4}})"
)
# At the start of a line or a sentence, so that no clause of running text counts.
_BEFORE = r"(?:^|(?<=[.;|·(])[ \t]*)[ \t#*_>-]*"
_AFTER = r"(?![\w-])(?!\s*(?:to|until|till|bis|[-–—])\s*(?:the\s+|zum\s+)?\d)"
_STATED = re.compile(
    rf"(?:{_BEFORE}(?:{_ENGLISH}|{_GERMAN})|{_BY})[*_]*\s*[:,]?[*_]*\s*(?:{_DATE}){_AFTER}",
    re.IGNORECASE | re.MULTILINE,
)
# 12.05.2026 is a day and a month behind a German word alone.
_STATED_IN_FIGURES = re.compile(
    rf"{_BEFORE}(?:{_GERMAN})\s*[:,]?\s*(?P<day>\d{{1,2}})\.\s?(?P<month>\d{{1,2}})\.\s?(?P<year>\d{{4}}){_AFTER}",
    re.IGNORECASE | re.MULTILINE,
)


def stated_date(pages: Sequence[Page]) -> str | None:
    """Return the date that lines near a document's start, or at the end of its first or last page,
    state of the document, as YYYY-MM-DD. None where none does, and where two state different ones:
    a wrong date is worse than none."""
    if not pages:
        return None
    first, last = _lines(pages[0]), _lines(pages[-1])
    parts = [first[:_HEAD], first[_HEAD:][-_FOOT:]]
    parts += [last[-_FOOT:]] if len(pages) > 1 else []
    found = {day for part in parts for day in _dates("\n".join(part)[:_LONGEST])}
    return found.pop() if len(found) == 1 else None


def _lines(page: Page) -> list[str]:
    return [line for line in page.text.split("\n") if line.strip()]


def _dates(text: str) -> Iterator[str]:
    for match in _STATED.finditer(text):
        said = match.groupdict()
        if said["iso"]:
            day = iso_date(said["iso"])
        else:
            name = (said["month"] or said["month_first"]).casefold().rstrip(".")
            day = _iso(
                said["year"] or said["year_last"], _MONTHS[name], said["day"] or said["day_next"]
            )
        if day:
            yield day
    for match in _STATED_IN_FIGURES.finditer(text):
        if day := _iso(match["year"], int(match["month"]), match["day"]):
            yield day


def _iso(year: str, month: int, day: str) -> str | None:
    return iso_date(f"{year}-{month:02d}-{int(day):02d}")
