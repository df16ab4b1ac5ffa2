"""What a page begins with, where it says what the page is: "Consolidated Statement of Cash Flows".
Every chunk of the page carries it, so that the lower half of a table is still found by its name.
Knows nothing of formats or tokens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from fieldpack_build.documents.pages import Page, label

_LOOKED_AT = 6  # lines from the top: below running headers of up to four
_LINES = 2
_LONGEST = 110  # characters; a longer line is prose
_RUNNING = 4  # pages that begin alike, or 3% of a long document: a running header
_RUNNING_SHARE = 0.03
_WORD = re.compile(r"[^\W\d_]{3}")


def page_leads(pages: Sequence[Page]) -> list[str]:
    """For each page the first lines that are short, no prose, and no running header; "" where there
    are none, and for formats without pages."""
    tops = [_top(page) if page.number is not None else [] for page in pages]
    times = Counter(line for top in tops for line in {_without_digits(line) for line in top})
    most = max(_RUNNING, _RUNNING_SHARE * len(pages))
    return [_lead(line for line in top if times[_without_digits(line)] <= most) for top in tops]


def _top(page: Page) -> list[str]:
    lines = (line.strip() for line in page.text[:2000].split("\n"))
    return [line for line in lines if line][:_LOOKED_AT]


def _without_digits(line: str) -> str:
    return re.sub(r"\d+", "0", line.lower())


def _lead(lines: Iterable[str]) -> str:
    """A table's row is no lead, nor a sentence that goes on from the page before."""
    found: list[str] = []
    for line in lines:
        if (
            len(line) > _LONGEST
            or not _WORD.search(line)
            or line[0].islower()
            or _mostly_figures(line)
        ):
            break
        found.append(line.split(" | ")[0])
        if len(found) == _LINES:
            break
    return label(" ".join(found))


def _mostly_figures(line: str) -> bool:
    return sum(char.isdigit() for char in line) * 4 > len(line)
