"""What an answer is worth, in the field's usual figures. Knows nothing of models, bundles or files.

One question in one arm gives a `Score`; an arm's figures are means, ratios and medians of these,
and `bootstrap` says how sure they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp
from statistics import median

from fieldpack.answers import Answer
from fieldpack.citations import strip_marks
from fieldpack.figures import COMMA, NUMBER, SPACED_NUMBER, paired_marks, read_number
from fieldpack.language import decimal_mark
from fieldpack.passages import Citation, Passage

from ..data import TestQuestion
from .bootstrap import MAX_NATS
from .numbers import same_quantities
from .report_file import ArmAnswer, Cited, Figures
from .rightness import says

_WORD = re.compile(rf"{NUMBER}|\w+")
_SPACED_WORD = re.compile(rf"{SPACED_NUMBER}|\w+")
_ARTICLES = frozenset(("a", "an", "the"))
KS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Score:
    """One question in one arm. `value_match`: the answer has the question's value, or is right by
    `rightness.says` where it names none. None where a figure has no meaning: `value_match` where that
    cannot be told, `numeric_match` without a number in the value, `loss` (the sum over `loss_tokens` of the expected
    answer's tokens, in nats) where it was not measured."""

    answerable: bool
    refused: bool
    f1: float
    exact_match: bool | None
    value_match: bool | None
    numeric_match: bool | None
    citations: int
    citations_valid: int
    cites_right: bool | None
    total_ms: float
    first_token_ms: float
    tokens_per_s: float
    loss: float | None = None
    loss_tokens: int = 0

    def to_row(self, text: str, citations: Sequence[Citation]) -> ArmAnswer:
        """Return the answer as report.json has it, with its `text` and `citations`."""
        return ArmAnswer(
            refused=self.refused,
            f1=round(self.f1, 4),
            exact_match=self.exact_match,
            value_match=self.value_match,
            numeric_match=self.numeric_match,
            citations=[Cited(**asdict(citation)) for citation in citations],
            citations_valid=self.citations_valid,
            cites_right=self.cites_right,
            total_ms=round(self.total_ms, 1),
            first_token_ms=round(self.first_token_ms, 1),
            tokens_per_s=round(self.tokens_per_s, 1),
            loss=None if self.loss is None else round(self.loss, 4),
            loss_tokens=self.loss_tokens,
            answer=text,
        )


def score(
    answer: Answer,
    question: TestQuestion,
    stored: Mapping[tuple[str, int | None], str],
    loss: tuple[float, int] | None = None,
    *,
    languages: Collection[str] = (),
) -> Score:
    """Return what an answer is worth. `stored`: the whole stored text by (document, page), to look
    quotes up in. `loss`: (nats, tokens) of the expected answer. `languages`: those of the library's
    documents."""
    said = "" if answer.refused else strip_marks(answer.text)
    expected, mark = question.answer, decimal_mark(languages)
    f1, exact_match, value_match, numeric_match, cites_right = 0.0, None, None, None, None
    if expected is not None:
        f1 = token_f1(said, expected, decimal_mark=mark)
        exact_match = is_exact(said, [expected, question.value], decimal_mark=mark)
        numeric_match = same_quantities(
            said, question.value or expected, question.scale, decimal_mark=mark
        )
        value_match = is_right(said, question, languages=languages)
        if question.document and not answer.refused:
            cites_right = any(c.document == question.document for c in answer.citations)
    return Score(
        answerable=expected is not None,
        refused=answer.refused,
        f1=f1,
        exact_match=exact_match,
        value_match=value_match,
        numeric_match=numeric_match,
        citations=len(answer.citations),
        citations_valid=sum(is_valid(c, stored) for c in answer.citations),
        cites_right=cites_right,
        total_ms=answer.timings.total_ms,
        first_token_ms=answer.timings.first_token_ms,
        tokens_per_s=answer.timings.tokens_per_s,
        loss=loss[0] if loss else None,
        loss_tokens=loss[1] if loss else 0,
    )


def summarize(scores: Sequence[Score]) -> Figures:
    """Return an arm's figures. Shares are 0 to 1; None where no question gives one. A refused
    answerable question counts as F1 0 and as no match: declining everything must not pay."""
    answerable = [s for s in scores if s.answerable]
    cited = [s for s in scores if s.citations]
    citations = sum(s.citations for s in cited)
    return {
        "questions": len(scores),
        "f1": _mean(s.f1 for s in answerable),
        "exact_match": _mean(s.exact_match for s in answerable),
        "numeric_match": _mean(s.numeric_match for s in answerable),
        "value_match": _mean(s.value_match for s in answerable),
        "refused_right": _mean(s.refused for s in scores if not s.answerable),
        "refused_wrong": _mean(s.refused for s in answerable),
        "citations_valid": round(sum(s.citations_valid for s in cited) / citations, 4)
        if citations
        else None,
        "citations_right": _mean(s.cites_right for s in answerable),
        "perplexity": perplexity((s.loss, s.loss_tokens) for s in scores),
        "total_ms": _median(s.total_ms for s in scores),
        "first_token_ms": _median(s.first_token_ms for s in scores if s.tokens_per_s),
        "tokens_per_s": _median(s.tokens_per_s for s in scores if s.tokens_per_s),
    }


def answers_nothing(figures: Mapping[str, float | None]) -> bool:
    """Return whether an arm, by its figures, refused every test question or said that it is not sure
    enough of it."""
    shares = (figures.get("refused_right"), figures.get("refused_wrong"))
    known = [share for share in shares if share is not None]
    return bool(known) and min(known) == 1.0


def perplexity(losses: Iterable[tuple[float | None, int]]) -> float | None:
    """Return the perplexity of the expected answers, over all their tokens, from (nats, tokens) of
    each; None where none was measured."""
    measured = [(loss, tokens) for loss, tokens in losses if loss is not None and tokens]
    if not measured:
        return None
    mean = sum(loss for loss, _ in measured) / sum(tokens for _, tokens in measured)
    return round(exp(min(mean, MAX_NATS)), 3)


def is_exact(said: str, expected: Iterable[str | None], *, decimal_mark: str | None = None) -> bool:
    """Return whether an answer has the same words as one of the expected ones, case, articles and
    punctuation aside (SQuAD's exact match). `decimal_mark`: the usual one in their language."""
    return any(
        words == content and bool(words)
        for answer in expected
        if answer
        for words, content in _both_content(said, answer, decimal_mark)
    )


def token_f1(said: str, expected: str, *, decimal_mark: str | None = None) -> float:
    """Return the harmonic mean of precision and recall over words, articles left out (SQuAD,
    Rajpurkar et al. 2016); a figure with its separators is one word, compared as a number.
    `decimal_mark`: the usual one in their language."""
    return max(_f1(*both) for both in _both_content(said, expected, decimal_mark))


def _f1(words: Sequence[str], expected: Sequence[str]) -> float:
    common = sum((Counter(words) & Counter(expected)).values())
    return 2 * common / (len(words) + len(expected)) if common else float(words == expected)


def contains(said: str, value: str, *, decimal_mark: str | None = None) -> bool:
    """Return whether the value's words stand in a row in what was said; figures are compared as
    numbers: "1,250.00" is "1250", and "1.250,00" too. `decimal_mark`: the usual one in their
    language; which one a figure has is told by `fieldpack.figures.paired_marks`."""
    return any(
        bool(part) and any(words[i : i + len(part)] == part for i in range(len(words)))
        for words, part in _both(said, value, decimal_mark)
    )


def is_right(said: str, question: TestQuestion, *, languages: Collection[str] = ()) -> bool | None:
    """Return whether an answer to an answerable question has its value, or says what its expected
    answer says (`rightness.says`) where it names none; None where that cannot be told, and for a
    question that has no answer. `languages`: those of the library's documents."""
    if question.answer is None:
        return None
    if question.value:
        return contains(said, question.value, decimal_mark=decimal_mark(languages))
    return says(said, question.question, question.answer, languages=languages)


def is_valid(citation: Citation, stored: Mapping[tuple[str, int | None], str]) -> bool:
    """Return whether a citation's quote stands, letter for letter, in the stored text of its
    page."""
    return bool(citation.quote) and citation.quote in stored.get(
        (citation.document, citation.page), ""
    )


def rank_of(question: TestQuestion, passages: Sequence[Passage], *, with_value: bool) -> int | None:
    """Return the 1-based place of the first passage of the right document (with `with_value`, one
    that holds the value too)."""
    for place, passage in enumerate(passages, 1):
        holds = not with_value or not question.value or contains(passage.in_context, question.value)
        if passage.document == question.document and holds:
            return place
    return None


def retrieval_figures(ranks: Sequence[int | None]) -> Figures:
    """Return recall@k, and the mean of 1/rank (0 for a miss), from the rank of each question."""
    recall = {f"recall_at_{k}": _mean(r is not None and r <= k for r in ranks) for k in KS}
    return {**recall, "mrr": _mean(1 / r if r else 0.0 for r in ranks)}


def _both_content(a: str, b: str, decimal_mark: str | None) -> list[tuple[list[str], list[str]]]:
    without = [
        tuple([word for word in words if word not in _ARTICLES] for words in both)
        for both in _both(a, b, decimal_mark)
    ]
    return [(mine, other) for mine, other in without]


def _both(a: str, b: str, decimal_mark: str | None) -> list[tuple[list[str], list[str]]]:
    """The words of two texts, by each pair of decimal marks that their figures may have."""
    marks = paired_marks(a, b, expected=decimal_mark)
    return [(_words(a, one), _words(b, other)) for one, other in marks]


def _words(text: str, decimal_mark: str) -> list[str]:
    """The words of a text in small letters; a figure with separators as its worth, one without as it
    is written, zeros at its head included."""
    words: list[str] = []
    for match in (_SPACED_WORD if decimal_mark == COMMA else _WORD).finditer(text.lower()):
        word = match.group()
        if word[0].isdigit() and not word.isdigit():
            words += [figure.value for figure in read_number(word, decimal_mark)]
        else:
            words.append(word)
    return words


def _mean(values: Iterable[float | bool | None]) -> float | None:
    known = [float(v) for v in values if v is not None]
    return round(sum(known) / len(known), 4) if known else None


def _median(values: Iterable[float]) -> float | None:
    known = list(values)
    return round(median(known), 1) if known else None
