"""Judges whether the best words of the retrieved passages answer a question: a few figures that a
logistic regression weighs, which the build fits on training rows. Knows nothing of embedders,
indexes or bundles; how the words are picked is `quoting`'s.

None of the figures depends on a question's length, which in a set of questions written by hand
tells the answerable from the others by accident.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from math import exp

from ..figures import find_figures
from ..language import fold, question_kinds, sentence_spans

# `score`: of the best candidate, `margin`: `retriever.similarity_margin`, `gap`: the best
# candidate's score less the second one's, `missing`: names and years of the question that the
# quote's passage and its title have not, `no_figure`: 1 where an amount is wanted and the quote
# has none.
FEATURES = ("score", "margin", "gap", "missing", "no_figure")
# Fitted on the finance recipe's 447 training rows, 81 of them unanswerable; the constant term last.
# In folds by document the first tells answerable rows from others in 77% of pairs and, with the
# threshold at which 8% of the answerable are refused, refuses 52% of the others (73% and 39% where
# the asker's amounts count as missing, names are there or not, and a fee anywhere in a question
# means that an amount is wanted). Fitted anew after the search and the rule of a right answer had
# changed, SAYS_IT is no better on held-out questions of ten libraries (docs/benchmarks.md).
ANSWERABLE = (0.4962, 5.1488, 1.3109, -2.1576, -1.7293, 0.7121)
SAYS_IT = (1.7944, 2.1126, 4.359, -1.4226, -0.9585, -2.6656)
_MOST_MISSING = 3
_STEM = 5  # letters by which forms of a word are taken for one: insurer, insured, insurance
_YEAR = re.compile(r"(?:19|20)\d\d")
_ASKS = re.compile(r"[?？]\W*$")  # the end of a sentence that is a question, in quotes perhaps


def features_of(
    question: str,
    quote: str,
    passage: str,
    *,
    scores: Sequence[float],
    margin: float,
    near: Mapping[str, float],
) -> tuple[float, ...]:
    """Return the features of a question's best candidate, in the order of FEATURES.

    `quote`: its words; `passage`: its passage with title and headings; `scores`: of all candidates;
    `margin`: the question's similarity margin; `near`: as in `missing`."""
    best, *others = sorted(scores, reverse=True)
    gap = best - others[0] if others else 0.0
    absent = missing(question, passage, near)
    return best, margin, gap, absent, float(lacks_figure(question, quote))


def missing(question: str, passage: str, near: Mapping[str, float]) -> float:
    """Return how many names and years of a question a passage does not have, at most 3. A name is a
    word with a capital inside a sentence; one that stands there in other words ("Q3", "the third
    quarter") counts by how far the passage is from it. `near`: how near the passage comes to words
    of the question, in lower case, 1 for the same word.

    Other figures do not count: who asks about a receipt of GBP 32 asks for a rule that does not
    name it. On the finance recipe's training rows they are missing for 32 of 366 answerable
    questions and for 2 of 81 others; years for 5 and for 16."""
    stems = {word[:_STEM] for word in re.findall(r"\w+", passage.lower())}
    values = {figure.value for figure in find_figures(passage)}
    names = sum(
        1 - min(max(near.get(word.lower(), 1.0), 0.0), 1.0)
        for word in capitalized(question)
        if word.lower()[:_STEM] not in stems
    )
    years = sum(
        figure.value not in values
        for figure in find_figures(question)
        if _YEAR.fullmatch(question[figure.start : figure.end])
    )
    return min(names + years, _MOST_MISSING)


def capitalized(question: str) -> list[str]:
    """Return the words of two letters or more with a capital that no sentence, and nothing behind a
    colon, begins with."""
    words = []
    for start, end in sentence_spans(question):
        sentence = question[start:end]
        for match in islice(re.finditer(r"\w+", sentence), 1, None):
            word, before = match.group(), sentence[: match.start()].rstrip("\"'([ ")
            if len(word) > 1 and word[0].isupper() and not before.endswith(":"):
                words.append(word)
    return words


def lacks_figure(question: str, quote: str) -> bool:
    """Return whether a question wants an amount and the quote has no digit and no number in words of
    the question's language. Decided by words of the languages in `language/question_kinds.toml`, in
    the sentences with a question mark where there are any; no other question wants one. "How much"
    wants one anywhere; a fee or a limit is not what a sentence wants that begins like a question for
    a person, a place, a time, a reason, or yes or no."""
    if any(map(str.isdigit, quote)):
        return False
    kinds = question_kinds(question)
    if kinds.number.search(fold(quote)):
        return False
    # Without a capital, a small letter behind a full stop does not say that the sentence goes on.
    text = question.upper() if question == question.lower() else question
    sentences = [text[start:end] for start, end in sentence_spans(text)]
    asked = [sentence for sentence in sentences if _ASKS.search(sentence)] or sentences[-1:]
    return any(
        kinds.how_much.search(sentence)
        or (
            kinds.amount.search(sentence)
            and not kinds.other.match(sentence)
            and not kinds.yes_no.match(sentence)
        )
        for sentence in map(fold, asked)
    )


def weigh(features: Sequence[float], weights: Sequence[float]) -> float:
    """Return the log odds of features under weights, the constant term last."""
    *slopes, constant = weights
    return sum(w * f for w, f in zip(slopes, features, strict=True)) + constant


def probability(log_odds: float) -> float:
    """Return the probability of log odds."""
    return 1 / (1 + exp(-max(-500.0, min(500.0, log_odds))))
