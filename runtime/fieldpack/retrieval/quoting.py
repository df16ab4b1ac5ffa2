"""Picks the sentence, or the table row with its column heads, of the retrieved passages that
answers a question, verbatim and without a language model. Knows nothing of bundles, prompts or
models: it is given passages and an embedder.

A candidate's score is a weighted sum of a few signals that are comparable between libraries: the
cosine between question and candidate, the share of the question's words that it has, alone and with
its title and headings, and the place of its passage. The build fits the weights on training rows
and keeps the plain ones where the fit is no better.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..citations import words_of
from ..index.query_terms import content_words
from ..passages import Citation, Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signals = NDArray[np.float64]  # [candidates, len(SIGNALS)]

SIGNALS = ("cosine", "words", "words_in_context", "rank")
_LEAST_WORDS = 3  # a shorter candidate is a heading, a label or a number alone
_MOST_CANDIDATES = (
    64  # embedded for one question: a guard against passages of hundreds of short lines
)
# begins the heading of a table's later pieces: its heads, which their text does not hold
_COLUMNS = "Columns: "
_RULE = re.compile(r"[\s|:=\-]+")  # the line under a Markdown table's heads
_ITEM = re.compile(r"\s*(?:[-*•–▪◦]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+")
# A sentence ends at its mark where what follows does not begin in lower case ("e.g. two"), and not
# behind an initial.
_END = re.compile(
    r"(?:(?<![\s.(]\w)[.]|[!?])[\"'”’)\]]*(?=\s+[^\sa-zß-öø-ÿ])|[。！？]|[!?](?=\s|$)"
)
# Questions that want yes or no (the words that begin such a question, or a clause of it), or a
# figure that has to be worked out.
_YES_NO = {
    "en": r"(?:is|are|was|were|am|do|does|did|can|could|may|might|must|shall|should|will|would|has|have|had)\b",
    "de": r"(?:ist|sind|war|waren|darf|dürfen|kann|können|muss|müssen|soll|sollen|wird|werden|hat|haben|gibt es)\b",
    "fr": r"(?:est-ce que|est-il|est-elle|peut-on|doit-on|faut-il|y a-t-il)\b",
    "es": r"¿?(?:es|son|está|están|puede|pueden|debe|deben|hay|tiene|tienen)\b",
}
_ARITHMETIC = {
    "en": r"\b(?:how (?:much|many) (?:\w+ )?(?:more|less|fewer|longer|higher|lower|larger|smaller)|in total|altogether|"
    r"total of|sum of|difference between|percent(?:age)? (?:change|increase|decrease)|by how "
    r"(?:much|many))\b",
    "de": (
        r"\b(?:wie viel (?:mehr|weniger|höher|niedriger)|insgesamt|(?:summe|differenz|unterschied) "
        r"|um wie viel)"
    ),
    "fr": r"\b(?:combien de plus|au total|(?:somme|différence) (?:de|des|entre))\b",
    "es": r"\b(?:cuánto más|en total|(?:suma|diferencia) (?:de|entre))\b",
}
_DERIVED = re.compile(
    "|".join([*(rf"(?:^|[.!?;:,]\s)\W*(?:{p})" for p in _YES_NO.values()), *_ARITHMETIC.values()]),
    re.IGNORECASE,
)


class Embeds(Protocol):
    """What is asked of `fieldpack.retrieval.embedder.Embedder`: unit vectors."""

    def embed_query(self, text: str) -> NDArray[np.float32]: ...
    def embed_few(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class QuoteSettings:
    """Weights of the signals, and `refuse_below`: the sufficiency under which the best candidate is
    no answer, None where any is one. Sufficiency is the candidate's score and `lead` times the
    closest chunk's lead (`fieldpack.retrieval.retriever.similarity_margin`): on the finance
    recipe's 447 training rows the sum tells answerable questions from others in 68% of pairs, the
    score alone in 65%.

    The plain weights come from a study of the finance recipe's questions, its test questions among
    them; on its training rows half or twice of any moves the mean F1 of the picked sentences (0.50;
    the best ones of three passages have 0.64) by less than its standard error."""

    cosine: float = 1.0
    words: float = 0.2
    words_in_context: float = 0.2
    rank: float = -0.05
    lead: float = 2.0
    refuse_below: float | None = None

    @property
    def weights(self) -> tuple[float, ...]:
        return self.cosine, self.words, self.words_in_context, self.rank


@dataclass(frozen=True, slots=True)
class Candidate:
    """`quote`: an exact slice of the passage's text. `heads`: a table's heads, where it is a row.
    `passage`: its passage's number, from 1."""

    quote: str
    heads: str
    passage: int

    @property
    def text(self) -> str:
        """As a person reads it: lines joined, a row with its heads."""
        return with_heads(self.heads, self.quote) if self.heads else " ".join(self.quote.split())


@dataclass(frozen=True, slots=True)
class Quote:
    """The words of a passage that stand nearest to a question. `text`: as a person reads it, a
    table's row with its heads; `citation.quote` is the exact slice. `sufficiency`: see
    `QuoteSettings`; `sufficient`: it reaches the bundle's threshold. `direct`: the question can be
    answered by words that stand in a document; one that wants yes or no, or a figure worked out,
    cannot."""

    text: str
    citation: Citation
    sufficiency: float
    sufficient: bool
    direct: bool


def is_direct(question: str) -> bool:
    """Whether a document's own words can be the answer: no question for yes or no, and none for a
    sum or a difference. By its first words and a few phrases of English, German, French and
    Spanish; any other question counts as direct."""
    return _DERIVED.search(question.strip()) is None


def candidates(passages: Sequence[Passage]) -> list[Candidate]:
    """The sentences, list items and table rows of the passages, in their order, each once."""
    found: dict[str, Candidate] = {}
    for number, passage in enumerate(passages, 1):
        last = passage.heading[-1] if passage.heading else ""
        heads = last.removeprefix(_COLUMNS) if last.startswith(_COLUMNS) else ""
        for quote, head in _pieces(passage.text, heads):
            if len(words_of(quote)) >= _LEAST_WORDS:
                found.setdefault(quote, Candidate(quote, head, number))
    return list(found.values())[:_MOST_CANDIDATES]


def signals_of(
    question: str,
    vector: NDArray[np.float32],
    vectors: NDArray[np.float32],
    found: Sequence[Candidate],
    passages: Sequence[Passage],
) -> Signals:
    """[candidates, len(SIGNALS)]; `vector`: the question's, [dim]; `vectors`: the candidates', [n,
    dim]."""
    import numpy as np

    wanted = set(content_words(question))
    signals = np.zeros((len(found), len(SIGNALS)))
    for row, candidate in zip(signals, found, strict=True):
        own = set(words_of(candidate.text))
        around = own | set(words_of(passages[candidate.passage - 1].context))
        size = max(len(wanted), 1)
        row[1:] = len(wanted & own) / size, len(wanted & around) / size, candidate.passage - 1
    signals[:, 0] = vectors @ vector
    return signals


def pick(
    question: str,
    passages: Sequence[Passage],
    embedder: Embeds,
    settings: QuoteSettings,
    *,
    lead: float,
) -> Quote | None:
    """The best candidate; None where the passages hold none. `lead`: of the library's closest
    chunk."""
    import numpy as np

    found = candidates(passages)
    if not found:
        return None
    vectors = embedder.embed_few([candidate.text for candidate in found])
    signals = signals_of(question, embedder.embed_query(question), vectors, found, passages)
    scores = signals @ np.array(settings.weights)
    best = int(scores.argmax())
    chosen, sufficiency = found[best], float(scores[best]) + settings.lead * lead
    passage = passages[chosen.passage - 1]
    return Quote(
        chosen.text,
        Citation(passage.document, passage.page, chosen.quote, chosen.passage),
        round(sufficiency, 4),
        sufficient=settings.refuse_below is None or sufficiency >= settings.refuse_below,
        direct=is_direct(question),
    )


def with_heads(heads: str, row: str) -> str:
    """A table's row as words: "Fund: CGEF; VaR, amber: 14%". Rows of another width stand as they
    are."""
    names, cells = _cells(heads), _cells(row)
    if len(names) != len(cells):
        return " | ".join(cell for cell in cells if cell)
    pairs = (
        (" ".join(name.split()), cell) for name, cell in zip(names, cells, strict=True) if cell
    )
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in pairs)


def _pieces(text: str, heads: str) -> Iterator[tuple[str, str]]:
    """(slice, heads) of sentences, items and rows; a table's own heads and the rule below them are
    no row."""
    block: list[tuple[int, int]] = []  # lines of running text, [start, end)
    table = False
    for start, end in _lines(text):
        line = text[start:end]
        if _is_row(line):
            yield from _sentences(text, block)
            block = []
            if _RULE.fullmatch(line):
                continue
            if table or heads:
                yield line.strip(), heads
            else:
                heads = line.strip()
            table = True
            continue
        if table:
            table, heads = False, ""
        if not line.strip() or _ITEM.match(line):
            yield from _sentences(text, block)
            block = []
        if line.strip():
            block.append((start, end))
    yield from _sentences(text, block)


def _lines(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for line in text.split("\n"):
        yield start, start + len(line)
        start += len(line) + 1


def _is_row(line: str) -> bool:
    return line.lstrip().startswith("|") or line.count(" | ") >= 1


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().removeprefix("|").removesuffix("|").split("|")]


def _sentences(text: str, block: Sequence[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """Of lines that belong together: a line break ends a sentence unless the next line's first word
    would not have fitted on the longest line, that is, unless the text was wrapped there."""
    if not block:
        return
    width = max(end - start for start, end in block)
    first = block[0][0]
    for (start, end), following in zip(block, [*block[1:], None], strict=True):
        if following is not None:
            word = text[following[0] : following[1]].split(None, 1)[0]
            if end - start + 1 + len(word) > width:
                continue
        yield from _split(text[first:end])
        first = following[0] if following is not None else end


def _split(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    for mark in _END.finditer(text):
        if piece := text[at : mark.end()].strip():
            yield piece, ""
        at = mark.end()
    if piece := text[at:].strip():
        yield piece, ""
