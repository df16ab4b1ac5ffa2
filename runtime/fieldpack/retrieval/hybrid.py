"""A question's passages: candidates from vectors, from words, and from the documents that the
question names; then `ranking`. Knows nothing of embedders or of how the index stores what it finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..index.document_names import without_names
from ..index.query_terms import content_words
from ..passages import Filter, Passage, Place
from .fusion import (
    RetrievalSettings,
    fuse,
    in_order,
    joined,
    mixed,
    to_passage,
    with_names,
    with_page,
    with_page_vectors,
    without_twins,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..index.reader import KnowledgeIndex

_NAMED_AT_LEAST = 0.4  # a name less clear than this adds to scores but brings no candidates
_NAMED_SHARE = 0.6  # of the clearest name's score
_MOST_NAMED = 8  # documents that bring candidates of their own
_SPARE = 3  # times k chunks, from which joining and mixing choose


@dataclass(frozen=True, slots=True)
class NamedDocuments:
    """What a question says of documents. `named`: document id -> how clearly, see `naming`. Where
    it names some clearly, and asks something of them: their `paths`, the `question` without the
    names, and `vector` [dim], which stands between those of the whole question and of the rest,
    unit length."""

    named: Mapping[int, float]
    paths: tuple[str, ...] = ()
    question: str = ""
    vector: NDArray[np.float32] | None = None


def named_documents(index: KnowledgeIndex, question: str, where: Filter | None) -> NamedDocuments:
    """Without a vector, which takes an embedder."""
    named = index.named(question)
    paths = _leading(index, named, where)
    rest = without_names(question, paths) if paths else ""
    return NamedDocuments(named, paths, rest) if content_words(rest) else NamedDocuments(named)


def find_passages(
    index: KnowledgeIndex,
    question: str,
    vector: NDArray[np.float32],
    k: int,
    where: Filter | None = None,
    settings: RetrievalSettings | None = None,
    topic: NamedDocuments | None = None,
) -> list[Passage]:
    """The k best passages for a question and its unit vector [dim], best first; fewer where the
    library has no more. `topic` as `named_documents` gives it, with its vector.

    Where the question names documents, these bring candidates of their own, and chunks are compared
    with `topic.vector`: inside a company's report its name says nothing."""
    settings, topic = (
        settings or RetrievalSettings(),
        topic or NamedDocuments(index.named(question)),
    )
    count = max(settings.candidates, _SPARE * k)
    near, words = index.closest(vector, count, where), index.matching(question, count, where)
    least_words, asked = _least(words, count), vector
    ids = {*near, *words}
    if topic.vector is not None:
        inside = replace(where or Filter(), documents=topic.paths)
        meant = index.matching(question, count, inside)
        least_words, asked = _least(meant, count), topic.vector
        words |= meant
        ids |= {*words, *index.closest(asked, count, inside)}
    places = {place.id: place for place in index.places(sorted(ids))}
    compared = _compared(index, asked, list(places.values()), pages=settings.page > 0)
    floor = _least(compared, count), least_words
    scores = with_page(
        fuse(compared, words, weight=settings.weight, floor=floor), places, settings.page
    )
    scores = with_names(scores, places, topic.named, settings.names)
    groups = _groups(scores, places, k, settings)
    wanted = [i for group in groups for i in group]
    similarity = index.similarity(vector, wanted)
    chunks = {row.id: row.chunk for row in index.rows(wanted)}
    return [
        to_passage(g, chunks, max(scores[i] for i in g), max(similarity[i] for i in g))
        for g in groups
    ]


def _compared(
    index: KnowledgeIndex, vector: NDArray[np.float32], places: Sequence[Place], *, pages: bool
) -> dict[int, float]:
    """Cosine of each chunk, with its page where there is one."""
    around = index.pages_around(places) if pages else {}
    mates = (i for ids in around.values() for i in ids)
    similarity = index.similarity(vector, sorted({*(place.id for place in places), *mates}))
    return with_page_vectors(
        {place.id: similarity[place.id] for place in places}, around, similarity
    )


def _least(found: Mapping[int, float], count: int) -> float:
    """What scores 0: the last of the `count` best, and nothing at all where all that there is was
    found."""
    return sorted(found.values(), reverse=True)[count - 1] if len(found) >= count else 0.0


def _leading(
    index: KnowledgeIndex, named: Mapping[int, float], where: Filter | None
) -> tuple[str, ...]:
    """Paths of the documents that the question names most clearly, among those that may answer."""
    clearest = max(named.values(), default=0.0)
    if clearest < _NAMED_AT_LEAST:
        return ()
    ids = sorted(
        (i for i in named if named[i] >= _NAMED_SHARE * clearest), key=lambda i: (-named[i], i)
    )
    return tuple(index.paths(ids[:_MOST_NAMED], where))


def _groups(
    scores: Mapping[int, float], places: Mapping[int, Place], k: int, settings: RetrievalSettings
) -> list[list[int]]:
    """Ids of the chunks of each passage, in rank order."""
    order = without_twins(in_order(scores, places), places)
    if settings.join:
        return joined(mixed(order, scores, places, _SPARE * k, settings.mix), places, k)
    return [[i] for i in mixed(order, scores, places, k, settings.mix)]
