"""Reads calendar files and invitations (iCalendar, RFC 5545): each event or task as lines "Summary:
...", "Start: ...".

Times are as the file states them, with their zone; a repetition stands as its rule. Knows nothing
of e-mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.encoding import decode_text
from fieldpack_build.documents.pages import Content, HeadingPath, PageBuilder, label
from fieldpack_build.errors import DocumentError

_KINDS = ("VEVENT", "VTODO", "VJOURNAL")
_SHOWN = {
    "STATUS": "Status",
    "DTSTART": "Start",
    "DTEND": "End",
    "DUE": "Due",
    "DURATION": "Duration",
    "RRULE": "Repeats",
    "EXDATE": "Except",
    "LOCATION": "Location",
    "ORGANIZER": "Organizer",
    "ATTENDEE": "Attendee",
    "CATEGORIES": "Categories",
    "DESCRIPTION": "Description",
    "COMMENT": "Comment",
}
_PROPERTY = re.compile(
    # no character can be read in two ways: a line of commas took longer than anybody waits
    r'([A-Za-z0-9-]+)((?:;[^=:;",]+=(?:"[^"]*"|[^":;,]*)(?:,(?:"[^"]*"|[^":;,]*))*)*):(.*)',
    re.DOTALL,
)
_PARAMETER = re.compile(r';([^=:;]+)=("[^"]*"|[^":;]*)')
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?")


class _Property(NamedTuple):
    name: str
    parameters: dict[str, str]
    value: str


def read(data: bytes, name: str) -> Content:
    """Read a calendar. Raises DocumentError for what is none, or one without an event."""
    text = decode_text(data, name)
    events = list(_events(text))
    if not events:
        raise DocumentError(f"{name}: is no calendar, or one without an event")
    builder = PageBuilder(HeadingPath())
    for event in events:
        builder.close(1)
        if summary := label(_summary(event)):
            builder.heading(1, summary)
        builder.text("\n".join(_lines(event)))
    dates = [
        day
        for event in events
        for entry in event
        if entry.name == "DTSTART" and (day := iso_date(entry.value[:8]))
    ]
    title = _summary(events[0]) if len(events) == 1 else ""
    return Content(title, (builder.page(),), dates[0] if len(events) == 1 and dates else None)


def add_events(builder: PageBuilder, text: str) -> None:
    """Add the events of an invitation to the page of its e-mail."""
    for event in _events(text):
        builder.text("\n".join([f"Event: {_summary(event)}", *_lines(event)]))


def _events(text: str) -> Iterator[list[_Property]]:
    depth: list[str] = []
    event: list[_Property] = []
    cancelled = False
    for line in re.sub(r"\r?\n[ \t]", "", text).splitlines():
        parts = _PROPERTY.fullmatch(line)
        if parts is None:
            continue
        key = parts[1].upper()
        if key == "BEGIN":
            depth.append(parts[3].strip().upper())
            if depth[-1] in _KINDS:
                event = []
        elif key == "END":
            if depth and depth[-1] in _KINDS:
                if cancelled and not any(entry.name == "STATUS" for entry in event):
                    event.insert(0, _Property("STATUS", {}, "CANCELLED"))
                yield event
            depth = depth[:-1]
        elif key == "METHOD":  # of the whole calendar, before its events
            cancelled = parts[3].strip().upper() == "CANCEL"
        elif depth and depth[-1] in _KINDS:
            parameters = {
                name.upper(): value.strip('"') for name, value in _PARAMETER.findall(parts[2])
            }
            event.append(_Property(key, parameters, parts[3]))


def _summary(event: list[_Property]) -> str:
    return next((_plain(entry.value) for entry in event if entry.name == "SUMMARY"), "")


def _lines(event: list[_Property]) -> Iterator[str]:
    for key, shown in _SHOWN.items():
        for entry in (entry for entry in event if entry.name == key):
            if text := _shown(entry):
                yield f"{shown}: {text}"


def _shown(entry: _Property) -> str:
    if entry.name in ("DTSTART", "DTEND", "DUE", "EXDATE"):
        zone = entry.parameters.get("TZID", "")
        times = []
        for value in entry.value.split(","):
            parts = _TIME.fullmatch(value.strip())
            if parts is None:
                times.append(value)
                continue
            if entry.name == "DTEND" and not parts[4]:  # a day ends where the next one begins
                times.append(_day_before(value.strip()))
                continue
            own = "UTC" if parts[7] else zone
            time = f" {parts[4]}:{parts[5]}" + (f" {own}" if own else "") if parts[4] else ""
            times.append("-".join(parts.group(1, 2, 3)) + time)
        return ", ".join(times)
    if entry.name in ("ORGANIZER", "ATTENDEE"):
        address = re.sub("^mailto:", "", entry.value, flags=re.IGNORECASE)
        named = entry.parameters.get("CN", "")
        state = entry.parameters.get("PARTSTAT", "").lower()
        who = f"{named} <{address}>" if named and named != address else address
        return f"{who}, {state}" if state not in ("", "needs-action") else who
    return _plain(entry.value)


def _day_before(day: str) -> str:
    try:
        return str(date.fromisoformat(day) - timedelta(days=1))
    except (ValueError, OverflowError):  # no day of the calendar
        return day


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] in "nN" else match[1], value).strip()
