"""What a row means, by its keys: questions with answers, OpenAI messages, Alpaca, ShareGPT,
prompt and completion. Knows nothing of files.

The device answers each question by itself under the recipe's own system text. So of a conversation
the first question and its answer are taken (`ConversationTurns` says otherwise), and a row's own
system text is left away; both are counted in `Dropped`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .records import half_pair

ConversationTurns = Literal["first", "each", "last"]
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
class Dropped:
    """What rows hold and training does not see: keys that are not read, (system text, follow-up
    questions) of each row."""

    keys: Counter[str] = field(default_factory=Counter)
    systems: list[str] = field(default_factory=list)
    follow_ups: int = 0


@dataclass(frozen=True, slots=True)
class RowFormat:
    """`keys`: those that all rows of this format have, and by which it is known. `read`: further
    ones. `strict`: an unknown key is a mistake; files of the other formats come from elsewhere and
    bring columns along."""

    name: str
    keys: tuple[str, ...]
    read: tuple[str, ...]
    pairs: Callable[[Mapping[str, Any], ConversationTurns, Dropped], list[Pair]]
    strict: bool = False


def format_of(
    row: Mapping[str, Any], name: str = "auto", needed: Sequence[str] = ("question", "answer")
) -> RowFormat:
    """Return the format of a row: the one of that name, or the one whose keys the row has.
    `needed`: what a row of question and answer must have. Raises BadRow where no format fits, or
    more than one."""
    if name != "auto":
        _require(row, _keys(FORMATS[name], needed))
        return FORMATS[name]
    whole = [f for f in FORMATS.values() if all(key in row for key in _keys(f, needed))]
    if len(whole) == 1:
        return whole[0]
    if whole:
        names = " and ".join(f.name for f in whole)
        raise BadRow(f"could be {names}; say which with train.format")
    partly = [f for f in FORMATS.values() if any(key in row for key in f.keys)]
    if len(partly) == 1:
        _require(row, _keys(partly[0], needed))
    if not partly and "answer" not in needed:  # questions to search with
        _require(row, needed)
    known = "; ".join(f"{f.name}: {', '.join(f.keys)}" for f in FORMATS.values())
    raise BadRow(
        f"no known shape; its keys: {', '.join(map(str, row)) or 'none'}; known are {known}"
    )


def _keys(row_format: RowFormat, needed: Sequence[str]) -> Sequence[str]:
    return needed if row_format.strict else row_format.keys


def _require(row: Mapping[str, Any], keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in row]
    if missing:
        raise BadRow(f"no {' and no '.join(missing)}" + (NULL if "answer" in missing else ""))


def check_keys(
    row: Mapping[str, Any], row_format: RowFormat, known: set[str], dropped: Dropped
) -> None:
    """Count the keys that are not read. `known`: keys that may stand beside any format's own.
    Raises BadRow for an unknown key where the format is strict."""
    read = {*known, *row_format.keys, *row_format.read}
    unknown = sorted(str(key) for key in row if key not in read)
    if unknown and row_format.strict:
        names = ", ".join(sorted(known | set(row_format.keys)))
        raise BadRow(f"unknown key {unknown[0]}; known: {names}")
    dropped.keys.update(unknown)


def text_of(row: Mapping[str, Any], key: str, *, null: bool = False) -> str | None:
    """Return the text under a key; with `null`, None where there is none. Raises BadRow for what
    is no text, or empty."""
    value = row.get(key)
    if value is None and null:
        return None
    if not isinstance(value, str):
        raise BadRow(f"{key} must be text")
    if not value.strip():
        raise BadRow(f"{key} must be text, not empty" + (NULL if key == "answer" else ""))
    return value


# --- one function a format ------------------------------------------------------------------------


def _plain(row: Mapping[str, Any], turns: ConversationTurns, dropped: Dropped) -> list[Pair]:
    question, answer = text_of(row, "question"), text_of(row, "answer", null=True)
    assert question
    return [(question, answer)]


def _alpaca(row: Mapping[str, Any], turns: ConversationTurns, dropped: Dropped) -> list[Pair]:
    instruction, output = text_of(row, "instruction"), text_of(row, "output")
    more = row.get("input") or ""
    if not isinstance(more, str):
        raise BadRow("input must be text")
    _drop_system(row.get("system"), dropped)
    return [(f"{instruction}\n\n{more.strip()}" if more.strip() else str(instruction), output)]


def _completion(row: Mapping[str, Any], turns: ConversationTurns, dropped: Dropped) -> list[Pair]:
    """TRL's conversational form has lists of messages in both places."""
    if isinstance(row["prompt"], list) and isinstance(row["completion"], list):
        return _conversation([*row["prompt"], *row["completion"]], turns, dropped)
    prompt, completion = text_of(row, "prompt"), text_of(row, "completion")
    assert prompt and completion
    return [(prompt.strip(), completion.strip())]


def _messages(row: Mapping[str, Any], turns: ConversationTurns, dropped: Dropped) -> list[Pair]:
    return _conversation(_listed(row["messages"], "messages"), turns, dropped)


def _sharegpt(row: Mapping[str, Any], turns: ConversationTurns, dropped: Dropped) -> list[Pair]:
    _drop_system(row.get("system"), dropped)
    return _conversation(_listed(row["conversations"], "conversations"), turns, dropped)


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


FORMATS = {
    row_format.name: row_format
    for row_format in (
        RowFormat("question", ("question", "answer"), (), _plain, strict=True),
        RowFormat("messages", ("messages",), (), _messages),
        RowFormat("alpaca", ("instruction", "output"), ("input", "system"), _alpaca),
        RowFormat("sharegpt", ("conversations",), ("system",), _sharegpt),
        RowFormat("prompt", ("prompt", "completion"), (), _completion),
    )
}


# --- conversations --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Exchange:
    question: list[str]
    answer: list[str]
    learn: bool = True  # OpenAI's `weight: 0`: the turn is there to be read, not to be learned


def _conversation(
    messages: Sequence[Any], turns: ConversationTurns, dropped: Dropped
) -> list[Pair]:
    exchanges: list[_Exchange] = []
    for number, message in enumerate(messages, 1):
        role, text = _message(message, number)
        if role == "system":
            _drop_system(text, dropped)
        elif role == "user":
            if not exchanges or exchanges[-1].answer:
                exchanges.append(_Exchange([], []))
            exchanges[-1].question.append(text)
        elif exchanges:  # a greeting before the first question answers nothing
            exchanges[-1].answer.append(text)
            exchanges[-1].learn = message.get("weight") != 0
    whole = [e for e in exchanges if e.answer and e.learn]
    if not whole:
        raise BadRow("no answer: no assistant's turn follows a user's")
    taken = {"first": whole[:1], "each": whole, "last": whole[-1:]}[turns]
    dropped.follow_ups += len(exchanges) - len(taken)
    return [("\n\n".join(e.question), "\n\n".join(e.answer)) for e in taken]


def _message(message: Any, number: int) -> tuple[str, str]:
    """(role, text) of a conversation's message. Raises BadRow."""
    if not isinstance(message, Mapping):
        raise BadRow(f"turn {number} is no object with a role and a text")
    name = message.get("role", message.get("from"))
    role = _ROLES.get(name.lower()) if isinstance(name, str) else None
    if (
        message.get("tool_calls")
        or message.get("function_call")
        or name in ("tool", "function", "observation", "function_call")
    ):
        raise BadRow(f"turn {number} calls a tool, which the device cannot")
    if role is None:
        raise BadRow(f"turn {number}: role {name!r}; known: system, user, assistant (human, gpt)")
    text = message.get("content", message.get("value"))
    if isinstance(text, list):
        parts = [part.get("text") if isinstance(part, Mapping) else None for part in text]
        types = [part.get("type") if isinstance(part, Mapping) else None for part in text]
        if not all(kind == "text" for kind in types) or not all(isinstance(p, str) for p in parts):
            raise BadRow(f"turn {number} holds something other than text")
        text = "".join(map(str, parts))
    if not isinstance(text, str):
        raise BadRow(f"turn {number} ({role}) has no text")
    if not text.strip():
        raise BadRow(f"turn {number} ({role}) is empty")
    return role, text.strip()


def _drop_system(text: object, dropped: Dropped) -> None:
    if isinstance(text, str) and text.strip():
        dropped.systems.append(text.strip())
