"""Training rows -> tokens, with the passages that the recipe's own index gives. Every row that is
too long, and every one that teaches nothing, is a problem with file and line, all of them together.
Knows nothing of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from fieldpack.prompt import ChatFormat
from fieldpack.retrieval.retriever import Retriever

from ..errors import DataError
from ..models.chat_template import read_chat
from ..pipeline.task import Task
from ..recipe.runtime_settings import open_library, prompt_settings
from .prompts import ExampleBuilder, Rendered, Tokenized
from .rows import Example

Encode = Callable[[str], list[int]]
_REHEARSED_ROWS = 12


@dataclass(slots=True)
class PreparedRows:
    """Of each row that can be learned from: where it came from, its text, its tokens. `lengths`:
    tokens of every row, those that are too long too."""

    examples: list[Example] = field(default_factory=list)
    rendered: list[Rendered] = field(default_factory=list)
    rows: list[Tokenized] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def prepare_rows(
    task: Task, encode: Encode, examples: Sequence[Example], *, context: int | None = None
) -> PreparedRows:
    """Render and tokenize training rows. `context`: what the base model reads at most, in tokens,
    where it says so. Without a finished knowledge stage among the task's inputs the prompts have no
    passages."""
    recipe = task.recipe
    if recipe.rehearsal:
        examples = examples[:_REHEARSED_ROWS]
    retriever = None
    if recipe.train_passages and "knowledge" in task.inputs:
        retriever = open_library(recipe, task.inputs)
        _check_documents(examples, retriever, task)
    chat = read_chat(task.inputs["base"])
    builder = ExampleBuilder(
        chat,
        # Never cut here: a cut could take the right passage away. A row that is too long is a
        # problem that names its line.
        replace(prompt_settings(recipe), max_context=2**20),
        encode,
        passages=recipe.train_passages,
        search=retriever.search if retriever else None,
        chunks_of=retriever.index.chunks if retriever else None,
        seed=recipe.train.seed,
        only_distractors=recipe.train.only_distractors,
    )
    prepared = PreparedRows(warnings=_control_tokens(examples, chat))
    rendered = builder.render_all(examples, questions_per_prompt=recipe.train.questions_per_prompt)
    for number, (example, row) in enumerate(zip(examples, rendered, strict=True), 1):
        try:
            tokens = builder.tokenize(row, recipe.train.max_tokens, example.file)
        except DataError as error:
            prepared.problems.append(str(error))
            prepared.lengths.append(len(encode(row.prompt)) + len(encode(row.answer)))
        else:
            _add(prepared, example, row, tokens, context)
        if number % 20 == 0 or number == len(examples):
            task.progress(number, len(examples), "examples prepared")
    return prepared


def _add(
    prepared: PreparedRows,
    example: Example,
    rendered: Rendered,
    tokens: Tokenized,
    context: int | None,
) -> None:
    prepared.lengths.append(len(tokens.ids))
    if context is not None and len(tokens.ids) > context:
        prepared.problems.append(
            f"{example.place}: {len(tokens.ids)} tokens, the base model reads {context}; lower "
            "train.passages"
        )
    elif tokens.supervised < 1:
        prepared.problems.append(f"{example.place}: no token to learn from")
    else:
        prepared.examples.append(example)
        prepared.rendered.append(rendered)
        prepared.rows.append(tokens)


def _control_tokens(examples: Sequence[Example], chat: ChatFormat) -> list[str]:
    """A line about the answers that spell a control token of the base model, such as what a chat's
    export leaves at their ends. `ExampleBuilder` breaks it up, as the device does in questions and
    documents: it is never learned as a token."""
    spelled = []
    for example in examples:
        answer = example.answer or ""
        token = next((token for token in chat.special_tokens if token in answer), None)
        if token:
            spelled.append((example.place, token))
    if not spelled:
        return []
    place, token = spelled[0]
    more = f", as in {len(spelled):,} rows" if len(spelled) > 1 else ""
    said = (
        f'{place}: its answer holds "{token}", a control token of the base model{more}; it is '
        f'learned as the plain text "{chat.plain(token)}", as the device reads it in documents; '
        "take it out where it only marks the end of the answer"
    )
    return [said]


def _check_documents(examples: Sequence[Example], retriever: Retriever, task: Task) -> None:
    known = set(retriever.index.documents())
    missing = sorted({e.document for e in examples if e.document and e.document not in known})
    if missing and not task.recipe.rehearsal:
        task.warn(
            f"{len(missing)} documents named by training rows are not in the index, first: "
            f"{missing[0]}"
        )
