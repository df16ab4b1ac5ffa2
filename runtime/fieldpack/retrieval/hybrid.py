"""Finds a question's passages: candidates from vectors, from BM25, from the documents that the
question names and from the codes in it; then their fusion. Knows nothing of embedders or of how the
index is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..index.document_names import NamingTerm, named_scores, without_names
from ..index.query_terms import search_terms
from ..passages import Filter, Passage, Place
from ..untrusted import WrongValue
from .codes import code_spans, holders
from .fusion import (
    RetrievalSettings,
    add_code_bonus,
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
_MOST_WITH_CODE = 50  # chunks; what stands in more of them is a word like others


@dataclass(frozen=True, slots=True)
class NamedDocuments:
    """The documents that a question names. `terms`: the words that name them. Where the question
    names some clearly and asks something of them: their `paths`, the `question` without the names,
    and `vector` [dim], the unit vector between those of the whole question and of the rest."""

    terms: Sequence[NamingTerm]
    paths: tuple[str, ...] = ()
    question: str = ""
    vector: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the index says of a question's candidates, before any weight. By chunk id: `places`,
    `words` (BM25) and `codes` (how many of the question's codes it holds); `cosines` also of the
    other chunks on the `pages` of candidates, (document id, page) -> ids. `word_floor`: the BM25
    score that counts as 0. `naming`: the words that name documents, each with the candidates whose
    text says it."""

    places: Mapping[int, Place]
    cosines: Mapping[int, float]
    pages: Mapping[tuple[int, int], Sequence[int]]
    words: Mapping[int, float]
    word_floor: float
    naming: Sequence[tuple[NamingTerm, frozenset[int]]]
    codes: Mapping[int, int]


def named_documents(index: KnowledgeIndex, question: str, where: Filter | None) -> NamedDocuments:
    """Return the documents that a question names, among those that may answer; without a vector,
    which takes an embedder."""
    terms = index.naming_terms(question)
    scores = named_scores(terms)
    clearest = max(scores.values(), default=0.0)
    if clearest < _MIN_NAME_SCORE:
        return NamedDocuments(terms)
    clear = [i for i in scores if scores[i] >= _NAME_SHARE * clearest]
    clear.sort(key=lambda i: (-scores[i], i))
    paths = tuple(index.paths(clear[:_MAX_NAMED], where))
    rest = without_names(question, paths) if paths else ""
    asks_more = bool(rest) and bool(search_terms(rest, index.languages))
    return NamedDocuments(terms, paths, rest) if asks_more else NamedDocuments(terms)


def chunks_with_codes(
    index: KnowledgeIndex, question: str, where: Filter | None = None
) -> dict[int, int]:
    """Return how many of the question's codes each chunk holds, by id, of those that hold one: part
    numbers and references that stand in few places of the library, however their parts are joined
    there. A code that stands nowhere by itself is taken as the beginning or end of a longer one."""
    held: Counter[int] = Counter()
    taken: set[int] = set()
    lookup = index.code_lookup()
    for span in code_spans(question, index.languages):
        words = set(range(span.first, span.end))
        if words & taken:
            continue
        ids = lookup.rows(span.parts, _MOST_WITH_CODE)
        if ids is None:
            taken |= words  # its parts stand in no fewer places
            continue
        holding = holders(span.glued, {row.id: row.chunk.in_context for row in index.rows(ids)})
        if holding:
            taken |= words
            held.update(index.allowed(holding, where))
    return held


def find_evidence(
    index: KnowledgeIndex,
    question: str,
    vector: NDArray[np.float32],
    count: int,
    where: Filter | None,
    named: NamedDocuments,
    *,
    pages: bool,
    phrase_weight: float,
) -> Evidence:
    """Return what the index says of a question's candidates: `count` of vectors and of words each,
    as many of documents that the question names, and the chunks with its codes. `vector`: of the
    question, [dim]; `named`: as `named_documents` returns it, with its vector; `pages`: whether to
    look at the other chunks on the candidates' pages; `phrase_weight`: as of `matching`.

    Where the question names documents, these bring candidates of their own, and chunks are compared
    with `named.vector`: inside a company's report its name says nothing."""
    near = index.closest(vector, count, where)
    words = index.matching(question, count, where, phrase_weight=phrase_weight)
    codes = chunks_with_codes(index, question, where)
    word_floor, query_vector = _score_floor(words, count), vector
    ids = {*near, *words, *codes}
    if named.vector is not None:
        inside = replace(where or Filter(), documents=named.paths)
        words_inside = index.matching(question, count, inside, phrase_weight=phrase_weight)
        word_floor, query_vector = _score_floor(words_inside, count), named.vector
        words |= words_inside
        ids |= {*words, *index.closest(query_vector, count, inside)}
    places = {place.id: place for place in index.places(sorted(ids))}
    if len(places) < len(ids):
        raise WrongValue("the index has words or vectors of chunks that the library does not hold")
    around = index.pages_around(list(places.values())) if pages else {}
    page_mates = {i for page in around.values() for i in page}
    cosines = index.similarity(query_vector, sorted({*places, *page_mates}))
    naming = [(term, frozenset(index.saying(term.phrase, places))) for term in named.terms]
    return Evidence(places, cosines, around, words, word_floor, naming, codes)


def score_candidates(evidence: Evidence, settings: RetrievalSettings) -> dict[int, float]:
    """Return the candidates' scores by id."""
    places = evidence.places
    own = {i: evidence.cosines[i] for i in places}
    near = (
        blend_page_vectors(own, evidence.pages, evidence.cosines)
        if settings.page_boost > 0
        else own
    )
    floors = _score_floor(near, settings.candidates), evidence.word_floor
    scores = fuse(near, evidence.words, vector_weight=settings.vector_weight, floors=floors)
    scores = add_page_bonus(scores, places, settings.page_boost)
    scores = add_name_bonus(scores, places, evidence.naming, settings.name_boost)
    return add_code_bonus(scores, evidence.codes)


def choose_groups(
    scores: Mapping[int, float], places: Mapping[int, Place], k: int, settings: RetrievalSettings
) -> list[list[int]]:
    """Return the ids of the k best passages' chunks, best first."""
    order = drop_duplicates(rank(scores, places), places)
    if settings.merge_adjacent:
        order = diversify_pages(order, scores, places, _SPARE * k, settings.page_penalty)
        return group_neighbours(order, places, k)
    return [[i] for i in diversify_pages(order, scores, places, k, settings.page_penalty)]


def candidates_for(k: int, settings: RetrievalSettings) -> int:
    """Return how many chunks vectors and words bring each, for k passages."""
    return max(settings.candidates, _SPARE * k)


def rank_passages(
    index: KnowledgeIndex,
    evidence: Evidence,
    vector: NDArray[np.float32],
    k: int,
    settings: RetrievalSettings,
) -> list[Passage]:
    """Return the k best passages of a question's candidates, best first; fewer where the library has
    no more. `vector`: of the question, [dim]."""
    scores = score_candidates(evidence, settings)
    groups = choose_groups(scores, evidence.places, k, settings)
    chosen = [i for group in groups for i in group]
    similarity = index.similarity(vector, chosen)
    chunks = {row.id: row.chunk for row in index.rows(chosen)}
    return [
        to_passage(g, chunks, max(scores[i] for i in g), max(similarity[i] for i in g))
        for g in groups
    ]


def find_passages(
    index: KnowledgeIndex,
    question: str,
    vector: NDArray[np.float32],
    k: int,
    where: Filter | None = None,
    settings: RetrievalSettings | None = None,
) -> list[Passage]:
    """Return the k best passages for a question and its unit vector [dim], best first, without an
    embedder: all chunks are compared with the whole question's vector."""
    settings = settings or RetrievalSettings()
    named = NamedDocuments(index.naming_terms(question))
    count = candidates_for(k, settings)
    pages = settings.page_boost > 0
    evidence = find_evidence(
        index,
        question,
        vector,
        count,
        where,
        named,
        pages=pages,
        phrase_weight=settings.phrase_weight,
    )
    return rank_passages(index, evidence, vector, k, settings)


def _score_floor(scores: Mapping[int, float], count: int) -> float:
    """Return what counts as a score of 0: the last of the `count` best; 0 where there are fewer, as
    then all that there is was found."""
    return sorted(scores.values(), reverse=True)[count - 1] if len(scores) >= count else 0.0
