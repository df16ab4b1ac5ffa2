"""The words of a question that a library nowhere has, in any form. Knows nothing of vectors."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from .compound_terms import compound_terms, known_terms
from .query_terms import forms_of


def unknown_words(
    database: sqlite3.Connection,
    question: str,
    words: Sequence[str],
    languages: Collection[str],
) -> list[str]:
    """Return those of a question's `words` that no document has: neither as they are, nor in another
    form, nor as parts of a compound or as a compound of its neighbours. `languages`: those of the
    library's documents."""
    forms = {word: forms_of(word.lower(), languages) for word in words}
    known = set(known_terms(database, (form for one in forms.values() for form in one)))
    unknown = [word for word in words if known.isdisjoint(forms[word])]
    if not unknown:
        return []
    terms = compound_terms(database, question, languages)
    related = [term.replace(" ", "") for term in terms]
    return [
        word
        for word in unknown
        if not any(term in form or form in term for term in related for form in forms[word])
    ]
