"""Questions made of a library's own sentences, without a language model, for a library that has no
training rows. Knows nothing of how a question is searched for or judged.

They ask in the document's own words, as hardly anybody does, so a quote is found for them more
easily than for real questions. Of the library they say what its sentences and tables lack that
questions name: the years of a table's columns, a title that only the first page has.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fieldpack.index.query_terms import word_spans
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.language import is_unspaced
from fieldpack.passages import COLUMNS, Chunk, Passage
from fieldpack.retrieval.quoting import candidates

# Words of a question, without those of its form ("what", "is"): questions that people wrote for
# seven libraries have 2.5 to 8 of them, the median of these medians is 5. N-grams of a script
# without blanks say less.
_WORDS, _NGRAMS = 5, 8
_LEAST_WORDS = 4  # of a sentence; of a shorter one too little is left to ask with
_CHUNKS = 5000  # that are looked into, evenly over the library
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_HEAD = 25  # characters of a column's head


@dataclass(frozen=True, slots=True)
class MadeQuestion:
    """A question that the chunk `chunk_id` answers."""

    text: str
    chunk_id: int


def make_questions(index: KnowledgeIndex, count: int) -> list[MadeQuestion]:
    """Return at most `count` questions, one for a sentence; documents take turns, so that none has
    many more than another. The same library gives the same questions.

    A question is some of its sentence's words, drawn, in their order. What has a digit is left out,
    as it may be what is asked for; but a table's row is asked for by two of the years that head
    columns in its document, if there are any. Where most documents have such tables, as annual
    reports do, people's questions name years, and so do all of these."""
    chunks = _sample(index)
    small = {
        word
        for _, chunk in chunks
        for word in re.findall(r"\w+", chunk.in_context)
        if word[0].islower()
    }
    years = _head_years(chunks)
    by_years = 2 * sum(map(bool, years.values())) > len(years)
    made: list[MadeQuestion] = []
    for chunk_id, document, sentence in _in_turn(chunks):
        words = _words(sentence, index.languages, small)
        if len(words) < _LEAST_WORDS:
            continue
        chance = random.Random(sentence)
        unspaced = is_unspaced(words[0])
        most = min(_NGRAMS if unspaced else _WORDS, len(words))
        words = [words[place] for place in sorted(chance.sample(range(len(words)), most))]
        if by_years or "|" in sentence:
            words += chance.sample(years[document], min(2, len(years[document])))
        text = ("" if unspaced else " ").join(words) + ("？" if unspaced else "?")
        made.append(MadeQuestion(text, chunk_id))
        if len(made) == count:
            break
    return made


def _words(sentence: str, languages: Sequence[str], small: set[str]) -> list[str]:
    """Return a sentence's words as a question has them, each once: without those of a question's
    form, single letters and those with a digit; in small letters where the library has them so."""
    spans = sorted(word_spans(sentence, languages))
    words = (sentence[start:end] for start, end in spans if end - start > 1)
    plain = (word.lower() if word.lower() in small else word for word in words)
    return list(dict.fromkeys(word for word in plain if not any(map(str.isdigit, word))))


def _sample(index: KnowledgeIndex) -> list[tuple[int, Chunk]]:
    """Return chunks with their ids, evenly over the library; copies are left out."""
    ids, _ = index.sample_vectors(_CHUNKS)
    rows = index.rows(ids.tolist())
    return [(row.id, row.chunk) for row in rows if row.duplicate_of is None]


def _in_turn(chunks: Sequence[tuple[int, Chunk]]) -> Iterator[tuple[int, str, str]]:
    """Yield (chunk id, document, sentence or table row), each text once, one of each document and
    then the next of each, in an order drawn by the documents' names."""
    by_document: dict[str, list[tuple[int, Chunk]]] = {}
    for chunk_id, chunk in chunks:
        by_document.setdefault(chunk.document, []).append((chunk_id, chunk))
    documents = sorted(by_document)
    random.Random(0).shuffle(documents)
    left = [_sentences(by_document[document]) for document in documents]
    seen: set[str] = set()
    while left:
        going = []
        for sentences in left:
            if one := next(sentences, None):
                going.append(sentences)
                if one[2] not in seen:
                    seen.add(one[2])
                    yield one
        left = going


def _sentences(chunks: Sequence[tuple[int, Chunk]]) -> Iterator[tuple[int, str, str]]:
    """Yield a document's sentences, chunk after chunk, both in a drawn order."""
    document = chunks[0][1].document
    for chunk_id, chunk in random.Random(document).sample(list(chunks), len(chunks)):
        passage = Passage(
            chunk_id, document, chunk.title, chunk.page, chunk.heading, chunk.text, 0.0, 0.0
        )
        quotes = [one.quote for one in candidates([passage])]
        for quote in random.Random(chunk.text).sample(quotes, len(quotes)):
            yield chunk_id, document, quote


def _head_years(chunks: Sequence[tuple[int, Chunk]]) -> dict[str, list[str]]:
    """Return the years in the heads of each document's tables: in rows with two of them or more."""
    years: dict[str, set[str]] = {}
    for _, chunk in chunks:
        known = years.setdefault(chunk.document, set())
        for line in (*chunk.text.split("\n"), *chunk.heading):
            cells = [cell.strip() for cell in line.removeprefix(COLUMNS).split("|")]
            heads = [cell for cell in cells if len(cell) <= _HEAD and _YEAR.search(cell)]
            if len(heads) > 1:
                known.update(year for head in heads for year in _YEAR.findall(head))
    return {document: sorted(its_years) for document, its_years in years.items()}
