"""What a model is asked to write from a chunk, which chunks in which order, and how its reply is
read. Knows nothing of models or of what makes a pair a good one."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Sequence

from fieldpack.passages import Chunk

from ..data.records import half_pair

_MIN_WORDS = 12  # of less, nothing can be asked (a heading, a page number)

ASK = """\
You write test questions for the staff of a company, from its documents. Questions to write from the passage below: {count}, \
each with its answer. A question names what it is about and can be understood by someone who has not seen the passage. An \
answer is one short sentence in the passage's own words, with its figures exactly as they stand. Never mention the passage, \
the text or the document. Write in the passage's language, in this form:

Q: the question
A: the answer

Passage, from "{title}":
{passage}"""

ASK_BEYOND = """\
You write test questions for the staff of a company, from its documents. Write one question that a reader of the passage \
below might well ask next, and that the passage does not answer. It names what it is about and can be understood by someone \
who has not seen the passage. Never mention the passage, the text or the document. Write in the passage's language, in this \
form:

Q: the question

Passage, from "{title}":
{passage}"""

JUDGE = """\
Do the passages below answer the question? If any of them does, even in part, reply with the answer. If none does, reply \
with the one word NONE.

{passages}

Question: {question}"""

_MARK = re.compile(
    r"^[\s>*#\-•]*(?:\d+[.)]\s*)?\**(?P<kind>Q|Question|A|Answer)(?![^\W\d_])\s*\d*\s*\**\s*[:.)]\**\s*(?P<text>.*)$",
    re.IGNORECASE,
)
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.S)


def plan_chunks(chunks: Sequence[tuple[int, Chunk]], copies: set[int], seed: int) -> list[Chunk]:
    """Order chunks so that one of each document comes after the other, then the next of each:
    whatever the number of rows, no document has many more than another. `copies`: ids of chunks
    that another document holds too, which are left out."""
    by_document: dict[str, list[Chunk]] = {}
    for number, chunk in chunks:
        if number not in copies and len(chunk.text.split()) >= _MIN_WORDS:
            by_document.setdefault(chunk.document, []).append(chunk)
    documents = sorted(by_document)
    random.Random(seed).shuffle(documents)
    for document in documents:
        random.Random(f"{seed}:{document}").shuffle(by_document[document])
    columns = itertools.zip_longest(*(by_document[document] for document in documents))
    return [chunk for column in columns for chunk in column if chunk is not None]


def prompt_of(template: str, chunk: Chunk, count: int) -> str:
    """Fill the template's places; braces that stand in a passage stay as they are."""
    title = chunk.context or chunk.document
    places = {"{count}": str(count), "{title}": title, "{passage}": chunk.text}
    return re.sub(r"\{(?:count|title|passage)\}", lambda place: places[place.group()], template)


def verdict_prompt(question: str, passages: Sequence[str]) -> str:
    """Return the prompt that asks whether passages answer a question."""
    numbered = "\n\n".join(f"[{number}] {passage}" for number, passage in enumerate(passages, 1))
    return JUDGE.replace("{question}", question).replace("{passages}", numbered)


def says_none(reply: str) -> bool:
    """Return whether a reply to `verdict_prompt` is that no passage answers."""
    return re.sub(r"[^\w]", "", _THOUGHT.sub("", reply)).casefold() == "none"


def read_questions(reply: str) -> list[str]:
    """Return the questions in a reply."""
    return [question for question, _ in _marked(_THOUGHT.sub("", reply)) if question]


def read_pairs(reply: str) -> list[tuple[str, str]]:
    """Return (question, answer) of each pair in a reply: in the form that the prompt names, or as
    JSON. One that holds half a character is left out."""
    reply = _THOUGHT.sub("", reply)
    pairs = _from_json(reply) or [
        (question, answer) for question, answer in _marked(reply) if question and answer
    ]
    return [pair for pair in pairs if half_pair(list(pair)) is None]


def _marked(reply: str) -> list[tuple[str, str]]:
    """Read pairs whose lines are marked Q and A; a side that is missing is empty."""
    pairs: list[list[list[str]]] = []  # of each pair the lines of its question, and of its answer
    side: list[str] | None = None
    for line in reply.splitlines():
        mark = _MARK.match(line)
        if mark and mark["kind"][0] in "Qq":
            pairs.append([[mark["text"]], []])
            side = pairs[-1][0]
        elif mark and pairs and not pairs[-1][1]:
            side = pairs[-1][1]
            side.append(mark["text"])
        elif not line.strip():
            side = None  # what stands behind an empty line is no part of it
        elif side is not None:
            side.append(line)
    return [(_joined(question), _joined(answer)) for question, answer in pairs]


def _joined(lines: Sequence[str]) -> str:
    """Join lines into one, without Markdown's stars around it."""
    return " ".join(" ".join(lines).split()).strip("*").strip()


def _from_json(reply: str) -> list[tuple[str, str]]:
    """Read pairs from the first JSON array or object in a reply; none where there is none."""
    start = min((at for at in (reply.find("["), reply.find("{")) if at >= 0), default=-1)
    if start < 0:
        return []
    try:
        value, _ = json.JSONDecoder().raw_decode(reply, start)
    except (ValueError, RecursionError):
        return []
    rows = value if isinstance(value, list) else [value]
    pairs = [(row.get("question"), row.get("answer")) for row in rows if isinstance(row, dict)]
    texts = [
        (_joined([q]), _joined([a])) for q, a in pairs if isinstance(q, str) and isinstance(a, str)
    ]
    return [(question, answer) for question, answer in texts if question and answer]
