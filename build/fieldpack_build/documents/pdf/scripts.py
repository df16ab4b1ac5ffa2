"""Superscripts and subscripts of a PDF page: which runs of characters are raised or lowered, and
how they are written.

A figure with the mark of a note, "482" and a raised "1", must never read "4821". Raised digits and
signs become Unicode's superscripts, other raised letters follow a "^"; a lowered digit after a
digit becomes a Unicode subscript. Knows nothing of pdfium, tables or headings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# All are shares of the size of the type that the script belongs to. Typesetters set scripts at 0.5
# (TeX's second order) to 0.83 (a browser's `font-size: smaller`), raised by 0.3 to 0.5 or lowered
# by 0.1 to 0.3.
_SMALLEST, _LARGEST = 0.45, 0.9
_RAISED = (0.1, 0.8)
_LOWERED = (-0.5, -0.05)
_SAME_SIZE_RAISED = (0.2, 0.6)
_GAP = (-0.3, 0.5)
_ON_BASELINE = 0.05
_LONGEST = 12  # characters; a longer run of small type is text of its own

_SUPERSCRIPTS = dict(zip("0123456789+-−–=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁼⁽⁾ⁿⁱ", strict=True))
_SUBSCRIPTS = dict(zip("0123456789", "₀₁₂₃₄₅₆₇₈₉", strict=True))
_APART = frozenset(",*†‡§¶#®™℠°'′″‘’“”\"")  # these say themselves that they belong to no figure
_ORDINALS = frozenset(("st", "nd", "rd", "th", "er", "re", "ère", "ème"))
_SIGNS = {"TM": "™", "SM": "℠"}
# A character of a raised run that has no superscript is kept as one character of a private plane,
# so that the text and its boxes have the same index; `spoken` writes it out.
_PRIVATE = 0xF0000
_MARKED = re.compile("[\U000f0000-\U000ffffd]")
DROPPED = "\x01"  # goes when the text is cleaned


@dataclass(slots=True)
class Run:
    """Characters `start` to `end` of the page in one size on one baseline, without white space.

    The box is in points.
    """

    start: int
    end: int
    left: float
    right: float
    size: float
    baseline: float


def is_script(base: Run, run: Run) -> bool:
    """Return whether `run` is a superscript or subscript of `base`, which it follows."""
    size = base.size
    if (
        not _GAP[0] * size < run.left - base.right < _GAP[1] * size
        or run.end - run.start > _LONGEST
    ):
        return False
    rise = (run.baseline - base.baseline) / size
    if _SMALLEST * size <= run.size <= _LARGEST * size:
        return _RAISED[0] <= rise <= _RAISED[1] or _LOWERED[0] <= rise <= _LOWERED[1]
    return (
        run.start == base.end
        and run.size <= 1.1 * size
        and _SAME_SIZE_RAISED[0] <= rise <= _SAME_SIZE_RAISED[1]
    )


def leads(run: Run, base: Run) -> bool:
    """Return whether `run` is the raised mark of a note in front of `base`."""
    size = base.size
    near = _GAP[0] * size < base.left - run.right < _GAP[1] * size
    small = _SMALLEST * size <= run.size <= _LARGEST * size and run.end - run.start <= 3
    return near and small and _RAISED[0] <= (run.baseline - base.baseline) / size <= _RAISED[1]


def on_baseline(base: Run, run: Run) -> bool:
    """Return whether both runs stand on one baseline."""
    return abs(base.baseline - run.baseline) <= _ON_BASELINE * base.size


def written(before: str, run: str, *, raised: bool) -> str:
    """Return the characters of a script after the character `before`, as many as `run` has."""
    if not raised:
        return (
            "".join(_SUBSCRIPTS.get(char, char) for char in run)
            if before.isdigit() or before in "/⁄"
            else run
        )
    if all(char in _SUPERSCRIPTS or char in _APART for char in run):
        return "".join(_SUPERSCRIPTS.get(char, char) for char in run)
    if run in _SIGNS:
        return _SIGNS[run] + DROPPED * (len(run) - 1)
    if before.isdigit() and run.lower() in _ORDINALS:
        return run
    return chr(_PRIVATE + ord(run[0])) + run[1:]


def spoken(text: str) -> str:
    """Return the text as it is stored: "^" before raised characters that Unicode does not have."""
    return (
        _MARKED.sub(lambda match: "^" + chr(ord(match[0]) - _PRIVATE), text)
        if not text.isascii()
        else text
    )


def find_scripts(
    candidates: Sequence[int],
    count: int,
    run_of: Callable[[int], Run],
    starts_line: Callable[[int], bool],
) -> tuple[dict[int, int], dict[int, int]]:
    """Return the scripts, and the marks in front of what they belong to.

    Both are dicts from the number of a run to the number of the run that it belongs to.
    `candidates` are runs whose box differs from that of the run before.
    """
    after: dict[int, int] = {}
    leading: dict[int, int] = {}
    for i in candidates:
        if i in after or i - 1 in leading:
            continue
        if i - 1 not in after and starts_line(i - 1) and leads(run_of(i - 1), run_of(i)):
            leading[i - 1] = i
            continue
        base = after.get(i - 1, i - 1)
        j = i
        while j < count and _belongs(run_of, base, j):
            after[j] = base
            j += 1
    return after, leading


def _belongs(run_of: Callable[[int], Run], base: int, j: int) -> bool:
    main, before, run = run_of(base), run_of(j - 1), run_of(j)
    if j - 1 == base:
        return is_script(main, run)
    # The next piece of a script stands right after the one before, on its baseline or on the other
    # side of the line's.
    near = abs(run.left - before.right) < _GAP[1] * before.size
    return near and is_script(
        Run(main.start, before.end, main.left, before.right, main.size, main.baseline), run
    )
