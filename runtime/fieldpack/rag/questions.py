"""What a question is read as: cleaned of what is no text, and a follow-up joined to the question before
it where it needs that one. Knows nothing of prompts' texts or of models."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING
from unicodedata import category

from ..errors import EmptyQuestion, QuestionTooLong
from ..index.query_terms import left_out
from ..language import fold, follow_up_marks, is_unspaced, question_kinds
from ..passages import Filter, Passage, Previous
from ..prompt import PromptSettings
from ..retrieval.quoting import candidates
from ..retrieval.word_forms import Compounds, text_forms, words_to_match

if TYPE_CHECKING:
    from ..retrieval.retriever import Retriever

# Unicode categories: control, lone surrogate, unassigned, private use.
_NO_TEXT = frozenset(("Cc", "Cs", "Cn", "Co"))
_WORD = re.compile(r"\w+(?:['\u2019.,/-]\w+)*")
_END = " \t.,;:?!\u061f\uff1f\u3002"


def clean_question(question: str, max_chars: int) -> str:
    """Return the question trimmed, without control characters (NUL among them); joiners that
    scripts need stay. Raises EmptyQuestion, QuestionTooLong."""
    text = " ".join("".join(c if category(c) not in _NO_TEXT else " " for c in question).split())
    if not text:
        raise EmptyQuestion("the question is empty; ask something in words")
    if len(text) > max_chars:
        raise QuestionTooLong(
            f"the question has {len(text):,} characters, this bundle takes {max_chars:,}; shorten it"
        )
    return text


@dataclass(frozen=True, slots=True)
class ResolvedQuestion:
    """A question as it is read, a follow-up perhaps joined to the question before, and the passages
    for it."""

    question: str
    passages: tuple[Passage, ...]

    @property
    def similarity(self) -> float:
        """The best passage's similarity; -1 without passages."""
        return max((p.similarity for p in self.passages), default=-1.0)

    def changed_from(self, asked: str) -> str:
        """Return the question as it is read; empty where that is as it was asked."""
        return "" if self.question == asked else self.question


class Need(Enum):
    """Whether a question needs the one before it, by its words: NONE, it has a subject of its own;
    SURE, it is a part of a sentence or refers to something said before; PERHAPS, the library has to
    tell."""

    NONE = "none"
    PERHAPS = "perhaps"
    SURE = "sure"


def resolve_question(
    retriever: Retriever | None,
    question: str,
    previous: Previous | None,
    where: Filter | None,
    settings: PromptSettings,
) -> ResolvedQuestion:
    """Return the question as it is read, with its passages; without a retriever it has none. A
    follow-up that is joined to the question before is read over the passages before, in their order,
    where its best passage is among them: the model has read those already. A question of its own
    is read as if nothing had been asked before."""
    if retriever is None:
        return ResolvedQuestion(question, ())

    def search(text: str) -> ResolvedQuestion:
        return ResolvedQuestion(text, tuple(retriever.search(text, settings.passages, where)))

    need = Need.NONE if previous is None else need_of(question, retriever.languages)
    alone = search(question)
    if previous is None or need is Need.NONE:
        return alone
    joined = search_joined(alone, previous.question, search, retriever)
    if len(joined.question) > settings.max_question_chars:
        return alone
    if need is Need.PERHAPS:
        before = search(previous.question)
        if not answers_both(alone, joined, before, retriever.languages):
            return alone
    if joined.passages and joined.passages[0].chunk_id in previous.passages:
        return replace(joined, passages=retriever.passages_of(previous.passages, joined.passages))
    return joined


def need_of(question: str, languages: Sequence[str]) -> Need:
    """Return whether a question needs the one before it, by its words alone. `languages`: those of
    the library's documents.

    A word that refers ("it", "they") refers to the question itself where two words or more that
    are looked for stand before it, a verb and its subject: "How do I close a session without ending
    its query?"."""
    # "How long" asks, although "long" is looked for.
    kinds = question_kinds(question)
    words = words_to_match(kinds.how_much.sub(" ", fold(question)), languages)
    marks = follow_up_marks(question, languages)
    if marks is not None and marks.part:  # "since" of "Since which version?"
        words = [word for word in words if fold(question).split()[0] not in word]
    if not words:
        return Need.SURE
    if marks is None:
        return Need.NONE
    if marks.refers_at is not None:
        before = words_to_match(question[: marks.refers_at], languages)
        # The "t" of "coûte-t-elle" is no word.
        count = sum(max(map(len, forms)) > 1 for forms in before)
        if marks.goes_on or is_unspaced(question) or count < 2:
            return Need.SURE
    if not marks.asks:
        return Need.SURE if marks.goes_on or marks.part else Need.PERHAPS
    return Need.PERHAPS if marks.goes_on or (marks.part and len(words) < 2) else Need.NONE


def search_joined(
    alone: ResolvedQuestion,
    previous: str,
    search: Callable[[str], ResolvedQuestion],
    retriever: Retriever,
) -> ResolvedQuestion:
    """Return the question before and a follow-up as one question, with its passages. A follow-up that
    only names something else ("and meropenem?") takes the place of what it stands for in the
    question before; any other one follows it. `alone`: the follow-up as a question of its own."""
    together = search(f"{previous} {alone.question}")
    found = (*together.passages, *alone.passages)
    replaced = replace_named(previous, alone.question, found, retriever)
    return together if replaced is None else search(replaced)


def replace_named(
    previous: str, question: str, passages: Sequence[Passage], retriever: Retriever
) -> str | None:
    """Return the question before with what a follow-up names in the place of what it stands for; None
    where it names nothing alone, shares a word with that question, or that place is not known.

    Of the sentences and rows of `passages` that have what it names, the best has most of the other
    words of the question before. Words that this one does not have are what is replaced; where there
    are several, those that the embedder has nearest to what is named. Behind a preposition a
    follow-up replaces only what stands behind the same one."""
    languages = retriever.languages
    marks = follow_up_marks(question, languages)
    if marks is None or marks.asks or marks.refers_at is not None or is_unspaced(question):
        return None
    leading, runs = _runs(marks.rest, left_out(question, languages))
    if len(runs) != 1 or marks.rest[runs[0][-1][1] :].strip(_END):
        return None
    named = marks.rest[runs[0][0][0] : runs[0][-1][1]]
    # "The I class" after one about the A class: what differs may be a word that is not looked for.
    if not {*words_to_match(named, languages)}.isdisjoint(words_to_match(previous, languages)):
        return None
    absent = _absent(previous, named, passages, languages)
    spans = []
    for run in absent:
        behind = [fold(word) for word in _WORD.findall(previous[: run[0][0]])[-2:]]
        if not marks.part or (leading and leading[0] in behind):
            spans += [*run, (run[0][0], run[-1][1])]
    if not spans:
        return None
    start, end = spans[0]
    if len(set(spans)) > 1:
        new = retriever.embedder.embed_query(named)
        start, end = max(
            dict.fromkeys(spans),
            key=lambda span: float(new @ retriever.embedder.embed_query(previous[slice(*span)])),
        )
    return f"{previous[:start]}{named}{previous[end:]}"


def _absent(
    previous: str, named: str, passages: Sequence[Passage], languages: Sequence[str]
) -> list[list[tuple[int, int]]]:
    """Return the runs of words of the question before, each word as its [start, end), that the best
    sentence or row with all that is named does not have; none where it has no word of that
    question, or there is no such sentence."""
    _, runs = _runs(previous, left_out(previous, languages))
    spans = [span for run in runs for span in run]
    new = words_to_match(named, languages)
    old = [words_to_match(previous[slice(*span)], languages) for span in spans]
    flat = [word for words in old for word in words]
    held = [has for has in _held(passages, [*new, *flat], languages) if set(new) <= has]
    best = max(held, key=lambda has: sum(has.issuperset(words) for words in old), default=None)
    if best is None or not any(best.issuperset(words) for words in old):
        return []
    absent = {s for s, words in zip(spans, old, strict=True) if not best.issuperset(words)}
    parts: list[list[tuple[int, int]]] = []
    for run in runs:
        last = False
        for span in run:
            if span in absent:
                parts[-1:] = [[*parts[-1], span]] if last else [*parts[-1:], [span]]
            last = span in absent
    return parts


def _runs(text: str, leave_out: frozenset[str]) -> tuple[list[str], list[list[tuple[int, int]]]]:
    """Return the words, folded, before the first that is looked for, and the runs of words that are
    looked for, each word as its [start, end)."""
    leading: list[str] = []
    runs: list[list[tuple[int, int]]] = []
    open_run = False
    for match in _WORD.finditer(text):
        word = fold(match.group())
        if word in leave_out:
            open_run = False
            leading += [] if runs else [word]
            continue
        if not open_run or text[runs[-1][-1][1] : match.start()].strip():
            runs.append([])
        runs[-1].append(match.span())
        open_run = True
    return leading, runs


def answers_both(
    alone: ResolvedQuestion,
    joined: ResolvedQuestion,
    before: ResolvedQuestion,
    languages: Sequence[str],
) -> bool:
    """Return whether the library answers a question together with the one before as well as by
    itself: a sentence or row found for the two together has all words of the question that the
    best ones found for it alone have, which are most of its words, and most of those words of the question before
    that the best found for that one has. What was replaced in the question before does not count."""
    new = words_to_match(alone.question, languages)
    read = words_to_match(joined.question, languages)
    old = [w for w in words_to_match(before.question, languages) if w not in new and w in read]
    by_itself = _held(alone.passages, new, languages)
    most = max(map(len, by_itself), default=0)
    wanted = frozenset().union(*(has for has in by_itself if len(has) == most))
    before_old = max(map(len, _held(before.passages, old, languages)), default=0)
    return 2 * most > len(new) and any(
        wanted <= has and 2 * len(has.intersection(old)) > before_old
        for has in _held(joined.passages, [*new, *old], languages)
    )


def _held(
    passages: Sequence[Passage], words: Sequence[frozenset[str]], languages: Sequence[str]
) -> list[frozenset[frozenset[str]]]:
    """Return which of the words each sentence or row of the passages has, with its title and
    headings."""
    pieces = [
        text_forms(f"{passages[piece.passage - 1].context} {piece.text}", languages)
        for piece in candidates(passages)
    ]
    said = set().union(*pieces)
    compounds = {word: Compounds.of([word], said, languages) for word in words}
    return [
        frozenset(word for word, compound in compounds.items() if compound.count_in(forms))
        for forms in pieces
    ]
