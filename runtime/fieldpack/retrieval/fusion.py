"""From candidates to passages: vectors, words and names in one score, twins left out, pages mixed,
neighbours joined.

Knows nothing of SQL, usearch or embedders.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import BundleCorrupt
from ..passages import Chunk, Passage, Place
from ..untrusted import typed

SETTINGS = "retrieval.json"
_LEAST_WORDS = (
    1.0  # bm25: words that half of the library has differ by a millionth, and say nothing
)
_PAGE_CHUNKS = 4  # of a page add to its score
_LONGEST_JOIN = 2  # chunks: a prompt of three passages stays under six


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """How passages are found; the build writes it from the recipe. A score is 0 to 1 before the
    rest is added.

    `weight`: the vectors' share of the fused score. `names`: what a document gains for a word of
    the question that its name has and no other's. `page`: a chunk's gain from the others found on
    its page, as a share of their scores. `mix`: what a passage loses for each one before it from
    its page. `candidates`: chunks that each side brings. `join`: neighbours on a page that are both
    found come as one passage. `rerank`: passages that a reranker reads."""

    weight: float = 0.5
    names: float = 1.25
    page: float = 0.1
    mix: float = 0.2
    candidates: int = 200
    join: bool = True
    rerank: int = 20

    def write(self, folder: Path) -> None:
        (folder / SETTINGS).write_text(
            json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )

    @classmethod
    def read(cls, folder: Path) -> RetrievalSettings:
        """The defaults where a bundle has none of its own."""
        try:
            return typed(cls, json.loads((folder / SETTINGS).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise BundleCorrupt(f"{folder / SETTINGS}: {error}; copy the bundle again") from None


def fuse(
    similarity: Mapping[int, float],
    words: Mapping[int, float],
    *,
    weight: float = 0.5,
    floor: tuple[float, float] | None = None,
) -> dict[int, float]:
    """Convex combination of both scores, each scaled to 0..1 (Bruch et al. 2023, "An Analysis of
    Fusion Functions for Hybrid Retrieval"); `weight` is the vectors' share. `floor`: what counts as
    0 on either side, the list's own least if not given. A chunk that one list lacks gets 0 there.

    0.5: right passage first for 70% of the finance recipe's questions, against 62% for reciprocal
    rank fusion. Chosen on those questions themselves, out of eight weights: they are no proof of
    it.
    """
    low = floor or (min(similarity.values(), default=0.0), min(words.values(), default=0.0))
    vectors, terms = _scaled(similarity, low[0]), _scaled(words, low[1], least=_LEAST_WORDS)
    if not terms:
        return vectors
    return {
        i: weight * vectors.get(i, 0.0) + (1 - weight) * terms.get(i, 0.0)
        for i in vectors.keys() | terms.keys()
    }


def _scaled(scores: Mapping[int, float], low: float, *, least: float = 0.0) -> dict[int, float]:
    """To 0..1 over what the scores span, `least` at least; all 1 where they span nothing."""
    span = max(scores.values(), default=low) - low
    return {i: max(s - low, 0.0) / max(span, least) if span > 0 else 1.0 for i, s in scores.items()}


def with_page_vectors(
    similarity: Mapping[int, float],
    pages: Mapping[tuple[int, int], Sequence[int]],
    all_similarity: Mapping[int, float],
) -> dict[int, float]:
    """Midway between a chunk's cosine and the mean of its page's chunks, which is the cosine of the
    page's centroid but for its length: half a balance sheet is known by the other half. Chunks
    without a page keep theirs."""
    means = {
        page: sum(all_similarity[i] for i in ids) / len(ids) for page, ids in pages.items() if ids
    }
    found = dict(similarity)
    for page, ids in pages.items():
        found |= {i: (similarity[i] + means[page]) / 2 for i in ids if i in similarity}
    return found


def with_page(
    scores: Mapping[int, float], places: Mapping[int, Place], share: float
) -> dict[int, float]:
    """A chunk gains a share of the scores of the best others on its page, three at most: a page
    that is found in several places is the page that was meant."""
    pages: dict[tuple[int, int], list[float]] = {}
    for i in scores:
        pages.setdefault(_page(places[i]), []).append(scores[i])
    sums = {page: sum(sorted(found, reverse=True)[:_PAGE_CHUNKS]) for page, found in pages.items()}
    return {
        i: score + share * max(sums[_page(places[i])] - score, 0.0) for i, score in scores.items()
    }


def with_names(
    scores: Mapping[int, float],
    places: Mapping[int, Place],
    named: Mapping[int, float],
    gain: float,
) -> dict[int, float]:
    """Chunks of documents that the question names gain `gain` for each word that is the name's
    alone."""
    return {i: score + gain * named.get(places[i].document_id, 0.0) for i, score in scores.items()}


def in_order(scores: Mapping[int, float], places: Mapping[int, Place]) -> list[int]:
    """Ids, best first; equal scores in the order of path and place, whatever ids a rebuilt index
    has given."""
    return sorted(scores, key=lambda i: (-scores[i], places[i].document, places[i].ordinal))


def without_twins(order: Iterable[int], places: Mapping[int, Place]) -> list[int]:
    """Of chunks that say the same in several documents the best placed alone."""
    seen: set[int] = set()
    kept: list[int] = []
    for i in order:
        original = places[i].duplicate_of
        family = i if original is None else original
        if family not in seen:
            seen.add(family)
            kept.append(i)
    return kept


def mixed(
    order: Sequence[int],
    scores: Mapping[int, float],
    places: Mapping[int, Place],
    k: int,
    loss: float,
) -> list[int]:
    """The k best, where each further one from a page already there counts `loss` less."""
    taken: list[int] = []
    pages: Counter[tuple[int, int]] = Counter()
    # 4 * k: a page would need as many passages to push further ones up
    waiting = [(-scores[i], at, 0) for at, i in enumerate(order[: 4 * k])]
    heapq.heapify(waiting)
    while waiting and len(taken) < k:
        _, at, before = heapq.heappop(waiting)
        i = order[at]
        page = _page(places[i])
        if pages[page] > before:  # others of its page were taken since it was weighed
            heapq.heappush(waiting, (loss * pages[page] - scores[i], at, pages[page]))
            continue
        taken.append(i)
        pages[page] += 1
    return taken


def _page(place: Place) -> tuple[int, int]:
    """A document without pages is one for each chunk: nothing to mix there."""
    return place.document_id, -place.ordinal - 1 if place.page is None else place.page


def joined(order: Iterable[int], places: Mapping[int, Place], k: int) -> list[list[int]]:
    """Groups of ids, k at most, in the order of their best: of the chunks that it takes to make k
    groups, neighbours on one page are one group, at most two long, in reading order."""
    groups: list[list[int]] = []
    for i in order:
        if len(groups) == k:
            break
        home = next((g for g in groups if len(g) < _LONGEST_JOIN and _touches(i, g, places)), None)
        if home is None:
            groups.append([i])
        else:
            home.append(i)
            home.sort(key=lambda j: places[j].ordinal)
    return groups


def _touches(i: int, group: Sequence[int], places: Mapping[int, Place]) -> bool:
    new = places[i]
    first, last = places[group[0]], places[group[-1]]
    if (new.document_id, new.page) != (first.document_id, first.page):
        return False
    return new.ordinal in (first.ordinal - 1, last.ordinal + 1)


def to_passage(
    group: Sequence[int], chunks: Mapping[int, Chunk], score: float, similarity: float
) -> Passage:
    """One passage of a group of neighbours; its text is an exact slice of the source's page."""
    parts = [chunks[i] for i in group]
    first = parts[0]
    text, end = first.text, first.end
    for part in parts[1:]:
        text += part.text[end - part.start :] if part.start < end else part.gap + part.text
        end = part.end
    return Passage(
        group[0],
        first.document,
        first.title,
        first.page,
        first.heading,
        text,
        score,
        similarity,
        first.start,
        end,
    )
