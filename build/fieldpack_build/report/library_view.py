"""A library's summary as geometry and rows for its template, and the page that shows it alone.
Units: the SVG's own pixels. Knows nothing of how the figures were gathered."""

from __future__ import annotations

from dataclasses import dataclass

from fieldpack.figures import megabytes

from ..evaluation.report_file import ChunkLengths, LibrarySummary, VectorMap
from .charts.axis import WIDTH, round_step
from .templates import environment

_LEFT, _TOP, _HEIGHT = 44.0, 18.0, 150.0
# Of the map: so that neither a thin nor a round cloud leaves the screen.
_MARGIN, _MIN_HEIGHT, _MAX_HEIGHT = 14.0, 260.0, 620.0
REST = "rest"
KINDS = {"good": "finds a good passage", "weak": "finds none", "unanswerable": "has no answer here"}


@dataclass(frozen=True, slots=True)
class Bin:
    """A bar of the histogram."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Chunks by length. `limit_x`: where the embedder stops reading, if any chunk is as long."""

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
    """A chunk or a question on the map."""

    x: float
    y: float
    colour: str
    label: str


@dataclass(frozen=True, slots=True)
class Map:
    """The vectors in two dimensions. `groups`: (colour, name); `kinds`: (colour, words) of the
    kinds of questions that are on it."""

    width: float
    height: float
    points: tuple[Point, ...]
    questions: tuple[Point, ...]
    groups: tuple[tuple[str, str], ...]
    kinds: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class LibraryView:
    """`facts`: (what, value, what it is of), for tiles; the rest is the summary's own."""

    facts: tuple[tuple[str, str, str], ...]
    histogram: Histogram | None
    map: Map | None
    summary: LibrarySummary


def view_library(summary: LibrarySummary) -> LibraryView:
    """Lay out a library's summary."""
    totals, size = summary.totals, sum(summary.bytes.values())
    left_out = [
        f"{count:,} {word}"
        for count, word in ((totals.skipped, "skipped"), (totals.same, "twice"))
        if count
    ]
    each = f"{size / summary.chunks:,.0f} bytes a chunk" if summary.chunks else ""
    facts = (
        ("Documents", f"{totals.read:,}", ", ".join(left_out)),
        ("Pages", f"{totals.pages:,}", f"{totals.characters:,} characters"),
        ("Chunks", f"{summary.chunks:,}", f"median {summary.lengths.median:,} tokens"),
        ("On disk", megabytes(size), each),
    )
    return LibraryView(facts, histogram(summary.lengths), scatter(summary.map), summary)


def render_library(summary: LibrarySummary, *, title: str = "Library") -> str:
    """Return one HTML file that needs no other, no network and no script."""
    template = environment().get_template("library_page.html.j2")
    return template.render(title=title, library=view_library(summary)).strip() + "\n"


# --- drawings -------------------------------------------------------------------------------------


def histogram(lengths: ChunkLengths) -> Histogram | None:
    """Lay out the lengths of chunks; None where no chunk was measured."""
    bins = lengths.bins
    if not bins:
        return None
    right, base, end = WIDTH - 6, _TOP + _HEIGHT, bins[-1][1]
    scale = (right - _LEFT) / end
    tallest = max(count for _, _, count in bins)
    bars = tuple(
        Bin(
            round(_LEFT + low * scale, 1),
            round(base - _HEIGHT * count / tallest, 1),
            round((high - low) * scale - 1.5, 1),
            round(_HEIGHT * count / tallest, 1),
            f"{low} to {high - 1} tokens: {count:,}",
        )
        for low, high, count in bins
        if count
    )
    step = max(1, int(round_step(end / 8)))
    ticks = tuple((round(_LEFT + at * scale, 1), f"{at:,}") for at in range(0, end + 1, step))
    lines = tuple(
        (round(base - _HEIGHT * part / 2, 1), f"{tallest * part / 2:,.0f}") for part in range(3)
    )
    limit = lengths.limit - 2
    return Histogram(
        WIDTH,
        base + 40,
        _LEFT,
        right,
        base,
        bars,
        ticks,
        lines,
        limit_x=round(_LEFT + limit * scale, 1) if 0 <= limit < end else None,
    )


def scatter(chart: VectorMap) -> Map | None:
    """Lay out the map, both directions to one scale, so that a distance is a distance; None where
    there is no point."""
    if not chart.points:
        return None
    places = [(x, y) for x, y, *_ in (*chart.points, *chart.questions)]
    left, right = min(x for x, _ in places), max(x for x, _ in places)
    low, high = min(y for _, y in places), max(y for _, y in places)
    wide, tall = max(right - left, 1e-9), max(high - low, 1e-9)
    width = WIDTH - 2 * _MARGIN
    height = min(max(width * tall / wide, _MIN_HEIGHT), _MAX_HEIGHT)
    scale = min(width / wide, height / tall)
    from_left, from_top = (WIDTH - wide * scale) / 2, _MARGIN + (height - tall * scale) / 2

    def put(x: float, y: float, colour: str, label: str) -> Point:
        x, y = from_left + (x - left) * scale, from_top + (high - y) * scale
        return Point(round(x, 1), round(y, 1), colour, label)

    groups = [(_colour(number), name or "(no folder)") for number, name in enumerate(chart.groups)]
    if any(group is None for _, _, group, _ in chart.points):
        groups.append((_colour(None), "all others"))
    shown = {kind for _, _, kind, _ in chart.questions}
    return Map(
        WIDTH,
        round(height + 2 * _MARGIN, 1),
        tuple(put(x, y, _colour(group), label) for x, y, group, label in chart.points),
        tuple(put(x, y, f"q-{kind}", text) for x, y, kind, text in chart.questions),
        tuple(groups),
        tuple((f"q-{kind}", words) for kind, words in KINDS.items() if kind in shown),
    )


def _colour(group: int | None) -> str:
    return f"g-{REST if group is None else group}"
