"""Picks the sentence, or the table row with its column heads, of the retrieved passages that
answers a question, verbatim and without a language model. Takes passages and an embedder; knows
nothing of bundles, prompts or models.

A candidate's score is a weighted sum of a few signals that are comparable between libraries: the
cosine between question and candidate, the share of the question's words that it has, alone and with
its title and headings, the place of its passage, and how near its tokens come to each word of the
question (late interaction: Khattab & Zaharia 2020, arXiv:2004.12832). The build fits the weights on
training rows and keeps the plain ones where the fit is no better. Whether the best candidate answers
the question is for `sufficiency` to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..citations import words_of
from ..index.query_terms import word_spans
from ..language import fold, ngram_spans, question_kinds
from ..passages import COLUMNS, Citation, Passage
from .codes import held_codes
from .sufficiency import (
    ANSWERABLE,
    FEATURES,
    SAYS_IT,
    features_of,
    probability,
    weigh,
)
from .word_forms import Compounds, text_forms, words_to_match

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .embedder import TokenVectors

    Signals = NDArray[np.float64]  # [candidates, len(SIGNALS)]

SIGNALS = ("cosine", "words", "words_in_context", "rank", "tokens")
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


class Embeds(Protocol):
    """What quoting needs of `fieldpack.retrieval.embedder.Embedder`."""

    def embed_tokens(self, texts: Sequence[str], *, query: bool = False) -> list[TokenVectors]:
        """Return the vectors of n texts and of their tokens."""
        ...


@dataclass(frozen=True, slots=True)
class QuoteSettings:
    """The weights of the signals, and what the best candidate is judged by: the weights of
    `sufficiency.FEATURES`, a constant term last. `answerable`: for the log odds that the documents
    answer the question, the quote's sufficiency; `says_it`: for those that the quote has most of
    the answer's words, its sureness. `refuse_below`: the sufficiency under which the best candidate
    is no answer, None where any is one.

    The plain weights were fitted on the finance recipe's training rows. There the mean F1 of the
    picked sentences is 0.512 without `tokens` and 0.542 with it (difference 0.030, 95% 0.014 to
    0.046, in five folds by document; the best ones of three passages have 0.645), and on 160
    questions of TAT-QA the sentence with the answer is picked in 76% instead of 73%."""

    cosine: float = 0.3
    words: float = 0.1
    words_in_context: float = 0.2
    rank: float = -0.05
    tokens: float = 1.0
    answerable: tuple[float, ...] = ANSWERABLE
    says_it: tuple[float, ...] = SAYS_IT
    refuse_below: float | None = None

    def __post_init__(self) -> None:
        for name in ("answerable", "says_it"):
            if len(getattr(self, name)) != len(FEATURES) + 1:
                raise ValueError(f"{name}: want {len(FEATURES) + 1} weights")

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights in the order of SIGNALS."""
        return self.cosine, self.words, self.words_in_context, self.rank, self.tokens

    @classmethod
    def of_older(cls, data: Mapping[str, object]) -> dict[str, object]:
        """Return the settings that say the same as those of a bundle from before the tokens were
        compared: there sufficiency was the score plus `lead` times the margin."""
        if "tokens" in data:
            return dict(data)
        lead = data.get("lead", 2.0)
        same = {name: value for name, value in data.items() if name != "lead"}
        return {**same, "tokens": 0.0, "answerable": (1.0, lead, 0.0, 0.0, 0.0, 0.0)}


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
    `QuoteSettings`; `sureness`: the estimated probability, 0 to 1, that it says the answer;
    `sufficient`: it reaches the bundle's threshold. `direct`: the question can be answered by words
    that stand in a document; one that wants yes or no, or a figure worked out, cannot."""

    text: str
    citation: Citation
    sufficiency: float
    sureness: float
    sufficient: bool
    direct: bool


def is_direct(question: str) -> bool:
    """Return whether a document's own words can be the answer: not to a question for yes or no, nor
    for a sum or a difference. Decided by first words and a few phrases of the languages in
    `language/question_kinds.toml`; any other question counts as direct."""
    return question_kinds(question).derived.search(fold(question.strip())) is None


def candidates(passages: Sequence[Passage]) -> list[Candidate]:
    """Return the sentences, list items and table rows of the passages, in their order, each
    once."""
    by_quote: dict[str, Candidate] = {}
    for number, passage in enumerate(passages, 1):
        last = passage.heading[-1] if passage.heading else ""
        heads = last.removeprefix(COLUMNS) if last.startswith(COLUMNS) else ""
        for quote, head in _pieces(passage.text, heads):
            # In scripts without blanks a sentence is one word to `words_of`, and many n-grams.
            if len(words_of(quote)) + len(ngram_spans(quote)) >= _MIN_WORDS:
                by_quote.setdefault(quote, Candidate(quote, head, number))
    return list(by_quote.values())[:_MAX_CANDIDATES]


def near_words(
    question: QuestionWords,
    vectors: Sequence[TokenVectors],
    contexts: Sequence[TokenVectors],
    candidates: Sequence[Candidate],
) -> NDArray[np.float64]:
    """Return how near candidates, their passages' titles and headings included, come to each word of
    the question, [n, words]. `vectors`: the candidates'; `contexts`: those of the passages' titles
    and headings."""
    import numpy as np

    near = np.zeros((len(candidates), len(question.spans)))
    near_context = [question.nearness(context) for context in contexts]
    for row, candidate, vector in zip(near, candidates, vectors, strict=True):
        row[:] = np.maximum(question.nearness(vector), near_context[candidate.passage - 1])
    return near


def near_passages(
    question: QuestionWords, near: NDArray[np.float64], candidates: Sequence[Candidate]
) -> dict[int, dict[str, float]]:
    """Return how near the candidates of each passage come together to each word of the question, by
    the passage's number and the word in lower case. `near`: that of `near_words`."""
    words = [question.text[start:end].lower() for start, end in question.spans]
    by_passage: dict[int, dict[str, float]] = {}
    for row, candidate in zip(near.tolist(), candidates, strict=True):
        most = by_passage.setdefault(candidate.passage, {})
        for word, value in zip(words, row, strict=True):
            most[word] = max(most.get(word, -1.0), value)
    return by_passage


def signals_of(
    question: QuestionWords,
    vectors: Sequence[TokenVectors],
    near: NDArray[np.float64],
    candidates: Sequence[Candidate],
    passages: Sequence[Passage],
) -> Signals:
    """Return the signals of candidates, [n, len(SIGNALS)]. `vectors`: the candidates'; `near`: that
    of `near_words`."""
    import numpy as np

    signals = np.zeros((len(candidates), len(SIGNALS)))
    context_forms = [text_forms(passage.context, question.languages) for passage in passages]
    own_forms = [text_forms(candidate.text, question.languages) for candidate in candidates]
    said = set().union(*context_forms, *own_forms)
    words = Compounds.of(question.words, said, question.languages)
    size = max(len(question.words), 1)
    for row, candidate, vector, own in zip(signals, candidates, vectors, own_forms, strict=True):
        in_context = own | context_forms[candidate.passage - 1]
        row[0] = question.vectors.vector @ vector.vector
        row[1:3] = words.count_in(own) / size, words.count_in(in_context) / size
        row[3] = candidate.passage - 1
    signals[:, 4] = near @ question.weights
    return signals


@dataclass(frozen=True, slots=True)
class QuestionWords:
    """A question as its candidates are compared with it. `spans`: the [start, end) of each of its
    content words in `text`; `weights`: how much each counts, [spans], by its rarity in the library, 1
    together. `words`: the content words as texts have them, see `word_forms`;
    `languages`: those of the library's documents."""

    text: str
    words: tuple[frozenset[str], ...]
    languages: tuple[str, ...]
    vectors: TokenVectors
    spans: tuple[tuple[int, int], ...]
    weights: NDArray[np.float64]

    def nearness(self, other: TokenVectors) -> NDArray[np.float64]:
        """Return how near a text comes to each word, [words]: the mean over the word's tokens of
        the cosine to the nearest token of the text; 0 where there is none."""
        import numpy as np

        near = np.zeros(len(self.spans))
        if not len(other.tokens):
            return near
        best = (self.vectors.tokens @ other.tokens.T).max(axis=1)  # [tokens of the question]
        for number, (start, end) in enumerate(self.spans):
            own = [
                i
                for i, (first, last) in enumerate(self.vectors.spans)
                if first < end and last > start
            ]
            near[number] = best[own].mean() if own else 0.0
        return near


def question_words(
    question: str,
    embedder: Embeds,
    rarity: Callable[[Sequence[str]], Sequence[float]],
    languages: Sequence[str] = (),
) -> QuestionWords:
    """Return a question's words with their vectors and weights. `rarity`: how rare words are in the
    library, 0 and up (`retriever.Retriever.rarity`); `languages`: those of its documents."""
    import numpy as np

    (vectors,) = embedder.embed_tokens([question], query=True)
    spans = word_spans(question, languages)
    rare = np.array(rarity([question[start:end].lower() for start, end in spans]), dtype=float)
    if rare.sum() <= 0:
        rare = np.ones(len(spans))
    return QuestionWords(
        question,
        tuple(words_to_match(question, languages)),
        tuple(languages),
        vectors,
        tuple(spans),
        rare / max(rare.sum(), 1.0e-12),
    )


@dataclass(frozen=True, slots=True)
class Ranking:
    """The candidates for a question, best first, with their `scores`. `near`: that of
    `near_passages`. `has_code`: the candidates hold a code of the question."""

    candidates: list[Candidate]
    scores: list[float]
    near: dict[int, dict[str, float]]
    has_code: bool


def rank(
    question: str,
    passages: Sequence[Passage],
    embedder: Embeds,
    settings: QuoteSettings,
    *,
    rarity: Callable[[Sequence[str]], Sequence[float]],
    languages: Sequence[str] = (),
) -> Ranking:
    """Return the candidates of the passages, best first. Where the question names a code
    ("AB-1234-X") that some of them hold, only these. `rarity`, `languages`: as in `pick`."""
    import numpy as np

    choices = candidates(passages)
    if not choices:
        return Ranking([], [], {}, has_code=False)
    codes = held_codes(question, [choice.quote for choice in choices], languages)
    choices = [c for c, held in zip(choices, codes, strict=True) if held == max(codes)]
    words = question_words(question, embedder, rarity, languages)
    vectors = embedder.embed_tokens([candidate.text for candidate in choices])
    titles = dict.fromkeys(passage.context for passage in passages)  # often one for them all
    read = dict(zip(titles, embedder.embed_tokens(list(titles)), strict=True))
    near = near_words(words, vectors, [read[passage.context] for passage in passages], choices)
    signals = signals_of(words, vectors, near, choices, passages)
    scores: list[float] = (signals @ np.array(settings.weights)).tolist()
    order = sorted(range(len(choices)), key=lambda i: -scores[i])
    return Ranking(
        [choices[i] for i in order],
        [scores[i] for i in order],
        near_passages(words, near, choices),
        has_code=max(codes) > 0,
    )


def pick(
    question: str,
    passages: Sequence[Passage],
    embedder: Embeds,
    settings: QuoteSettings,
    *,
    margin: float,
    rarity: Callable[[Sequence[str]], Sequence[float]],
    languages: Sequence[str] = (),
) -> Quote | None:
    """Return the best candidate as a quote; None where the passages hold none. `margin`: the
    question's similarity margin; `rarity`: how rare words are in the library; `languages`: those of
    its documents, in whose forms words are compared. A candidate that holds a code of the question
    ("AB-1234-X") is sufficient."""
    ranking = rank(question, passages, embedder, settings, rarity=rarity, languages=languages)
    if not ranking.candidates:
        return None
    chosen = ranking.candidates[0]
    passage = passages[chosen.passage - 1]
    features = features_of(
        question,
        chosen.text,
        passage.in_context,
        scores=ranking.scores,
        margin=margin,
        near=ranking.near[chosen.passage],
    )
    sufficiency = round(weigh(features, settings.answerable), 4)
    return Quote(
        chosen.text,
        Citation(passage.document, passage.page, chosen.quote, chosen.passage),
        sufficiency,
        round(probability(weigh(features, settings.says_it)), 4),
        sufficient=ranking.has_code
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
