"""Finds what a page begins with, where it says what the page is.

"Consolidated Statement of Cash Flows" is such a beginning. Every chunk of the page carries it, so
that the lower half of a table is still found by its name. Knows nothing of formats or tokens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from fieldpack_build.documents.pages import Page, label

_LOOKED_AT = 6  # lines from the top: below running headers of up to four
_LINES = 2
_LONGEST = 110  # characters; a longer line is prose
_RUNNING = 4  # pages that begin alike, or 3% of a long document: a running header
_RUNNING_SHARE = 0.03
_WORD = re.compile(r"[^\W\d_]{3}")


def page_leads(pages: Sequence[Page]) -> list[str]:
    """Return for each page the first lines that are short, no prose, and no running header.

    "" where there are none, and for formats without pages. A table's row is no such line, nor is a
    sentence that goes on from the page before.
    """
    tops: list[list[str]] = []
    for page in pages:
        lines = (line.strip() for line in page.text[:2000].split("\n"))
        tops.append(
            [line for line in lines if line][:_LOOKED_AT] if page.number is not None else []
        )
    counts = Counter(line for top in tops for line in {_without_digits(line) for line in top})
    max_count = max(_RUNNING, _RUNNING_SHARE * len(pages))
    leads: list[str] = []
    for top in tops:
        lead: list[str] = []
        for line in (line for line in top if counts[_without_digits(line)] <= max_count):
            is_mostly_figures = sum(char.isdigit() for char in line) * 4 > len(line)
            is_short = len(line) <= _LONGEST and _WORD.search(line) is not None
            if not is_short or line[0].islower() or is_mostly_figures or len(lead) == _LINES:
                break
            lead.append(line.split(" | ")[0])
        leads.append(label(" ".join(lead)))
    return leads


def _without_digits(line: str) -> str:
    return re.sub(r"\d+", "0", line.lower())
