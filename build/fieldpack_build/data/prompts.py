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

_SAME = 0.95  # a passage that holds as much of the answer as this is as good as the right one
# share of the answer's words from which on a passage may carry it: no distractor for a refusal
_HINT = 0.5
_DEPTH = 4  # times the passages of a prompt, among which distractors for a refusal are looked for
IGNORED = -100  # the label torch's cross entropy leaves out


class Search(Protocol):
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
class _Drawn:
    """`right`: place of the right passage. `declined`: the right one was left out, so that the
    refusal is right."""

    passages: list[Passage]
    right: int | None
    declined: bool

    @property
    def lead(self) -> Passage | None:
        """What the row is about."""
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
        return sum(label != IGNORED for label in self.labels)


class ExampleBuilder:
    """`search` and `chunks_of` (a document's chunks) are None where the recipe has no documents.
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

    def render_all(self, examples: Sequence[Example], *, share: int = 1) -> Iterator[Rendered]:
        """Rows in the order of `examples`. With `share` above 1 so many questions read the same
        passages, where they can: each brings its right one (a refusal the first that it found),
        taken together by where these stand, so that they are hard to tell apart."""
        if share < 2:
            yield from map(self.render, examples)
            return
        drawn = [self._draw_row(example) for example in examples]
        shared: dict[int, tuple[_Drawn, int]] = {}
        for group in _neighbours([row.lead for row in drawn], share):
            shared |= {
                at: (row, group[0]) for at, row in self._shared(group, examples, drawn).items()
            }
        for at, example in enumerate(examples):
            row, number = shared.get(at, (drawn[at], None))
            yield self._written(example, row, number)

    def render(self, example: Example) -> Rendered:
        return self._written(example, self._draw_row(example), None)

    def _written(self, example: Example, row: _Drawn, group: int | None) -> Rendered:
        prompt = self._prompts.build(example.question, row.passages)
        if example.answer is None or row.declined:
            answer = self._chat.plain(self._settings.refusal)
        else:
            mark = (
                f" [{row.right + 1}]" if row.right is not None and row.right < prompt.used else ""
            )
            answer = (
                self._chat.plain(example.answer) + mark
            )  # as the passage that it quotes stands in the prompt
        return Rendered(prompt.text, answer + self._chat.end, example.line, group)

    def _draw_row(self, example: Example) -> _Drawn:
        chance = random.Random(f"{self._seed}:{example.line}:{example.question}")
        distractors = self._distractors(example) if chance.random() < self._only_distractors else []
        return (
            _Drawn(distractors, None, True)
            if distractors
            else _Drawn(*self._draw(example, chance), False)
        )

    def _shared(
        self, group: Sequence[int], examples: Sequence[Example], drawn: Sequence[_Drawn]
    ) -> dict[int, _Drawn]:
        """Rows by place that read one list of passages: what each brings, filled up with what they
        found besides. A row whose refusal the others' passages would make wrong is not among them.
        """
        brought = {row.lead.chunk_id: row.lead for row in (drawn[at] for at in group) if row.lead}
        besides = [p for at in group for p in drawn[at].passages if p.chunk_id not in brought]
        while len(brought) < self._passages and besides:
            brought.setdefault((p := besides.pop(0)).chunk_id, p)
        passages = list(brought.values())
        random.Random(f"{self._seed}:{group[0]}").shuffle(passages)
        rows = {}
        for at in group:
            answer, row, lead = examples[at].answer, drawn[at], drawn[at].lead
            if row.declined and any(support(answer or "", p.in_context) >= _HINT for p in passages):
                continue
            right = (
                passages.index(brought[lead.chunk_id]) if lead and row.right is not None else None
            )
            rows[at] = _Drawn(passages, right, row.declined)
        return rows

    def tokenize(self, row: Rendered, max_tokens: int, path: str) -> Tokenized:
        """Prompt and answer tokenized apart, as the device does it: there the prompt ends before
        the answer is known.

        Raises DataError for a row that is longer than `max_tokens` or has nothing to learn from."""
        prompt, answer = self._encode(row.prompt), self._encode(row.answer)
        if not answer:
            raise DataError(
                f"{path}:{row.line}: fewer supervised tokens than one: the answer is empty"
            )
        if len(prompt) + len(answer) > max_tokens:
            raise DataError(
                f"{path}:{row.line}: {len(prompt) + len(answer)} tokens with its passages, "
                f"train.max_tokens is {max_tokens}; "
                "raise it, or lower train.passages or knowledge.chunk.tokens"
            )
        return Tokenized(prompt + answer, [IGNORED] * len(prompt) + answer, row.line, row.group)

    def _distractors(self, example: Example) -> list[Passage]:
        """Retrieved passages without those that may carry the answer; none where that leaves
        nothing to read."""
        if example.answer is None or not self._search or not self._passages:
            return []
        answer = example.answer
        found = self._search(example.question, _DEPTH * self._passages)
        return [p for p in found if support(answer, p.in_context) < _HINT][: self._passages]

    def _draw(self, example: Example, chance: random.Random) -> tuple[list[Passage], int | None]:
        """The passages of the prompt and the place of the right one: as the device retrieves them;
        where retrieval missed it, the best one of the example's document takes a random place."""
        if not self._search or not self._passages:
            return [], None
        found = list(self._search(example.question, self._passages))
        if example.answer is None:
            return found, None
        reachable, best = self._best_of(example)
        right = self._find_right(example, found, reachable)
        if right is None and best is not None:
            right = chance.randrange(len(found)) if found else 0
            found[right : right + 1] = [best]
        return found, right

    def _find_right(
        self, example: Example, found: Sequence[Passage], reachable: float
    ) -> int | None:
        """The retrieved passage that holds (nearly) as much of the answer as any of its document
        does."""
        assert example.answer is not None
        scores = [support(example.answer, p.in_context) for p in found]
        mine = [
            s if example.document in (None, p.document) else -1.0
            for s, p in zip(scores, found, strict=True)
        ]
        best = max(range(len(found)), key=lambda i: (mine[i], -i), default=None)
        if best is None or mine[best] < 0 or (mine[best] == 0 and not example.document):
            # a mark on a passage without a word of the answer would teach to cite at random
            return None
        return best if mine[best] >= _SAME * reachable else None

    def _best_of(self, example: Example) -> tuple[float, Passage | None]:
        """The chunk of the example's document that holds most of the answer, and how much that is."""
        if not (example.document and example.answer and self._chunks_of):
            return 0.0, None
        scored = [
            (support(example.answer, c.in_context), -i, c)
            for i, c in self._chunks_of(example.document)
        ]
        if not scored:
            return 0.0, None
        share, minus, chunk = max(scored, key=lambda s: s[:2])
        return share, Passage(
            -minus, chunk.document, chunk.title, chunk.page, chunk.heading, chunk.text, 1.0, 1.0
        )


def _neighbours(leads: Sequence[Passage | None], size: int) -> list[list[int]]:
    """Places of rows in groups of `size`, the last ones smaller, by document and place of what they
    are about."""
    known = [(lead.document, lead.chunk_id, at) for at, lead in enumerate(leads) if lead]
    places = [at for *_, at in sorted(known)]
    return [places[i : i + size] for i in range(0, len(places), size)]
