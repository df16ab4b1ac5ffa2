"""Training rows -> tokens, with the passages that the recipe's own index gives. Every row that is
too long, and every one that teaches nothing, is a problem with file and line, all of them together.
Knows nothing of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from fieldpack.prompt import ChatFormat
from fieldpack.retrieval.retriever import Retriever, open_retriever

from ..errors import DataError
from ..models.chat_template import read_chat
from ..pipeline.task import Task
from ..recipe.runtime_settings import prompt_settings, retrieval_settings
from ..recipe.schema import Recipe
from .prompts import ExampleBuilder, Rendered, Tokenized
from .rows import Example

Encode = Callable[[str], list[int]]
_REHEARSED_ROWS = 12


@dataclass(slots=True)
class Prepared:
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
) -> Prepared:
    """`context`: what the base model reads at most, in tokens, where it says so. Without a finished
    knowledge stage among the task's inputs no passages are drawn."""
    recipe = task.recipe
    if recipe.rehearsal:
        examples = examples[:_REHEARSED_ROWS]
    retriever = _retriever(task)
    if retriever is not None:
        _check_documents(examples, set(retriever.index.documents()), task)
    chat = read_chat(task.inputs["base"])
    builder = _builder(recipe, chat, encode, retriever)
    prepared = Prepared(warnings=_control_tokens(examples, chat))
    rendered = builder.render_all(examples, share=recipe.train.questions_per_prompt)
    for number, (example, row) in enumerate(zip(examples, rendered, strict=True), 1):
        _take(
            prepared, builder, encode, example, row, limit=recipe.train.max_tokens, context=context
        )
        if number % 20 == 0 or number == len(examples):
            task.progress(number, len(examples), "examples prepared")
    return prepared


def _take(
    prepared: Prepared,
    builder: ExampleBuilder,
    encode: Encode,
    example: Example,
    rendered: Rendered,
    *,
    limit: int,
    context: int | None,
) -> None:
    try:
        row = builder.tokenize(rendered, limit, example.file)
    except DataError as error:
        prepared.problems.append(str(error))
        prepared.lengths.append(len(encode(rendered.prompt)) + len(encode(rendered.answer)))
        return
    prepared.lengths.append(len(row.ids))
    if context is not None and len(row.ids) > context:
        length = len(row.ids)
        prepared.problems.append(
            f"{example.place}: {length} tokens, the base model reads {context}; lower "
            "train.passages"
        )
    elif row.supervised < 1:
        prepared.problems.append(f"{example.place}: no token to learn from")
    else:
        prepared.examples.append(example)
        prepared.rendered.append(rendered)
        prepared.rows.append(row)


def _retriever(task: Task) -> Retriever | None:
    if not (task.recipe.train_passages and "knowledge" in task.inputs):
        return None
    return open_retriever(
        task.inputs["embedder"],
        task.inputs["knowledge"],
        retrieval_settings(task.recipe),
        reranker=task.inputs.get("reranker"),
    )


def _builder(
    recipe: Recipe, chat: ChatFormat, encode: Encode, retriever: Retriever | None
) -> ExampleBuilder:
    # Never cut here: a cut could take the right passage away. A row that is too long is a problem
    # that names its line.
    settings = replace(prompt_settings(recipe), max_context=2**20)
    return ExampleBuilder(
        chat,
        settings,
        encode,
        passages=recipe.train_passages,
        search=retriever.search if retriever else None,
        chunks_of=retriever.index.chunks if retriever else None,
        seed=recipe.train.seed,
        only_distractors=recipe.train.only_distractors,
    )


def _control_tokens(examples: Sequence[Example], chat: ChatFormat) -> list[str]:
    """A line about the answers that spell a control token of the base model, such as what a chat's
    export leaves at their ends. `examples.ExampleBuilder` breaks it up, as the device does in
    questions and documents: it is never learned as a token."""
    named = [
        (example.place, token)
        for example in examples
        for token in [next((t for t in chat.special_tokens if t in (example.answer or "")), None)]
        if token
    ]
    if not named:
        return []
    place, token = named[0]
    more = f", as in {len(named):,} rows" if len(named) > 1 else ""
    said = (
        f'{place}: its answer holds "{token}", a control token of the base model{more}; it is '
        "learned as the plain text "
        f'"{chat.plain(token)}", as the device reads it in documents; take it out where it only '
        "marks the end of the answer"
    )
    return [said]


def _check_documents(examples: Sequence[Example], known: set[str], task: Task) -> None:
    missing = sorted({e.document for e in examples if e.document and e.document not in known})
    if missing and not task.recipe.rehearsal:
        task.warn(
            f"{len(missing)} documents named by training rows are not in the index, first: "
            f"{missing[0]}"
        )
