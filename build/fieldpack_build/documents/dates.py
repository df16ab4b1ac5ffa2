"""Dates as files state them, to the one form that can be compared: YYYY-MM-DD. Knows nothing of
documents."""

from __future__ import annotations

import email.utils
import re
from datetime import date, datetime

_YEARS = range(
    1900, 2101
)  # outside of these a date is a program's zero, 1601 or 0001, and not a document's
_ISO = re.compile(r"\s*(?:D:)?(\d{4})[-/.]?(\d\d)[-/.]?(\d\d)(?=\D|$|\d{4}(?:\d\d)?(?!\d))")
_LONG_FORMS = ("%d %B %Y", "%B %d %Y", "%d %b %Y", "%b %d %Y")


def iso_date(stated: str | date | datetime | None) -> str | None:
    """Return a date as YYYY-MM-DD, None for what is no date, or one that no calendar has.

    Read are ISO 8601, PDF's D:20240131, 2024/01/31, an e-mail's "Wed, 31 Jan 2024 10:00:00 +0100"
    and dates with the month in English letters. Not read: 01/02/2024, which is two dates.
    """
    if isinstance(stated, date):
        return _valid(stated.year, stated.month, stated.day)
    if not isinstance(stated, str):
        return None
    if match := _ISO.match(stated):
        return _valid(int(match[1]), int(match[2]), int(match[3]))
    fields = email.utils.parsedate_tz(stated) if re.search(r"\d:\d\d", stated) else None
    if fields and (valid := _valid(fields[0], fields[1], fields[2])):
        return valid
    words = " ".join(re.sub(r"(?<=\d)(?:st|nd|rd|th)\b|,", " ", stated).split())
    for form in _LONG_FORMS:
        try:
            day = datetime.strptime(words, form)
        except ValueError:
            continue
        return _valid(day.year, day.month, day.day)
    return None


def _valid(year: int, month: int, day: int) -> str | None:
    if year not in _YEARS:
        return None
    try:
        return date(year, month, day).isoformat()
    except (ValueError, OverflowError):
        return None
