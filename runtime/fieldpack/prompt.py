"""Turns a question and its passages into the exact text that the model reads. Training, evaluation
and the device all build their prompts here. Knows nothing of retrieval, tokenizer files or
generation.

The model's chat template is rendered once, at build time, into the pieces of `ChatFormat`; the
device joins strings and runs no template language.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Protocol

from .errors import BundleCorrupt, QuestionError
from .retrieval.quoting import QuoteSettings
from .untrusted import typed

FILENAME = "prompt.json"
# Part of the key of every stage that saw a prompt: raise it when the layout below changes.
CODE_VERSION = 2
_PROMPT_MARK = re.compile(r"^(\s*)(?:\[(\d+)\]|(Question)\s*:)", re.IGNORECASE)
_MAX_COUNT = 1 << 24  # tokens, characters, passages: beyond what any model or person reads
NEVER_SURE = 2.0  # a `sure_from` above any sureness, which is a probability
_MIN_PASSAGE_TOKENS = 24  # a passage cut shorter than this says nothing


class PassageText(Protocol):
    """What a prompt needs of a passage."""

    @property
    def context(self) -> str:
        """The passage's title and heading path, on one line."""
        ...

    @property
    def text(self) -> str:
        """The passage's own text."""
        ...


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """A chat template as strings: start + system + to_user + user + to_answer + answer + end.

    `special_tokens` never reach the model from a document, a question or a training answer: there
    they are broken into plain text. `skip_tokens`: how many tokens the device's tokenizer adds in
    front of any text, which the template already holds.
    """

    start: str
    to_user: str
    to_answer: str
    end: str
    special_tokens: tuple[str, ...] = ()
    skip_tokens: int = 0

    def plain(self, text: str) -> str:
        """Return `text` with its special tokens broken: "<|im_end|>" becomes "< |im_end|>". NUL is
        left out."""
        text = text.replace("\0", "")
        for token in self.special_tokens:
            if len(token) > 1:
                text = text.replace(token, token[0] + " " + token[1:])
        return text


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """The recipe's `answer` section as shipped. Lengths are in tokens, `max_question_chars` in
    characters. `refuse_below`: the cosine of the best passage under which nothing is generated;
    `refuse_lead_below`: the same for the question's similarity margin
    (`retriever.similarity_margin`), None where it is not looked at. `quoting`: how the passages'
    own words are picked, None in a bundle without documents or from before there were quotes.
    `sure_from`: the sureness under which `unsure` is said in the place of an answer; NEVER_SURE where
    nothing is sure enough, None where no risk was asked for."""

    system: str
    refusal: str
    passages: int
    max_context: int
    max_answer_tokens: int
    refuse_below: float
    max_question_chars: int
    repetition_penalty: float = 1.0
    refuse_lead_below: float | None = None
    sure_from: float | None = None
    unsure: str | None = None
    quoting: QuoteSettings | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt. `text`: to be tokenized as it stands; `used`: how many of the passages, from the
    first, are in it."""

    text: str
    used: int


class PromptBuilder:
    """Builds prompts that fit the model's context."""

    def __init__(
        self, chat: ChatFormat, settings: PromptSettings, count_tokens: Callable[[str], int]
    ) -> None:
        self.chat = chat
        self.settings = settings
        self.count_tokens = count_tokens

    def build(self, question: str, passages: Sequence[PassageText], *, begun: str = "") -> Prompt:
        """Return a prompt that leaves space for the answer, whatever the lengths: where it would be
        too long, passages are dropped from the last (one is cut first), then the question's end.

        `begun`: the beginning of the answer, which the model goes on from; there is space for as
        much again. Raises QuestionError where there is not."""
        limit = self.settings.max_context - self.settings.max_answer_tokens
        begun = self.chat.plain(begun)
        if begun:
            limit -= self.count_tokens(begun)
            if limit < self.count_tokens(self._in_template(question)) + 8:
                raise QuestionError(
                    "the answer is as long as this bundle's context takes; ask for the rest in a "
                    "new question"
                )
        budget = limit - self.count_tokens(self._in_template("")) - 8
        question_budget = budget // 2 if passages else budget
        question = "Question: " + self._cut(self.chat.plain(question), question_budget)
        budget -= self.count_tokens(question)
        parts: list[str] = []
        for number, passage in enumerate(passages, 1):
            context = " ".join(passage.context.split())
            text = self.chat.plain(f"[{number}] {context}\n{fenced(passage.text)}") + "\n\n"
            # The blank line is one token alone, and two before the next "[".
            cost = self.count_tokens(text) + 1
            if cost > budget:
                if budget <= _MIN_PASSAGE_TOKENS:
                    break
                text = self._cut(text, budget - 2).rstrip() + "\n\n"
                cost = budget
            parts.append(text)
            budget -= cost
        # Joined, the parts may count more tokens.
        while parts and self.count_tokens(self._in_template("".join(parts) + question)) > limit:
            parts.pop()
        return Prompt(self._in_template("".join(parts) + question) + begun, len(parts))

    def opening(self) -> Prompt:
        """Return what every prompt begins with."""
        return Prompt(self.chat.start + self.settings.system + self.chat.to_user, 0)

    def _in_template(self, user: str) -> str:
        return (
            self.chat.start + self.settings.system + self.chat.to_user + user + self.chat.to_answer
        )

    def _cut(self, text: str, max_tokens: int) -> str:
        """Return the longest beginning of `text`, of whole words where it has any, that has at most
        `max_tokens` tokens."""
        if self.count_tokens(text) <= max_tokens:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self.count_tokens(text[:middle]) <= max_tokens:
                low = middle
            else:
                high = middle - 1
        head = text[:low]
        return head.rsplit(None, 1)[0] if len(head.split()) > 1 else head


def fenced(text: str) -> str:
    """Return a document's text as it stands in a prompt: in one block, as blank lines separate the
    passages, and without lines that look like the prompt's own marks, "[2] ..." and "Question:
    ...". Nothing that it says is lost, and nothing it says can pass for the prompt's words."""
    lines = (line for line in text.split("\n") if line.strip())
    return "\n".join(_PROMPT_MARK.sub(r"\1(\2\3)", line) for line in lines)


def write_prompt(folder: Path, chat: ChatFormat, settings: PromptSettings) -> None:
    """Write prompt.json into `folder`."""
    # A setting that is not used is not named: runtimes from before it refuse what they do not know.
    named = {name: value for name, value in asdict(settings).items() if value is not None}
    quoting = named.pop("quoting", None)
    data = {"chat": asdict(chat), "settings": named, "version": CODE_VERSION}
    if quoting is not None:
        data["quoting"] = quoting  # beside the settings, where runtimes from before it pass it over
    (folder / FILENAME).write_text(
        json.dumps(data, indent=2, ensure_ascii=False, sort_keys=True) + "\n", "utf-8"
    )


def read_prompt(folder: Path) -> tuple[ChatFormat, PromptSettings]:
    """Return the chat format and the settings of the bundle in `folder`. Raises BundleCorrupt where
    the file is damaged, a setting has another type, or a number cannot be."""
    try:
        data = json.loads((folder / FILENAME).read_text(encoding="utf-8"))
        chat, settings = typed(ChatFormat, data["chat"]), typed(PromptSettings, data["settings"])
        counts = (
            settings.passages,
            settings.max_context,
            settings.max_answer_tokens,
            settings.max_question_chars,
        )
        if (
            chat.skip_tokens < 0
            or min(counts) < 1
            or max(counts) > _MAX_COUNT
            or settings.repetition_penalty <= 0
            or (settings.sure_from is not None and not settings.unsure)
        ):
            raise ValueError("a length or a count that cannot be")
        if "quoting" in data:
            known = {field.name for field in fields(QuoteSettings)}
            given = QuoteSettings.of_older(data["quoting"])
            quoting = {name: value for name, value in given.items() if name in known}
            settings = replace(settings, quoting=typed(QuoteSettings, quoting))
        return chat, settings
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BundleCorrupt(f"{folder / FILENAME}: {error}; copy the bundle again") from None
