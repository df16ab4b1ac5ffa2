"""Turns candidates into ranked passages: one score from vectors, words and names; duplicates left
out, pages diversified, neighbours joined. Knows nothing of SQL, usearch or embedders."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..index.document_names import NamingTerm
from ..passages import Chunk, Passage, Place
from ..untrusted import read_json, read_settings, stored_as, write_settings

SETTINGS = "retrieval.json"
# BM25 scores are scaled over a span of at least this: words that half of the library has differ by
# a millionth, and say nothing.
_MIN_BM25_SPAN = 1.0
_PAGE_CHUNKS = 4  # best chunks of a page that add to its score
_MAX_GROUP = 2  # chunks in a passage: a prompt of three passages stays under six


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """How passages are found; the build writes it from the recipe, whose keys have the same names. A
    fused score is 0 to 1 before bonuses are added. Bundles store some settings under other keys.

    `vector_weight`: the vectors' share of the fused score. `phrase_weight`: what two neighbouring
    words of the question count where a text has them side by side, beside each by itself.
    `name_boost`: the bonus of a document for a word of the question that only its name has.
    `page_boost`: a chunk's bonus from the others found on its page, as a share of their scores.
    `page_penalty`: the penalty of a passage for each one ranked before it from the same page.
    `candidates`: chunks that vectors and words bring each. `merge_adjacent`: whether neighbours on a
    page that are both found become one passage. `rerank`: passages that a reranker reads.

    The weights were chosen over documents of three libraries (`benchmarks/rank_weights.py`). On them
    a `vector_weight` of 0.3 or 0.5 is worse in sum, `page_penalty` gains 0.011 of MRR on filings
    (standard error 0.004), and `page_boost` loses on one library what it gains on another: it is
    off. `phrase_weight` (Metzler & Croft 2005, "A Markov random field model for term dependencies",
    where phrases have 0.10 beside 0.85 for words) gains 0.042 of MRR on TAT-QA (0.009), 0.007 on
    finance (0.004) and 0.012 on filings (0.009); 0.5 and 1 are as good on the first two and no
    better than none on the third."""

    vector_weight: float = field(default=0.4, metadata=stored_as("weight"))
    phrase_weight: float = field(default=0.25, metadata=stored_as("phrases"))
    name_boost: float = field(default=1.0, metadata=stored_as("names"))
    page_boost: float = field(default=0.0, metadata=stored_as("page"))
    page_penalty: float = field(default=0.1, metadata=stored_as("mix"))
    candidates: int = 200
    merge_adjacent: bool = field(default=True, metadata=stored_as("join"))
    rerank: int = 20

    def write(self, folder: Path) -> None:
        """Write retrieval.json into `folder`."""
        write_settings(folder / SETTINGS, self)

    @classmethod
    def read(cls, folder: Path) -> RetrievalSettings:
        """Read retrieval.json of `folder`; the defaults where there is none. A bundle from before
        phrases had a weight ranks as it did. Raises BundleCorrupt."""
        path = folder / SETTINGS
        if not path.exists():
            return cls()
        settings = read_settings(path, cls)
        if "phrases" in read_json(path):
            return settings
        return replace(settings, phrase_weight=0.0)


def fuse(
    similarity: Mapping[int, float],
    words: Mapping[int, float],
    *,
    vector_weight: float = 0.5,
    floors: tuple[float, float] | None = None,
) -> dict[int, float]:
    """Return the convex combination of both scores, each scaled to 0..1 (Bruch et al. 2023, "An
    Analysis of Fusion Functions for Hybrid Retrieval"); `vector_weight` is the similarity's
    share. `floors`: the similarity and the BM25 score that count as 0, by default the smallest of
    each. A chunk that one side lacks gets 0 there.
    """
    low = floors or (min(similarity.values(), default=0.0), min(words.values(), default=0.0))
    vectors, terms = _scaled(similarity, low[0]), _scaled(words, low[1], min_span=_MIN_BM25_SPAN)
    if not terms:
        return vectors
    return {
        i: vector_weight * vectors.get(i, 0.0) + (1 - vector_weight) * terms.get(i, 0.0)
        for i in vectors.keys() | terms.keys()
    }


def _scaled(scores: Mapping[int, float], low: float, *, min_span: float = 0.0) -> dict[int, float]:
    """Scale scores to 0..1 over what they span, `min_span` at least; all 1 where they span
    nothing."""
    span = max(scores.values(), default=low) - low
    return {
        i: max(s - low, 0.0) / max(span, min_span) if span > 0 else 1.0 for i, s in scores.items()
    }


def blend_page_vectors(
    similarity: Mapping[int, float],
    pages: Mapping[tuple[int, int], Sequence[int]],
    all_similarity: Mapping[int, float],
) -> dict[int, float]:
    """Return for each chunk the mean of its cosine and of its page's mean cosine, which is the
    cosine of the page's centroid but for its length: half a balance sheet is known by the other
    half. Chunks without a page keep their cosine. `pages`: the ids of all chunks on a page;
    `all_similarity`: the cosines of those too."""
    blended = dict(similarity)
    for ids in pages.values():
        if ids:
            mean = sum(all_similarity[i] for i in ids) / len(ids)
            blended |= {i: (similarity[i] + mean) / 2 for i in ids if i in similarity}
    return blended


def add_page_bonus(
    scores: Mapping[int, float], places: Mapping[int, Place], share: float
) -> dict[int, float]:
    """Add to each chunk's score a share of the scores of the best others on its page, three at
    most: a page that is found in several places is the page that was meant."""
    pages: dict[tuple[int, int], list[float]] = {}
    for i in scores:
        pages.setdefault(_page(places[i]), []).append(scores[i])
    sums = {page: sum(sorted(best, reverse=True)[:_PAGE_CHUNKS]) for page, best in pages.items()}
    return {
        i: score + share * max(sums[_page(places[i])] - score, 0.0) for i, score in scores.items()
    }


def add_name_bonus(
    scores: Mapping[int, float],
    places: Mapping[int, Place],
    naming: Iterable[tuple[NamingTerm, Set[int]]],
    bonus: float,
) -> dict[int, float]:
    """Add `bonus` times a word's weight to the chunks of documents that the word names, and to those
    whose text says it: a file's name never outvotes a text that says the same words. A figure
    counts in names alone, and as far as words have counted. `naming`: the words that name
    documents, each with the candidates that say it."""
    terms = list(naming)
    words = dict.fromkeys(scores, 0.0)
    figures = dict.fromkeys(scores, 0.0)
    for term, saying in terms:
        named = set(term.documents)
        gains = figures if term.figure else words
        for i in scores:
            if places[i].document_id in named or (not term.figure and i in saying):
                gains[i] += term.weight
    return {
        i: score + bonus * (words[i] + figures[i] * min(words[i], 1.0))
        for i, score in scores.items()
    }


def add_code_bonus(scores: Mapping[int, float], codes: Mapping[int, int]) -> dict[int, float]:
    """Lift chunks that hold codes of the question above all others, those with more of its codes
    higher: what stands there word for word outweighs every likeness. `codes`: how many of them each
    chunk holds, by id."""
    step = max(scores.values(), default=0.0) + 1.0
    return {i: score + step * codes.get(i, 0) for i, score in scores.items()}


def rank(scores: Mapping[int, float], places: Mapping[int, Place]) -> list[int]:
    """Return the ids, best first; equal scores in the order of path and place, whatever ids a
    rebuilt index has given."""
    return sorted(scores, key=lambda i: (-scores[i], places[i].document, places[i].ordinal))


def drop_duplicates(order: Iterable[int], places: Mapping[int, Place]) -> list[int]:
    """Return the ids without all but the best ranked of chunks that say the same in several
    documents."""
    best: dict[int, int] = {}
    for i in order:
        original = places[i].duplicate_of
        best.setdefault(i if original is None else original, i)
    return list(best.values())


def diversify_pages(
    order: Sequence[int],
    scores: Mapping[int, float],
    places: Mapping[int, Place],
    k: int,
    penalty: float,
) -> list[int]:
    """Return the k best ids, where each further chunk from a page already chosen counts `penalty`
    less."""
    chosen: list[int] = []
    pages: Counter[tuple[int, int]] = Counter()
    # 4 * k: a page would need as many passages to push further ones up.
    queue = [(-scores[i], position, 0) for position, i in enumerate(order[: 4 * k])]
    heapq.heapify(queue)
    while queue and len(chosen) < k:
        _, position, before = heapq.heappop(queue)
        i = order[position]
        page = _page(places[i])
        if pages[page] > before:  # others of its page were chosen since it was weighed
            heapq.heappush(queue, (penalty * pages[page] - scores[i], position, pages[page]))
            continue
        chosen.append(i)
        pages[page] += 1
    return chosen


def _page(place: Place) -> tuple[int, int]:
    """Return a key of the chunk's page; each chunk of a document without pages is a page of its
    own."""
    return place.document_id, -place.ordinal - 1 if place.page is None else place.page


def group_neighbours(order: Iterable[int], places: Mapping[int, Place], k: int) -> list[list[int]]:
    """Return at most k groups of ids, in the order of their best: of the chunks that it takes to
    make k groups, neighbours on one page are one group, at most two long, in reading order."""
    groups: list[list[int]] = []
    for i in order:
        if len(groups) == k:
            break
        new = places[i]
        for group in groups:
            first, last = places[group[0]], places[group[-1]]
            same_page = (new.document_id, new.page) == (first.document_id, first.page)
            adjoins = new.ordinal in (first.ordinal - 1, last.ordinal + 1)
            if len(group) < _MAX_GROUP and same_page and adjoins:
                group.append(i)
                group.sort(key=lambda j: places[j].ordinal)
                break
        else:
            groups.append([i])
    return groups


def to_passage(
    group: Sequence[int], chunks: Mapping[int, Chunk], score: float, similarity: float
) -> Passage:
    """Return a group of neighbours as one passage; its text is an exact slice of the source's
    page."""
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
