"""What a model's words amount to: a refusal or an answer with citations, and how sure it is. Knows
nothing of retrieval or of how the words were generated."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from ..answers import Answer, Timings
from ..citations import cite, strip_marks, unsupported
from ..language import decimal_mark
from ..passages import Citation, Passage
from ..retrieval.quoting import Quote
from ..retrieval.word_forms import words_to_match

_SHORT_REFUSAL = 3  # words; a shorter refusal must be a sentence of its own, see `is_refusal`
_INK = re.compile(r"^\W+|\W+$")  # what stands around the words of a text
_SENTENCE_ENDS = re.compile(r"\s*(?:$|[.!?…。！？]|\n)")


def finish(
    question: str,
    text: str,
    passages: tuple[Passage, ...],
    refusal: str,
    timings: Timings,
    *,
    cited: bool = True,
    languages: Collection[str] = (),
) -> Answer:
    """Return the model's words as an Answer: a refusal is recognised by its words, marks become
    citations. `cited`: off for text that is no prose, such as JSON. `languages`: those of the
    library's documents."""
    text = text.strip()
    if is_refusal(text, refusal):
        return Answer(question, refusal, True, (), passages, timings, question)
    citations: tuple[Citation, ...] = ()
    if cited:
        text, citations = cite(text, passages)
    figures = unsupported(text, passages, decimal_mark(languages)) if passages else ()
    return Answer(question, text, False, citations, passages, timings, question, figures)


def sureness_of(
    text: str,
    question: str,
    quote: Quote | None,
    passages: tuple[Passage, ...],
    languages: Sequence[str] = (),
) -> float | None:
    """Return how sure a written answer is, 0 to 1: the quote's sureness times the share of the
    answer's words, those of the question left out, that stand in the quote or its passage's title,
    in the forms that the `languages` of the library's documents give them. None without a quote to
    compare it with."""
    if quote is None:
        return None
    context = passages[quote.citation.passage - 1].context
    question_forms, quote_forms = (
        frozenset().union(*words_to_match(words, languages))
        for words in (question, f"{quote.text} {context}")
    )
    answered = words_to_match(strip_marks(text), languages)
    new = [word for word in answered if word.isdisjoint(question_forms)] or answered
    shared = [word for word in new if not word.isdisjoint(quote_forms)]
    return round(quote.sureness * len(shared) / len(new), 4) if new else 0.0


def is_refusal(text: str, refusal: str) -> bool:
    """Return whether the answer says nothing, is the bundle's refusal, or begins with it; marks, case
    and punctuation around it aside.

    More words may follow a refusal of three words or more ("The documents do not say when"). One
    or two words are also how an answer begins ("Unknown risks are listed in ..."), so behind these
    the sentence must end."""
    said, bare = (_INK.sub("", strip_marks(part).casefold()) for part in (text, refusal))
    if not said or not bare:
        return not said
    rest = said.removeprefix(bare)
    if rest == said:
        return False
    if len(bare.split()) < _SHORT_REFUSAL:
        return _SENTENCE_ENDS.match(rest) is not None
    return not rest[:1].isalnum()
