"""What a row means, told from its keys: questions with answers, OpenAI messages, Alpaca, ShareGPT,
prompt and completion. Knows nothing of files.

The device answers each question by itself under the recipe's own system text. So of a conversation
the first question and its answer are taken (`FairQueue` says otherwise), and a row's own system
text is left away; both are counted in `DroppedRow`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .records import half_pair

FairQueue = Literal["first", "each", "last"]
Pair = tuple[str, str | None]  # a question and its answer, None for a refusal

NULL = " (null means: the documents do not say)"
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}


class BadRow(ValueError):
    """What is wrong with a row, without its place."""


@dataclass(slots=True)
class DroppedRow:
    """What rows hold and training does not see: keys that are not read, (system text, follow-up
    questions) of each row."""

    keys: Counter[str] = field(default_factory=Counter)
    systems: list[str] = field(default_factory=list)
    follow_ups: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """`keys`: those that all rows of this shape have, and by which it is known. `read`: further
    ones. `strict`: an unknown key is a mistake; files of the other shapes come from elsewhere and
    bring columns along."""

    name: str
    keys: tuple[str, ...]
    read: tuple[str, ...]
    pairs: Callable[[Mapping[str, Any], FairQueue, DroppedRow], list[Pair]]
    strict: bool = False


def shape_of(
    row: Mapping[str, Any], wanted: str = "auto", needed: Sequence[str] = ("question", "answer")
) -> Shape:
    """`needed`: what a row of question and answer must have. Raises BadRow where no shape fits, or
    more than one."""
    if wanted != "auto":
        shape = SHAPES[wanted]
        _require(row, needed if shape.strict else shape.keys)
        return shape
    whole = [
        s for s in SHAPES.values() if all(key in row for key in (needed if s.strict else s.keys))
    ]
    if len(whole) == 1:
        return whole[0]
    if whole:
        names = " and ".join(shape.name for shape in whole)
        raise BadRow(f"could be {names}; say which with train.format")
    partly = [s for s in SHAPES.values() if any(key in row for key in s.keys)]
    if len(partly) == 1:
        _require(row, needed if partly[0].strict else partly[0].keys)
    if (
        not partly and "answer" not in needed
    ):  # questions to search with: that is what the file is for
        _require(row, needed)
    known = "; ".join(f"{s.name}: {', '.join(s.keys)}" for s in SHAPES.values())
    raise BadRow(
        f"no known shape; its keys: {', '.join(map(str, row)) or 'none'}; known are {known}"
    )


def _require(row: Mapping[str, Any], keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in row]
    if missing:
        raise BadRow(f"no {' and no '.join(missing)}" + (NULL if "answer" in missing else ""))


def check_keys(row: Mapping[str, Any], shape: Shape, known: set[str], lost: DroppedRow) -> None:
    """`known`: keys that may stand beside any shape's own."""
    unknown = sorted(
        str(key)
        for key in row
        if key not in known and key not in shape.keys and key not in shape.read
    )
    if unknown and shape.strict:
        raise BadRow(
            f"unknown key {unknown[0]}; known: {', '.join(sorted(known | set(shape.keys)))}"
        )
    lost.keys.update(unknown)


def text_of(row: Mapping[str, Any], key: str, *, null: bool = False) -> str | None:
    """The text under a key; with `null`, None where there is none. Raises BadRow."""
    value = row.get(key)
    if value is None and null:
        return None
    if not isinstance(value, str):
        raise BadRow(f"{key} must be text")
    if not value.strip():
        raise BadRow(f"{key} must be text, not empty" + (NULL if key == "answer" else ""))
    return value


# --- one function a shape -------------------------------------------------------------------------


def _plain(row: Mapping[str, Any], turns: FairQueue, lost: DroppedRow) -> list[Pair]:
    question, answer = text_of(row, "question"), text_of(row, "answer", null=True)
    assert question
    return [(question, answer)]


def _alpaca(row: Mapping[str, Any], turns: FairQueue, lost: DroppedRow) -> list[Pair]:
    instruction, output = text_of(row, "instruction"), text_of(row, "output")
    more = row.get("input") or ""
    if not isinstance(more, str):
        raise BadRow("input must be text")
    _lose_system(row.get("system"), lost)
    return [(f"{instruction}\n\n{more.strip()}" if more.strip() else str(instruction), output)]


def _completion(row: Mapping[str, Any], turns: FairQueue, lost: DroppedRow) -> list[Pair]:
    """TRL's conversational form has lists of messages in both places."""
    if isinstance(row["prompt"], list) and isinstance(row["completion"], list):
        return _conversation([*row["prompt"], *row["completion"]], turns, lost)
    prompt, completion = text_of(row, "prompt"), text_of(row, "completion")
    assert prompt and completion
    return [(prompt.strip(), completion.strip())]


def _messages(row: Mapping[str, Any], turns: FairQueue, lost: DroppedRow) -> list[Pair]:
    return _conversation(_listed(row["messages"], "messages"), turns, lost)


def _sharegpt(row: Mapping[str, Any], turns: FairQueue, lost: DroppedRow) -> list[Pair]:
    _lose_system(row.get("system"), lost)
    return _conversation(_listed(row["conversations"], "conversations"), turns, lost)


def _listed(value: object, key: str) -> list[Any]:
    if isinstance(value, str) and value.lstrip().startswith("["):  # a table's cell
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise BadRow(f"{key} is no JSON") from None
        if (half := half_pair(value)) is not None:
            raise BadRow(half)
    if not isinstance(value, list) or not value:
        raise BadRow(f"{key} must be a list of turns")
    return value


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("question", ("question", "answer"), (), _plain, strict=True),
        Shape("messages", ("messages",), (), _messages),
        Shape("alpaca", ("instruction", "output"), ("input", "system"), _alpaca),
        Shape("sharegpt", ("conversations",), ("system",), _sharegpt),
        Shape("prompt", ("prompt", "completion"), (), _completion),
    )
}


# --- conversations --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Exchange:
    question: list[str]
    answer: list[str]
    learn: bool = True  # OpenAI's `weight: 0`: the turn is there to be read, not to be learned


def _conversation(turns: Sequence[Any], wanted: FairQueue, lost: DroppedRow) -> list[Pair]:
    exchanges: list[_Exchange] = []
    for number, turn in enumerate(turns, 1):
        role, text = _turn(turn, number)
        if role == "system":
            _lose_system(text, lost)
        elif role == "user":
            if not exchanges or exchanges[-1].answer:
                exchanges.append(_Exchange([], []))
            exchanges[-1].question.append(text)
        elif exchanges:  # a greeting before the first question answers nothing
            exchanges[-1].answer.append(text)
            exchanges[-1].learn = turn.get("weight") != 0
    whole = [e for e in exchanges if e.answer and e.learn]
    if not whole:
        raise BadRow("no answer: no assistant's turn follows a user's")
    taken = {"first": whole[:1], "each": whole, "last": whole[-1:]}[wanted]
    lost.follow_ups += len(exchanges) - len(taken)
    return [("\n\n".join(e.question), "\n\n".join(e.answer)) for e in taken]


def _turn(turn: Any, number: int) -> tuple[str, str]:
    if not isinstance(turn, Mapping):
        raise BadRow(f"turn {number} is no object with a role and a text")
    said = turn.get("role", turn.get("from"))
    role = _ROLES.get(said.lower()) if isinstance(said, str) else None
    if (
        turn.get("tool_calls")
        or turn.get("function_call")
        or said in ("tool", "function", "observation", "function_call")
    ):
        raise BadRow(f"turn {number} calls a tool, which the device cannot")
    if role is None:
        raise BadRow(f"turn {number}: role {said!r}; known: system, user, assistant (human, gpt)")
    text = turn.get("content", turn.get("value"))
    if isinstance(text, list):
        text = "".join(_part(part, number) for part in text)
    if not isinstance(text, str):
        raise BadRow(f"turn {number} ({role}) has no text")
    if not text.strip():
        raise BadRow(f"turn {number} ({role}) is empty")
    return role, text.strip()


def _part(part: Any, number: int) -> str:
    if (
        isinstance(part, Mapping)
        and part.get("type") == "text"
        and isinstance(part.get("text"), str)
    ):
        return str(part["text"])
    raise BadRow(f"turn {number} holds something other than text")


def _lose_system(text: object, lost: DroppedRow) -> None:
    if isinstance(text, str) and text.strip():
        lost.systems.append(text.strip())
