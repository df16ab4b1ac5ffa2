"""From question and answer to the tokens a model is tuned on: the runtime's own prompt, with
passages drawn from the recipe's own index, and the answer with its mark (after RAFT, Zhang et al.
2024). Knows nothing of torch or training.

Most rows read the right passage among distractors, as the device retrieves them. A share of them
reads distractors alone and answers with the refusal: a model that never saw the right passage
missing answers all the same. Where time is short, several questions read one prompt's passages:
what is right for one is a distractor for the others, and the passages, most of a prompt, are read
once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fieldpack.citations import support
from fieldpack.passages import Chunk, Passage
from fieldpack.prompt import ChatFormat, PromptBuilder, PromptSettings

from ..errors import DataError
from . import Example

_AS_GOOD = 0.95  # a passage that holds as much of the answer as this is as good as the right one
# Share of the answer's words from which on a passage may carry it: no distractor for a refusal.
_MAY_CARRY = 0.5
_DEPTH = 4  # times the passages of a prompt, among which distractors for a refusal are looked for
IGNORED = -100  # the label torch's cross entropy leaves out


class Search(Protocol):
    """A search as the device has it."""

    def __call__(self, question: str, k: int) -> Sequence[Passage]: ...


@dataclass(frozen=True, slots=True)
class Rendered:
    """A row as text: `prompt` is what the model reads, `answer` what it shall say (with its closing
    token)."""

    prompt: str
    answer: str
    line: int
    group: int | None = None


@dataclass(frozen=True, slots=True)
class _Context:
    """What a row reads. `right`: place of the right passage. `declined`: the right one was left
    out, so that the refusal is right."""

    passages: list[Passage]
    right: int | None
    declined: bool

    @property
    def subject(self) -> Passage | None:
        """The passage that the row is about."""
        return self.passages[self.right or 0] if self.passages else None


@dataclass(frozen=True, slots=True)
class Tokenized:
    """`ids` and `labels` of one length; labels are IGNORED up to the answer's first token. `line`:
    of the file it is from. Rows of one `group` begin with the same passages."""

    ids: list[int]
    labels: list[int]
    line: int = 0
    group: int | None = None

    @property
    def supervised(self) -> int:
        """How many tokens are learned."""
        return sum(label != IGNORED for label in self.labels)


class ExampleBuilder:
    """Renders and tokenizes training rows.

    `search` and `chunks_of` (a document's chunks) are None where the recipe has no documents.
    `only_distractors`: share (0 to 1) of the answerable rows whose passages are all wrong, so that
    the refusal is their answer. What is drawn for a row depends on the seed and the row alone, not
    on the rows before it."""

    def __init__(
        self,
        chat: ChatFormat,
        settings: PromptSettings,
        encode: Callable[[str], list[int]],
        *,
        passages: int,
        search: Search | None = None,
        chunks_of: Callable[[str], Sequence[tuple[int, Chunk]]] | None = None,
        seed: int = 0,
        only_distractors: float = 0.0,
    ) -> None:
        self._prompts = PromptBuilder(chat, settings, lambda text: len(encode(text)))
        self._chat, self._settings, self._encode = chat, settings, encode
        self._passages, self._search, self._chunks_of = passages, search, chunks_of
        self._seed, self._only_distractors = seed, only_distractors

    def render_all(
        self, examples: Sequence[Example], *, questions_per_prompt: int = 1
    ) -> Iterator[Rendered]:
        """Yield the rows as text, in the order of `examples`. With more than one question a prompt
        so many read the same passages, where they can: each brings its right one (a refusal the
        first that it retrieved), grouped by where these stand, so that they are hard to tell
        apart."""
        if questions_per_prompt < 2:
            yield from map(self.render, examples)
            return
        own = [self._context_of(example) for example in examples]
        shared: dict[int, tuple[_Context, int]] = {}
        for group in _neighbours([context.subject for context in own], questions_per_prompt):
            for at, context in self._share(group, examples, own).items():
                shared[at] = (context, group[0])
        for at, example in enumerate(examples):
            context, number = shared.get(at, (own[at], None))
            yield self._write(example, context, number)

    def render(self, example: Example) -> Rendered:
        """Return a row as text, with passages of its own."""
        return self._write(example, self._context_of(example), None)

    def tokenize(self, row: Rendered, max_tokens: int, path: str) -> Tokenized:
        """Tokenize prompt and answer apart, as the device does it: there the prompt ends before the
        answer is known. Raises DataError for a row that is longer than `max_tokens` or has nothing
        to learn from, named by `path` and its line."""
        prompt, answer = self._encode(row.prompt), self._encode(row.answer)
        if not answer:
            raise DataError(
                f"{path}:{row.line}: fewer supervised tokens than one: the answer is empty"
            )
        if len(prompt) + len(answer) > max_tokens:
            raise DataError(
                f"{path}:{row.line}: {len(prompt) + len(answer)} tokens with its passages, "
                f"train.max_tokens is {max_tokens}; raise it, or lower train.passages or "
                "knowledge.chunk.tokens"
            )
        return Tokenized(prompt + answer, [IGNORED] * len(prompt) + answer, row.line, row.group)

    def _write(self, example: Example, context: _Context, group: int | None) -> Rendered:
        prompt = self._prompts.build(example.question, context.passages)
        if example.answer is None or context.declined:
            answer = self._chat.plain(self._settings.refusal)
        else:
            answer = self._chat.plain(example.answer)
            # As the passage that it quotes stands in the prompt.
            if context.right is not None and context.right < prompt.used:
                answer += f" [{context.right + 1}]"
        return Rendered(prompt.text, answer + self._chat.end, example.line, group)

    def _context_of(self, example: Example) -> _Context:
        """The passages of a row's own prompt: as the device retrieves them; where retrieval missed
        the right one, the best one of the example's document takes a random place. For some rows
        distractors alone, those among the retrieved that cannot carry the answer."""
        chance = random.Random(f"{self._seed}:{example.line}:{example.question}")
        without_answer = chance.random() < self._only_distractors
        if not self._search or not self._passages:
            return _Context([], None, False)
        if without_answer and example.answer is not None:
            distractors = [
                passage
                for passage in self._search(example.question, _DEPTH * self._passages)
                if support(example.answer, passage.in_context) < _MAY_CARRY
            ][: self._passages]
            if distractors:
                return _Context(distractors, None, True)
        passages = list(self._search(example.question, self._passages))
        if example.answer is None:
            return _Context(passages, None, False)
        reachable, best = self._best_of_document(example)
        right = _find_right(example.answer, example.document, passages, reachable)
        if right is None and best is not None:
            right = chance.randrange(len(passages)) if passages else 0
            passages[right : right + 1] = [best]
        return _Context(passages, right, False)

    def _share(
        self, group: Sequence[int], examples: Sequence[Example], own: Sequence[_Context]
    ) -> dict[int, _Context]:
        """Rows by place that read one list of passages: what each brings, filled up with what they
        retrieved besides. A row whose refusal the others' passages would make wrong is not among
        them."""
        brought = {
            subject.chunk_id: subject for at in group if (subject := own[at].subject) is not None
        }
        besides = [p for at in group for p in own[at].passages if p.chunk_id not in brought]
        while len(brought) < self._passages and besides:
            passage = besides.pop(0)
            brought.setdefault(passage.chunk_id, passage)
        passages = list(brought.values())
        random.Random(f"{self._seed}:{group[0]}").shuffle(passages)
        contexts = {}
        for at in group:
            answer, subject = examples[at].answer or "", own[at].subject
            if own[at].declined and any(
                support(answer, passage.in_context) >= _MAY_CARRY for passage in passages
            ):
                continue
            right = None
            if subject is not None and own[at].right is not None:
                right = passages.index(brought[subject.chunk_id])
            contexts[at] = _Context(passages, right, own[at].declined)
        return contexts

    def _best_of_document(self, example: Example) -> tuple[float, Passage | None]:
        """The chunk of the example's document that holds most of the answer, and how much that
        is."""
        if not (example.document and example.answer and self._chunks_of):
            return 0.0, None
        scored = [
            (support(example.answer, chunk.in_context), -chunk_id, chunk)
            for chunk_id, chunk in self._chunks_of(example.document)
        ]
        if not scored:
            return 0.0, None
        share, minus_id, chunk = max(scored, key=lambda s: s[:2])
        return share, Passage(
            -minus_id, chunk.document, chunk.title, chunk.page, chunk.heading, chunk.text, 1.0, 1.0
        )


def _find_right(
    answer: str, document: str | None, passages: Sequence[Passage], reachable: float
) -> int | None:
    """The place of the passage that holds (nearly) as much of the answer as any of its document
    does, which is `reachable`."""
    shares = [
        support(answer, passage.in_context) if document in (None, passage.document) else -1.0
        for passage in passages
    ]
    best = max(range(len(passages)), key=lambda i: (shares[i], -i), default=None)
    if best is None or shares[best] < 0 or (shares[best] == 0 and not document):
        # A mark on a passage without a word of the answer would teach to cite at random.
        return None
    return best if shares[best] >= _AS_GOOD * reachable else None


def _neighbours(subjects: Sequence[Passage | None], size: int) -> list[list[int]]:
    """Places of rows in groups of `size`, the last ones smaller, by document and place of what they
    are about."""
    known = sorted(
        (subject.document, subject.chunk_id, at) for at, subject in enumerate(subjects) if subject
    )
    places = [at for *_, at in known]
    return [places[i : i + size] for i in range(0, len(places), size)]
