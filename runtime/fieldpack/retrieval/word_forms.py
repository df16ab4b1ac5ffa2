"""The words of a question and of a text in forms that can be compared: as they are, and as each of
the library's languages indexes them. In a library of English documents words are compared as they
are. Knows nothing of indexes.
"""

from __future__ import annotations

from collections.abc import Collection

from ..citations import words_of
from ..index.query_terms import MOST_WORDS, content_words, left_out
from ..language import PLAIN, analyzer, fold, is_unspaced


def words_to_match(question: str, languages: Collection[str] = ()) -> list[frozenset[str]]:
    """Return the words of a question that are looked for, each once, in their order, each in the
    forms in which `text_forms` has it. `languages`: those of the library's documents."""
    others = [language for language in languages if language != PLAIN]
    leave_out = left_out(question, languages)
    if not others:
        return [frozenset((word,)) for word in content_words(question, leave_out)]
    words = [
        frozenset((word, *(term for code in others for term in analyzer(code).terms(word))))
        for word in content_words(question, frozenset())
        if fold(word) not in leave_out and not is_unspaced(word)
    ]
    terms = (term for code in others for term in analyzer(code).terms(question, leave_out))
    grams = dict.fromkeys(term for term in terms if is_unspaced(term))
    return [*words, *(frozenset((gram,)) for gram in grams)][:MOST_WORDS]


def text_forms(text: str, languages: Collection[str] = ()) -> set[str]:
    """Return the words of a text in small letters, a figure with its separators as one, and as each
    of `languages`, those of the library's documents, indexes them."""
    forms = set(words_of(text))
    for language in languages:
        if language != PLAIN:
            forms.update(analyzer(language).text(text).split())
    return forms
