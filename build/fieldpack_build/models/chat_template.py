"""Renders a tokenizer's chat template once into the strings of `ChatFormat`. Knows nothing of
models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fieldpack.prompt import ChatFormat

from ..errors import SourceError
from .inspection import CHAT_TEMPLATE

CHAT = "chat.json"
_SYSTEM, _USER, _ANSWER = "fieldpack-system-7f3a", "fieldpack-user-7f3a", "fieldpack-answer-7f3a"


def chat_format(tokenizer: Any, name: str, path: Path | None = None) -> ChatFormat:
    """Return the template's strings. `path`: the model's folder or GGUF, for advice. Raises
    SourceError where there is no template, it is broken, or it does not keep what it is given."""
    from jinja2.exceptions import TemplateError

    if not tokenizer.chat_template:
        place = (
            path.parent / CHAT_TEMPLATE
            if path and path.is_file()
            else (path or Path()) / CHAT_TEMPLATE
        )
        raise SourceError(
            f"{name}: the model has no chat template; use an instruct model, or write its template "
            f"as {place}"
        )
    try:
        text = _render(
            tokenizer, [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}]
        )
    except (TemplateError, ValueError):
        # Gemma's templates refuse the role `system`; its guides put the instructions before the
        # first question.
        text = _render(tokenizer, [{"role": "user", "content": f"{_SYSTEM}\n\n{_USER}"}])
    if _SYSTEM not in text:  # some templates drop the role in silence
        text = _render(tokenizer, [{"role": "user", "content": f"{_SYSTEM}\n\n{_USER}"}])
    if text.count(_SYSTEM) != 1 or text.count(_USER) != 1:
        raise SourceError(
            f"{name}: its chat template repeats or drops what it is given; replace "
            "chat_template.jinja"
        )
    start, rest = text.split(_SYSTEM)
    to_user, to_answer = rest.split(_USER)
    special = special_tokens(tokenizer)
    # An answer is closed by what the template puts behind it, up to and with its first special
    # token.
    messages = [{"role": "user", "content": _USER}, {"role": "assistant", "content": _ANSWER}]
    tail = _render(tokenizer, messages, answer=False).rpartition(_ANSWER)[2]
    ends = [tail[: tail.index(token) + len(token)] for token in special if token in tail]
    end = min(ends, key=len) if ends else str(tokenizer.eos_token)
    return ChatFormat(start, to_user, to_answer, end, tuple(special))


def special_tokens(tokenizer: Any) -> list[str]:
    """Return all tokens with a meaning of their own, longest first, so that no part of one is
    broken before the whole."""
    added = {
        str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special
    }
    tokens = {str(token) for token in tokenizer.all_special_tokens} | added
    return sorted(
        (token for token in tokens if len(token) > 1), key=lambda token: (-len(token), token)
    )


def encode(tokenizer: Any, text: str) -> list[int]:
    """Return the tokens of `text` and nothing else: the chat template's strings hold every special
    token there shall be."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def _render(tokenizer: Any, messages: list[dict[str, str]], *, answer: bool = True) -> str:
    """Render messages by the template; `answer`: up to where an answer begins."""
    # enable_thinking: Qwen3's templates open a reasoning block without it; others ignore it.
    text: str = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=answer, enable_thinking=False
    )
    return text


def read_chat(base: Path, *, skip_tokens: int = 0) -> ChatFormat:
    """Read the chat format that the base stage wrote into its folder `base`."""
    data = json.loads((base / CHAT).read_text(encoding="utf-8"))
    return ChatFormat(
        **{**data, "special_tokens": tuple(data["special_tokens"]), "skip_tokens": skip_tokens}
    )
