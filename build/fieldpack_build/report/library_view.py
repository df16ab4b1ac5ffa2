"""The library's picture as geometry and rows for its template, and the page that shows it alone.
Units: the SVG's own pixels. Knows nothing of how the figures were gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .charts.bars import WIDTH
from .templates import environment, megabytes

_LEFT, _TOP, _TALL = 44.0, 18.0, 150.0
_MARGIN, _LOWEST, _HIGHEST = (
    14.0,
    260.0,
    620.0,
)  # of the map: so that neither a thin nor a round cloud leaves the screen
REST = "rest"
KINDS = {"good": "finds a good passage", "weak": "finds none", "unanswerable": "has no answer here"}


@dataclass(frozen=True, slots=True)
class Bin:
    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Histogram:
    width: float
    height: float
    left: float
    right: float
    base: float
    bins: tuple[Bin, ...]
    ticks: tuple[tuple[float, str], ...]
    lines: tuple[tuple[float, str], ...]
    limit_x: float | None


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float
    colour: str
    label: str


@dataclass(frozen=True, slots=True)
class Map:
    width: float
    height: float
    points: tuple[Point, ...]
    questions: tuple[Point, ...]
    groups: tuple[tuple[str, str], ...]
    kinds: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class LibraryView:
    """`facts`: (what, value), for tiles; the rest is the picture's own."""

    facts: tuple[tuple[str, str, str], ...]
    histogram: Histogram | None
    map: Map | None
    picture: Mapping[str, Any]


def view(picture: Mapping[str, Any]) -> LibraryView:
    return LibraryView(
        _facts(picture), histogram(picture["lengths"]), scatter(picture["map"]), picture
    )


def render_library(picture: Mapping[str, Any], *, title: str = "Library") -> str:
    """`picture` of `report.library` -> one HTML file that needs no other, no network and no script."""
    page = (
        environment()
        .get_template("library_page.html.j2")
        .render(title=title, library=view(picture))
    )
    return page.strip() + "\n"


def _facts(picture: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """(label, figure, what it is of)."""
    totals, size = picture["totals"], sum(picture["bytes"].values())
    left = [
        f"{totals[key]:,} {word}"
        for key, word in (("skipped", "skipped"), ("same", "twice"))
        if totals[key]
    ]
    each = f"{size / picture['chunks']:,.0f} bytes a chunk" if picture["chunks"] else ""
    return (
        ("Documents", f"{totals['read']:,}", ", ".join(left)),
        ("Pages", f"{totals['pages']:,}", f"{totals['characters']:,} characters"),
        ("Chunks", f"{picture['chunks']:,}", f"median {picture['lengths']['median']:,} tokens"),
        ("On disk", megabytes(size), each),
    )


# --- drawings -------------------------------------------------------------------------------------


def histogram(lengths: Mapping[str, Any]) -> Histogram | None:
    """None where no chunk was measured."""
    bins: Sequence[Sequence[int]] = lengths["bins"]
    if not bins:
        return None
    right, base, end = WIDTH - 6, _TOP + _TALL, bins[-1][1]
    scale = (right - _LEFT) / end
    most = max(count for _, _, count in bins)
    drawn = tuple(
        Bin(
            round(_LEFT + low * scale, 1),
            round(base - _TALL * count / most, 1),
            round((high - low) * scale - 1.5, 1),
            round(_TALL * count / most, 1),
            f"{low} to {high - 1} tokens: {count:,}",
        )
        for low, high, count in bins
        if count
    )
    step = _round_step(end / 8)
    ticks = tuple((round(_LEFT + at * scale, 1), f"{at:,}") for at in range(0, end + 1, step))
    lines = tuple(
        (round(base - _TALL * part / 2, 1), f"{most * part / 2:,.0f}") for part in range(3)
    )
    limit = lengths["limit"] - 2
    return Histogram(
        WIDTH,
        base + 40,
        _LEFT,
        right,
        base,
        drawn,
        ticks,
        lines,
        round(_LEFT + limit * scale, 1) if 0 <= limit < end else None,
    )


def _round_step(rough: float) -> int:
    """1, 2 or 5 times a power of ten, at least `rough`."""
    power = 1
    while power * 10 < rough:
        power *= 10
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)


def scatter(chart: Mapping[str, Any]) -> Map | None:
    """Both directions to one scale, so that a distance is a distance. None where there is no point."""
    if not chart["points"]:
        return None
    marks = [*chart["points"], *chart["questions"]]
    (left, right), (low, high) = (
        (min(m[n] for m in marks), max(m[n] for m in marks)) for n in (0, 1)
    )
    wide, tall = max(right - left, 1e-9), max(high - low, 1e-9)
    room = WIDTH - 2 * _MARGIN
    height = min(max(room * tall / wide, _LOWEST), _HIGHEST)
    scale = min(room / wide, height / tall)
    from_left, from_top = (WIDTH - wide * scale) / 2, _MARGIN + (height - tall * scale) / 2

    def put(mark: Sequence[Any], colour: str) -> Point:
        x, y = from_left + (mark[0] - left) * scale, from_top + (high - mark[1]) * scale
        return Point(round(x, 1), round(y, 1), colour, mark[3])

    points = tuple(put(point, colour(point[2])) for point in chart["points"])
    questions = tuple(put(mark, f"q-{mark[2]}") for mark in chart["questions"])
    return Map(
        WIDTH,
        round(height + 2 * _MARGIN, 1),
        points,
        questions,
        _legend(chart),
        tuple(
            (f"q-{kind}", words)
            for kind, words in KINDS.items()
            if any(m[2] == kind for m in chart["questions"])
        ),
    )


def colour(group: int | None) -> str:
    return f"g-{REST if group is None else group}"


def _legend(chart: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    named = [(colour(number), name or "(no folder)") for number, name in enumerate(chart["groups"])]
    rest = (
        [(colour(None), "all others")] if any(point[2] is None for point in chart["points"]) else []
    )
    return (*named, *rest)
