"""Finds a question's passages: candidates from vectors, from BM25, and from the documents that the
question names; then their fusion. Knows nothing of embedders or of how the index is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..index.document_names import without_names
from ..index.query_terms import content_words
from ..passages import Filter, Passage
from .fusion import (
    RetrievalSettings,
    add_name_bonus,
    add_page_bonus,
    blend_page_vectors,
    diversify_pages,
    drop_duplicates,
    fuse,
    group_neighbours,
    rank,
    to_passage,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..index.reader import KnowledgeIndex

_MIN_NAME_SCORE = 0.4  # a name less clear than this adds to scores but brings no candidates
_NAME_SHARE = 0.6  # of the clearest name's score, which a name must have to bring candidates
_MAX_NAMED = 8  # documents that bring candidates of their own
_SPARE = 3  # times k chunks, from which grouping and diversifying choose


@dataclass(frozen=True, slots=True)
class NamedDocuments:
    """The documents that a question names. `scores`: document id -> how clearly, see
    `index/document_names.py`. Where the question names some clearly and asks something of them:
    their `paths`, the `question` without the names, and `vector` [dim], the unit vector between
    those of the whole question and of the rest."""

    scores: Mapping[int, float]
    paths: tuple[str, ...] = ()
    question: str = ""
    vector: NDArray[np.float32] | None = None


def named_documents(index: KnowledgeIndex, question: str, where: Filter | None) -> NamedDocuments:
    """Return the documents that a question names, among those that may answer; without a vector,
    which takes an embedder."""
    scores = index.named(question)
    clearest = max(scores.values(), default=0.0)
    if clearest < _MIN_NAME_SCORE:
        return NamedDocuments(scores)
    clear = [i for i in scores if scores[i] >= _NAME_SHARE * clearest]
    clear.sort(key=lambda i: (-scores[i], i))
    paths = tuple(index.paths(clear[:_MAX_NAMED], where))
    rest = without_names(question, paths) if paths else ""
    return NamedDocuments(scores, paths, rest) if content_words(rest) else NamedDocuments(scores)


def find_passages(
    index: KnowledgeIndex,
    question: str,
    vector: NDArray[np.float32],
    k: int,
    where: Filter | None = None,
    settings: RetrievalSettings | None = None,
    named: NamedDocuments | None = None,
) -> list[Passage]:
    """Return the k best passages for a question and its unit vector [dim], best first; fewer where
    the library has no more. `named`: as `named_documents` returns it, with its vector.

    Where the question names documents, these bring candidates of their own, and chunks are compared
    with `named.vector`: inside a company's report its name says nothing."""
    settings = settings or RetrievalSettings()
    named = named or NamedDocuments(index.named(question))
    count = max(settings.candidates, _SPARE * k)
    near, words = index.closest(vector, count, where), index.matching(question, count, where)
    word_floor, query_vector = _score_floor(words, count), vector
    ids = {*near, *words}
    if named.vector is not None:
        inside = replace(where or Filter(), documents=named.paths)
        words_inside = index.matching(question, count, inside)
        word_floor, query_vector = _score_floor(words_inside, count), named.vector
        words |= words_inside
        ids |= {*words, *index.closest(query_vector, count, inside)}
    places = {place.id: place for place in index.places(sorted(ids))}

    # The cosine of each chunk, blended with those of its page where it has one.
    pages = index.pages_around(list(places.values())) if settings.page > 0 else {}
    page_mates = {i for page in pages.values() for i in page}
    cosines = index.similarity(query_vector, sorted({*places, *page_mates}))
    near = blend_page_vectors({i: cosines[i] for i in places}, pages, cosines)

    floors = _score_floor(near, count), word_floor
    scores = fuse(near, words, weight=settings.weight, floors=floors)
    scores = add_page_bonus(scores, places, settings.page)
    scores = add_name_bonus(scores, places, named.scores, settings.names)

    order = drop_duplicates(rank(scores, places), places)
    if settings.join:
        order = diversify_pages(order, scores, places, _SPARE * k, settings.mix)
        groups = group_neighbours(order, places, k)
    else:
        groups = [[i] for i in diversify_pages(order, scores, places, k, settings.mix)]
    chosen = [i for group in groups for i in group]
    similarity = index.similarity(vector, chosen)
    chunks = {row.id: row.chunk for row in index.rows(chosen)}
    return [
        to_passage(g, chunks, max(scores[i] for i in g), max(similarity[i] for i in g))
        for g in groups
    ]


def _score_floor(scores: Mapping[int, float], count: int) -> float:
    """Return what counts as a score of 0: the last of the `count` best; 0 where there are fewer, as
    then all that there is was found."""
    return sorted(scores.values(), reverse=True)[count - 1] if len(scores) >= count else 0.0
