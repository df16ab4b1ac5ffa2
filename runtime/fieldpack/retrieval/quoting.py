"""Picks the sentence, or the table row with its column heads, of the retrieved passages that
answers a question, verbatim and without a language model. Takes passages and an embedder; knows
nothing of bundles, prompts or models.

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
from ..passages import COLUMNS, Citation, Passage
from .codes import held_codes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signals = NDArray[np.float64]  # [candidates, len(SIGNALS)]

SIGNALS = ("cosine", "words", "words_in_context", "rank")
_MIN_WORDS = 3  # a shorter candidate is a heading, a label or a number alone
# Embedded for one question: a guard against passages of hundreds of short lines.
_MAX_CANDIDATES = 64
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
    """What quoting needs of `fieldpack.retrieval.embedder.Embedder`."""

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """Return the unit vector of a question, [dim]."""
        ...

    def embed_few(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the unit vectors of n texts, [n, dim]."""
        ...


@dataclass(frozen=True, slots=True)
class QuoteSettings:
    """The weights of the signals, and `refuse_below`: the sufficiency under which the best
    candidate is no answer, None where any is one. Sufficiency is the candidate's score plus `lead`
    times the similarity margin (`fieldpack.retrieval.retriever.similarity_margin`): on the finance
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
        """The weights in the order of SIGNALS."""
        return self.cosine, self.words, self.words_in_context, self.rank


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence, list item or table row that may answer. `quote`: an exact slice of the passage's
    text. `heads`: the table's column heads, where it is a row. `passage`: its passage's number,
    from 1."""

    quote: str
    heads: str
    passage: int

    @property
    def text(self) -> str:
        """The candidate as a person reads it: lines joined, a row with its heads."""
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
    """Return whether a document's own words can be the answer: not to a question for yes or no, nor
    for a sum or a difference. Decided by first words and a few phrases of English, German, French
    and Spanish; any other question counts as direct."""
    return _DERIVED.search(question.strip()) is None


def candidates(passages: Sequence[Passage]) -> list[Candidate]:
    """Return the sentences, list items and table rows of the passages, in their order, each
    once."""
    by_quote: dict[str, Candidate] = {}
    for number, passage in enumerate(passages, 1):
        last = passage.heading[-1] if passage.heading else ""
        heads = last.removeprefix(COLUMNS) if last.startswith(COLUMNS) else ""
        for quote, head in _pieces(passage.text, heads):
            if len(words_of(quote)) >= _MIN_WORDS:
                by_quote.setdefault(quote, Candidate(quote, head, number))
    return list(by_quote.values())[:_MAX_CANDIDATES]


def signals_of(
    question: str,
    vector: NDArray[np.float32],
    vectors: NDArray[np.float32],
    candidates: Sequence[Candidate],
    passages: Sequence[Passage],
) -> Signals:
    """Return the signals of candidates, [n, len(SIGNALS)]. `vector`: the question's, [dim];
    `vectors`: the candidates', [n, dim]."""
    import numpy as np

    question_words = set(content_words(question))
    size = max(len(question_words), 1)
    signals = np.zeros((len(candidates), len(SIGNALS)))
    for row, candidate in zip(signals, candidates, strict=True):
        own = set(words_of(candidate.text))
        in_context = own | set(words_of(passages[candidate.passage - 1].context))
        shares = len(question_words & own) / size, len(question_words & in_context) / size
        row[1:] = *shares, candidate.passage - 1
    signals[:, 0] = vectors @ vector
    return signals


def pick(
    question: str,
    passages: Sequence[Passage],
    embedder: Embeds,
    settings: QuoteSettings,
    *,
    margin: float,
) -> Quote | None:
    """Return the best candidate as a quote; None where the passages hold none. `margin`: the
    question's similarity margin. Where the question names a code ("AB-1234-X"), only candidates
    that hold it are chosen from, and they are sufficient."""
    import numpy as np

    choices = candidates(passages)
    if not choices:
        return None
    codes = held_codes(question, [choice.quote for choice in choices])
    has_code = max(codes) > 0
    choices = [c for c, held in zip(choices, codes, strict=True) if held == max(codes)]
    vectors = embedder.embed_few([candidate.text for candidate in choices])
    signals = signals_of(question, embedder.embed_query(question), vectors, choices, passages)
    scores = signals @ np.array(settings.weights)
    best = int(scores.argmax())
    chosen, sufficiency = choices[best], float(scores[best]) + settings.lead * margin
    passage = passages[chosen.passage - 1]
    return Quote(
        chosen.text,
        Citation(passage.document, passage.page, chosen.quote, chosen.passage),
        round(sufficiency, 4),
        sufficient=has_code
        or settings.refuse_below is None
        or sufficiency >= settings.refuse_below,
        direct=is_direct(question),
    )


def with_heads(heads: str, row: str) -> str:
    """Return a table's row as words: "Fund: CGEF; VaR, amber: 14%". Rows of another width stay as
    they are."""
    names, cells = _cells(heads), _cells(row)
    if len(names) != len(cells):
        return " | ".join(cell for cell in cells if cell)
    pairs = (
        (" ".join(name.split()), cell) for name, cell in zip(names, cells, strict=True) if cell
    )
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in pairs)


def _pieces(text: str, heads: str) -> Iterator[tuple[str, str]]:
    """Yield (slice, heads) of sentences, items and rows; a table's own heads and the rule below
    them are no row."""
    block: list[tuple[int, int]] = []  # lines of running text, [start, end)
    table = False
    end = -1
    for line in text.split("\n"):
        start, end = end + 1, end + 1 + len(line)
        if line.lstrip().startswith("|") or " | " in line:
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


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().removeprefix("|").removesuffix("|").split("|")]


def _sentences(text: str, block: Sequence[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """Yield the sentences of lines that belong together. A line break ends a sentence unless the
    next line's first word would not have fitted on the longest line, that is, unless the text was
    wrapped there."""
    if not block:
        return
    width = max(end - start for start, end in block)
    first = block[0][0]
    for (start, end), following in zip(block, [*block[1:], None], strict=True):
        if following is not None:
            word = text[following[0] : following[1]].split(None, 1)[0]
            if end - start + 1 + len(word) > width:
                continue
        ends = [first + mark.end() for mark in _END.finditer(text[first:end])]
        for stop in (*ends, end):
            if piece := text[first:stop].strip():
                yield piece, ""
            first = stop
        first = following[0] if following is not None else end
