"""Judges whether the best words of the retrieved passages answer a question: a few figures that a
logistic regression weighs, which the build fits on training rows. Knows nothing of embedders,
indexes or bundles; how the words are picked is `quoting`'s.

None of the figures depends on a question's length, which in a set of questions written by hand
tells the answerable from the others by accident.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import exp

from ..figures import find_figures

# `score`: of the best candidate, `margin`: `retriever.similarity_margin`, `gap`: the best
# candidate's score less the second one's, `missing`: names and figures of the question that the
# quote's passage and its title have not, `no_figure`: 1 where an amount is wanted and the quote
# has none.
FEATURES = ("score", "margin", "gap", "missing", "no_figure")
# Fitted on the finance recipe's 447 training rows, 81 of them unanswerable; the constant term last.
# In folds by document the first tells answerable rows from others in 70% of pairs and, with the
# threshold at which 10% of the answerable are refused, refuses 31% of the others (the score plus
# twice the margin: 67%, 20%).
ANSWERABLE = (0.8141, 5.6687, 0.2011, -0.7125, -1.2553, 0.2945)
SAYS_IT = (1.849, 2.0379, 3.5833, -0.635, -0.3584, -2.5697)
_MOST_MISSING = 3
_STEM = 5  # letters by which forms of a word are taken for one: insurer, insured, insurance
_AMOUNT = re.compile(
    r"\bhow (?:much|many|long|often|far|big|old|soon|late|early|high|low|large)\b|"
    r"\b(?:fee|price|salary|charge|cost|rate|limit|threshold|maximum|minimum|percentage|number|"
    r"multiple|ratio|return|share)\b|"
    r"\b(?:wie (?:viele?|lange|oft|weit|hoch|groß)|gebühr|preis|gehalt|kosten|satz|grenze|anteil|"
    r"anzahl|combien|frais|prix|salaire|coût|taux|seuil|plafond|nombre|cuánt[oa]s?|tarifa|precio|"
    r"salario|coste|tasa|límite|umbral|número)\b",
    re.IGNORECASE,
)


def features_of(
    question: str, quote: str, passage: str, *, scores: Sequence[float], margin: float
) -> tuple[float, ...]:
    """Return the features of a question's best candidate, in the order of FEATURES.

    `quote`: its words; `passage`: its passage with title and headings; `scores`: of all candidates;
    `margin`: the question's similarity margin."""
    best, *others = sorted(scores, reverse=True)
    gap = best - others[0] if others else 0.0
    return best, margin, gap, missing(question, passage), float(lacks_figure(question, quote))


def missing(question: str, passage: str) -> float:
    """Return how many names and figures of a question a passage does not have, at most 3. A name is
    a word with a capital inside a sentence."""
    stems = {word[:_STEM] for word in re.findall(r"\w+", passage.lower())}
    values = {figure.value for figure in find_figures(passage)}
    names = sum(word.lower()[:_STEM] not in stems for word in _names(question))
    figures = sum(figure.value not in values for figure in find_figures(question))
    return float(min(names + figures, _MOST_MISSING))


def _names(question: str) -> list[str]:
    """The words of two letters or more with a capital that no sentence begins with."""
    words = []
    for match in re.finditer(r"\w{2,}", question):
        before = question[: match.start()].rstrip("\"'([ ")
        if before and before[-1] not in ".!?:" and match.group()[0].isupper():
            words.append(match.group())
    return words


def lacks_figure(question: str, quote: str) -> bool:
    """Return whether a question wants an amount and the quote has no digit. Decided by words of
    English, German, French and Spanish; no other question wants one."""
    return _AMOUNT.search(question) is not None and not any(map(str.isdigit, quote))


def weigh(features: Sequence[float], weights: Sequence[float]) -> float:
    """Return the log odds of features under weights, the constant term last."""
    *slopes, constant = weights
    return sum(w * f for w, f in zip(slopes, features, strict=True)) + constant


def probability(log_odds: float) -> float:
    """Return the probability of log odds."""
    return 1 / (1 + exp(-max(-500.0, min(500.0, log_odds))))
