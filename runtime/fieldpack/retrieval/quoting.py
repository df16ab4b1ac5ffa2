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
from typing import TYPE_CHECKING

from ..citations import words_of
from ..language import fold, ngram_spans, question_kinds, sentence_ends
from ..passages import COLUMNS, Citation, Passage
from .codes import held_codes
from .late_interaction import Embeds, QuestionWords, question_words
from .quote_text import Shown, nearest_clause, with_gaps, with_heads
from .sufficiency import (
    ANSWERABLE,
    FEATURES,
    SAYS_IT,
    features_of,
    probability,
    weigh,
)
from .word_forms import Compounds, text_forms

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
_MARKS = ".!?:;。！？：；"  # at the end of a line that is a sentence, or that others follow
_FULL_LINE = 0.75  # of the longest line's characters


@dataclass(frozen=True, slots=True)
class QuoteSettings:
    """The weights of the signals, and what the best candidate is judged by: the weights of
    `sufficiency.FEATURES`, a constant term last. `answerable`: for the log odds that the documents
    answer the question, the quote's sufficiency; `says_it`: for those that the quote has most of
    the answer's words, its sureness. `refuse_below`: the sufficiency under which the best candidate
    is no answer, None where any is one. `complete`: a sentence may go on over lines of uneven
    lengths, and a row has its heads also where the first of them is blank; `shorten`: of a sentence
    only the clause is shown that was asked for (`quote_text`). Both are off in a bundle from before
    them.

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
    complete: bool = True
    shorten: bool = True

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
        """Return the settings that say the same as those of an older bundle, which quoted
        sentences with all their clauses, and lost heads and ends of sentences. One from before the
        tokens were compared has as its sufficiency the score plus `lead` times the margin."""
        given = {"complete": False, "shorten": False, **data}
        if "tokens" in given:
            return given
        lead = given.pop("lead", 2.0)
        return {**given, "tokens": 0.0, "answerable": (1.0, lead, 0.0, 0.0, 0.0, 0.0)}


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
    table's row with its heads, "…" where clauses of a sentence were left out; `citation.quote` is
    the exact slice. `sufficiency`: see `QuoteSettings`; `sureness`: the estimated probability, 0 to
    1, that it says the answer; `sufficient`: it reaches the bundle's threshold. `direct`: the
    question can be answered by words that stand in a document; one that wants yes or no, or a figure
    worked out, cannot."""

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


def candidates(passages: Sequence[Passage], *, complete: bool = True) -> list[Candidate]:
    """Return the sentences, list items and table rows of the passages, in their order, each once.
    `complete`: as in `QuoteSettings`."""
    by_quote: dict[str, Candidate] = {}
    for number, passage in enumerate(passages, 1):
        last = passage.heading[-1] if passage.heading else ""
        heads = last.removeprefix(COLUMNS) if last.startswith(COLUMNS) else ""
        if heads:  # as a line of the table has them, the first one perhaps blank
            heads = f"| {heads} |" if complete else heads.strip().strip("|")
        for quote, head in _pieces(passage.text, heads, join_lines=complete):
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
    near_context = [question.nearness(context.tokens) for context in contexts]
    for row, candidate, vector in zip(near, candidates, vectors, strict=True):
        row[:] = np.maximum(question.nearness(vector.tokens), near_context[candidate.passage - 1])
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


def shorten(
    question: QuestionWords, candidate: Candidate, vectors: TokenVectors, context: TokenVectors
) -> Shown:
    """Return what is shown of a candidate: a row whole, of a sentence the clause that the question
    asks for. `vectors`: those of the candidate's text; `context`: those of its passage's title and
    headings."""
    whole = Shown(candidate.text, candidate.quote)
    if candidate.heads or "|" in candidate.quote:
        return whole
    clause = nearest_clause(question, candidate.quote, vectors, context)
    if clause is None:
        return whole
    held = held_codes(question.text, [clause, candidate.quote], question.languages)
    return Shown(with_gaps(candidate.quote, clause), clause) if held[0] == held[1] else whole


@dataclass(frozen=True, slots=True)
class Ranking:
    """The candidates for a question, best first, with their `scores`, and what is `shown` of the
    best, None where there is none. `near`: that of `near_passages`. `has_code`: the candidates hold
    a code of the question."""

    candidates: list[Candidate]
    scores: list[float]
    shown: Shown | None
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

    choices = candidates(passages, complete=settings.complete)
    if not choices:
        return Ranking([], [], None, {}, has_code=False)
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
    best = choices[order[0]]
    shown = Shown(best.text, best.quote)
    if settings.shorten:
        context = read[passages[best.passage - 1].context]
        shown = shorten(words, best, vectors[order[0]], context)
    return Ranking(
        [choices[i] for i in order],
        [scores[i] for i in order],
        shown,
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
    if ranking.shown is None:
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
        ranking.shown.text,
        Citation(passage.document, passage.page, ranking.shown.quote, chosen.passage),
        sufficiency,
        round(probability(weigh(features, settings.says_it)), 4),
        sufficient=ranking.has_code
        or settings.refuse_below is None
        or sufficiency >= settings.refuse_below,
        direct=is_direct(question),
    )


def _pieces(text: str, heads: str, *, join_lines: bool) -> Iterator[tuple[str, str]]:
    """Yield (slice, heads) of sentences, items and rows; a table's own heads and the rule below
    them are no row."""
    block: list[tuple[int, int]] = []  # lines of running text, [start, end)
    table = False
    end = -1
    for line in text.split("\n"):
        start, end = end + 1, end + 1 + len(line)
        if line.lstrip().startswith("|") or " | " in line:
            yield from _sentences(text, block, join_lines=join_lines)
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
            yield from _sentences(text, block, join_lines=join_lines)
            block = []
        if line.strip():
            block.append((start, end))
    yield from _sentences(text, block, join_lines=join_lines)


def _sentences(
    text: str, block: Sequence[tuple[int, int]], *, join_lines: bool
) -> Iterator[tuple[str, str]]:
    """Yield the sentences of lines that belong together. A line break ends a sentence unless the
    next line's first word would not have fitted on the longest line, that is, unless the text was
    wrapped there, or with `join_lines` the next line goes on with the sentence."""
    if not block:
        return
    width = max(end - start for start, end in block)
    lines = [text[start:end] for start, end in block]
    goes_on = _goes_on(lines) if join_lines else [False] * len(block)
    first = block[0][0]
    for (start, end), following, joined in zip(block, [*block[1:], None], goes_on, strict=True):
        if following is not None:
            word = text[following[0] : following[1]].split(None, 1)[0]
            if joined or end - start + 1 + len(word) > width:
                continue
        for stop in (*sentence_ends(text, first, end), end):
            if piece := text[first:stop].strip():
                yield piece, ""
            first = stop
        first = following[0] if following is not None else end


def _goes_on(lines: Sequence[str]) -> list[bool]:
    """Return for each line of a paragraph whether its sentence goes on in the next one: it has no
    mark at its end and the next one begins in lower case, or, in a paragraph where that happens, it
    is about as long as the longest. Letters differ in breadth, so the lines of a printed page do not
    hold equally many."""
    unmarked = [line.rstrip()[-1:] not in _MARKS for line in lines]
    small = [following.lstrip()[:1].islower() for following in lines[1:]]
    goes_on = [open_end and low for open_end, low in zip(unmarked, [*small, False], strict=True)]
    if any(goes_on):
        full = _FULL_LINE * max(map(len, lines))
        goes_on = [
            goes or (open_end and len(line.rstrip()) >= full)
            for goes, open_end, line in zip(goes_on, unmarked, lines, strict=True)
        ]
    return goes_on
