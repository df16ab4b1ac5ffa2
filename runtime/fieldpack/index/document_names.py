"""Which documents a question names: the words of their file names, found in the question however
they are written.

"the FY2019 capex of Activision Blizzard" names ACTIVISIONBLIZZARD_2019_10K.pdf. On 61 questions
about 34 real filings (FinanceBench) names bring the right document to the first place for 93%
instead of 70%. Knows nothing of vectors or of what documents say.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..language import PLAIN, analyzer, fold
from .query_terms import QUESTION_WORDS, left_out, parts_of

NAMES = """
CREATE VIRTUAL TABLE names USING fts5(terms, initials, content='', tokenize='porter unicode61 remove_diacritics 2', prefix='3');
"""
_RUN = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])")
_MOST_WORDS = 96  # of a question; each costs up to five look-ups of about 15 us
_JOINED = (2, 3)  # words in a row that a file name may write as one: "american water works"
_SHORTEST_PREFIX = 3  # "MGM" for MGMRESORTS
_PART_SHARE = 0.6
# Of 3: "boeing" (0.97 of its mentions are in its filing) keeps 0.9, "fees" (0.3 in the fee
# schedule) 0.03. With 1, as good on filings, but on the finance recipe the right document is among
# the first five for 90% of the questions, not 96%.
_SPECIFICITY_POWER = 3
_POSSESSIVE = re.compile("['\u2019]s\\b")
_ABBREVIATION = re.compile(r"\b[A-Z](?:[&n]?[A-Z]){1,3}\b")
_PART = 3  # letters of a mixed word that stand for themselves: "corp2023", not the "fy" of "fy2022"


def name_terms(path: str, language: str = PLAIN) -> tuple[str, str]:
    """Return what to find a document by, from its path below the library's folder, and its initials:
    "letters/ACME_2023Q4.pdf" gives "letters acme 2023q4 2023 q4 4" and "",
    "JOHNSON_JOHNSON_2023.pdf" "johnson 2023" and "jj". A document in another language than English
    has the stems of its name's words too."""
    place = PurePosixPath(path)
    runs = [run for part in (*place.parent.parts, place.stem) for run in _words(part)]
    terms: dict[str, None] = {}
    for run in runs:
        parts = parts_of(run)
        pairs = ["".join(parts[i : i + 2]) for i in range(len(parts) - 1)]  # "q4" of "2023q4"
        terms |= dict.fromkeys((run, *_parts(run, shortest=1), *(pairs if len(parts) > 2 else ())))
    # Initials of each two to four words in a row: "johnson johnson" is asked for as JnJ or J&J. A
    # word with digits ends a row.
    letters = "".join(
        word[0] if word.isalpha() else " "
        for word in _words(place.stem)
        if word not in QUESTION_WORDS
    )
    initials = {
        row[i : i + n]
        for row in letters.split()
        for n in (2, 3, 4)
        for i in range(len(row) - n + 1)
    }
    if language != PLAIN:
        terms |= dict.fromkeys(analyzer(language).terms(" ".join(runs)))
    return " ".join(terms), " ".join(sorted(initials))


def write_names(database: sqlite3.Connection) -> None:
    """Fill the table anew from `documents`: 50,000 take a second."""
    database.execute("DROP TABLE IF EXISTS names")
    database.execute(NAMES)
    rows = database.execute(
        "SELECT id, path, language FROM documents WHERE chunks > 0 ORDER BY id"
    ).fetchall()
    names = ((i, *name_terms(path, language)) for i, path, language in rows)
    database.executemany("INSERT INTO names(rowid, terms, initials) VALUES (?, ?, ?)", names)
    database.execute("INSERT INTO names(names) VALUES ('optimize')")


@dataclass(frozen=True, slots=True)
class NamingTerm:
    """A word of a question that file names have. `weight`: how clearly it names them, 0 to 1;
    `documents`: their ids; `phrase`: the word as a text would say it; `figure`: whether it is one,
    as a year is, which names nothing on its own."""

    phrase: str
    weight: float
    documents: tuple[int, ...]
    figure: bool


def naming_terms(
    database: sqlite3.Connection,
    question: str,
    documents: int,
    specificity: Callable[[str, Sequence[int]], float],
    languages: Collection[str] = (),
) -> list[NamingTerm]:
    """Return the words by which the question names documents; parts of a word that has counted for
    a document do not count for it again. `languages`: those of the library's documents.

    A word of the name counts as its rarity among all names (1 for a word that only this name has, 0
    for one that all have) times the cube of `specificity(word, documents)`, the share of the
    library's mentions that are in the documents of that name: "boeing" is Boeing's, "fees" is everybody's.
    The start of a word counts 0.6, and so do initials."""
    if documents < 2:
        return []
    terms = []
    counted: dict[int, set[str]] = {}
    for term, share, query, phrase in _queries(question, languages):
        matches = [
            row[0]
            for row in database.execute("SELECT rowid FROM names WHERE names MATCH ?", (query,))
        ]
        # "2023" and "q4" are parts of the name's "2023q4": the whole counts, not its parts again
        new = [i for i in matches if not any(term in longer for longer in counted.get(i, ()))]
        if not new:
            continue
        weight = share * math.log(documents / len(matches)) / math.log(documents)
        if not term[0].isdigit():
            weight *= specificity(term, matches) ** _SPECIFICITY_POWER
        terms.append(NamingTerm(phrase, weight, tuple(new), term[0].isdigit()))
        for i in new:
            counted.setdefault(i, set()).add(term)
    return terms


def named_scores(terms: Iterable[NamingTerm]) -> dict[int, float]:
    """Return how clearly each document is named, by id; those that are not are left out. A figure
    counts as far as words have named the document already: a year alone names none."""
    words: dict[int, float] = {}
    figures: dict[int, float] = {}
    for term in terms:
        scores = figures if term.figure else words
        for i in term.documents:
            scores[i] = scores.get(i, 0.0) + term.weight
    return {
        i: score + figures.get(i, 0.0) * min(score, 1.0) for i, score in words.items() if score > 0
    }


def without_names(question: str, paths: Iterable[str]) -> str:
    """Return the question without the words that these documents' names have: what is asked, of
    whomever it is asked."""
    names = {term for path in paths for part in name_terms(path) for term in part.split()}
    words = question.split()
    plain = ["".join(_words(_POSSESSIVE.sub("", word))) for word in words]
    named = set()
    for i, word in enumerate(plain):
        if not word or word in QUESTION_WORDS:
            continue
        is_long = len(word) >= _SHORTEST_PREFIX and not word.isdigit()
        if (
            word in names
            or (is_long and any(name.startswith(word) for name in names))
            or any(part in names for part in _parts(word, shortest=_PART))
        ):
            named.add(i)
    for count in _JOINED:
        for i in range(len(plain) - count + 1):
            if "".join(plain[i : i + count]) in names:
                named.update(range(i, i + count))
    return " ".join(word for i, word in enumerate(words) if i not in named)


def _queries(question: str, languages: Collection[str]) -> Iterator[tuple[str, float, str, str]]:
    """Yield the terms of a question, longest first: each with what it counts, how FTS5 is asked for
    it, and how a text says it."""
    runs = _words(question)[:_MOST_WORDS]
    terms = {run: run for run in runs}
    others = [language for language in languages if language != PLAIN]
    leave_out = left_out(question, languages)
    for language in others:
        for stem in analyzer(language).terms(" ".join(runs), leave_out):
            terms.setdefault(stem, stem)
    for count in _JOINED:
        for i in range(len(runs) - count + 1):
            terms.setdefault("".join(runs[i : i + count]), " ".join(runs[i : i + count]))
    for run in runs:
        for part in _parts(run, shortest=_PART):
            terms.setdefault(part, part)
    whole = sorted(
        (t for t in terms if len(t) > 1 and fold(t) not in leave_out), key=lambda t: (-len(t), t)
    )
    for term in whole:
        yield term, 1.0, f'terms : "{term}"', terms[term]
    for term in dict.fromkeys(runs):
        if len(term) >= _SHORTEST_PREFIX and not term.isdigit() and fold(term) not in leave_out:
            yield term, _PART_SHARE, f'terms : "{term}"*', term
    for short in dict.fromkeys(_ABBREVIATION.findall(question)):
        letters = re.sub("[^A-Z]", "", short).lower()
        yield short, _PART_SHARE, f'initials : "{letters}"', " ".join(_RUN.findall(short))


def _words(text: str) -> list[str]:
    return [run.lower() for run in _RUN.findall(_CAMEL.sub(" ", text))]


def _parts(run: str, *, shortest: int) -> list[str]:
    return [part for part in parts_of(run) if part.isdigit() or len(part) >= shortest]
