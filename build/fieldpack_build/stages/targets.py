"""Make the shipped model in the formats that the recipe's targets want, hold each against the model in
full precision, and ask the test questions on every target that this machine has.

variants/<name>/   models in other formats than the CPU's
targets.json       the manifest's records, and what was found of each format that was tried
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from fieldpack.bundle.manifest import Manifest, describe_files, read_manifest, write_manifest
from fieldpack.bundle.targets import VARIANTS, Target, targets_to_json
from fieldpack.devices import available_cores
from fieldpack.generation.generator import CONFIG

from .. import toolchains
from ..bundle.assemble import TARGETS, assemble
from ..data import read_questions
from ..errors import CheckFailed, StageError
from ..evaluation import question_split, target_trial
from ..evaluation.arms import EXPORT, model_of, retrieves
from ..export import choose, openvino_ir
from ..export.facts import CandidateFigures
from ..export.held_out import domain_texts, held_out_samples
from ..export.reference_logits import cost_of_rounding, write_reference
from ..models import causal_lm
from ..models.causal_lm import MODEL
from ..models.chat_template import encode, read_chat
from ..pipeline.events import StageResult
from ..pipeline.store import place_link
from ..pipeline.task import Task
from ..recipe.schema import TargetSection
from ..recipe.targets import CPU, OPENVINO
from .export import agreement_limits
from .package import shipped_by

_REFERENCE, _STAGED = "reference", "staged"
_TOKENS = 2000  # of held-out text, as an export of one precision is checked on
_NEW_TOKENS = 32
_PROMPT = 1024  # tokens, where the recipe does not say; OpenVINO GenAI's own default for NPUs
_STATIC_STEP = 64  # an NPU's shapes are compiled in steps of so many tokens


def run(task: Task) -> StageResult:
    causal_lm.quiet()
    arm = shipped_by(task)
    model = model_of(task.recipe, arm)
    if model is None:
        task.say("the bundle quotes its documents and has no model: it has no targets either")
        _write(task, [], [])
        return {"targets": [], "formats": []}
    tools = _tools(task)
    formats = _formats(task, model, tools)
    records = [_record(task, section, formats) for section in _with_cpu(task.recipe.targets)]
    staged = _stage(task, arm, model, records)
    measured = [_measure(task, staged, record, tools) for record in records]
    shutil.rmtree(staged)
    for target in measured:
        task.say(target_trial.describe(target))
    _write(task, measured, list(formats.values()))
    summary = {target.name: {"proof": target.proof, **target.figures} for target in measured}
    return {"targets": summary, "formats": list(formats.values())}


def _with_cpu(sections: Sequence[TargetSection]) -> list[TargetSection]:
    """The recipe's targets in its order, the CPU last: it is always there, and measured beside them."""
    return [*(one for one in sections if one.name != CPU), TargetSection(name="cpu")]


def _tools(task: Task) -> openvino_ir.Toolchains:
    names = (openvino_ir.EXPORTER, openvino_ir.RUNTIME)
    return openvino_ir.Toolchains(
        *(toolchains.ensure(name, task.store.toolchains, task.note) for name in names)
    )


def _formats(task: Task, model: str, tools: openvino_ir.Toolchains) -> dict[str, dict[str, Any]]:
    """Return what was found of the model's other formats, by the `group` that a target asks for; their
    folders lie under variants/. A format that an earlier run made of this very model is taken over."""
    wanted = {str(one.group): one.group for one in task.recipe.targets if one.name in OPENVINO}
    if not wanted:
        return {}
    source_key = task.keys["merge" if model == EXPORT and "merge" in task.inputs else "base"]
    if earlier := _earlier_formats(task, source_key, set(wanted)):
        return earlier
    maker = _Maker(task, model, tools)
    found = {}
    for name, group in wanted.items():
        found[name] = {"asked": name, "source": source_key, **maker.make(group)}
    shutil.rmtree(task.out / _REFERENCE)
    return found


def _earlier_formats(
    task: Task, source_key: str, wanted: set[str]
) -> dict[str, dict[str, Any]] | None:
    if task.previous_output is None or not (task.previous_output / TARGETS).is_file():
        return None
    formats = json.loads((task.previous_output / TARGETS).read_text(encoding="utf-8"))["formats"]
    found = {one["asked"]: one for one in formats if one["source"] == source_key}
    if set(found) != wanted:
        return None
    task.note("taking over the formats of the same model")
    shutil.copytree(task.previous_output / VARIANTS, task.out / VARIANTS, copy_function=place_link)
    return found


class _Maker:
    """Exports the model by group sizes until one passes the gates; each is built once."""

    def __init__(self, task: Task, model: str, tools: openvino_ir.Toolchains) -> None:
        self._task, self._tools = task, tools
        tuned = model == EXPORT and "merge" in task.inputs
        self._source = task.inputs["merge" if tuned else "base"] / MODEL
        self._config = json.loads((self._source / "config.json").read_text(encoding="utf-8"))
        exported = json.loads((task.inputs[model] / MODEL / CONFIG).read_text(encoding="utf-8"))
        ends = exported["model"]["eos_token_id"]
        self._ends = ends if isinstance(ends, list) else [ends]
        self._tokenizer = causal_lm.load_tokenizer(self._source)
        self._seen: dict[int, dict[str, Any]] = {}

    def make(self, group: str | int) -> dict[str, Any]:
        """Return the figures of the first group size that divides the model's widths and passes. Raises
        CheckFailed with what was wrong with each."""
        named = {"auto": openvino_ir.GROUPS, "channel": (openvino_ir.CHANNEL,)}
        groups = named[group] if isinstance(group, str) else (group,)
        tried: list[dict[str, Any]] = []
        for size in groups:
            figures = self._try(size)
            if not figures["refused"]:
                return {**figures, "tried": tried}
            tried.append({"folder": figures["folder"], "refused": figures["refused"]})
        lines = "\n".join(f"  {one['folder']}: {one['refused']}" for one in tried)
        raise CheckFailed(
            f"no group size of the OpenVINO export passes the gates of `export`:\n{lines}"
        )

    def _try(self, size: int) -> dict[str, Any]:
        if size not in self._seen:
            name = openvino_ir.name_of(size)
            if openvino_ir.divides(size, self._config):
                self._task.note(f"exporting {name}")
                self._seen[size] = {"folder": name, **self._build(size, name)}
            else:
                why = f"{size} does not divide the model's widths"
                self._seen[size] = {"folder": name, "refused": why}
        return self._seen[size]

    def _build(self, size: int, name: str) -> dict[str, Any]:
        """Build one format, and keep it if it passes."""
        task, folder = self._task, self._task.out / VARIANTS / name
        folder.parent.mkdir(exist_ok=True)
        try:
            openvino_ir.build_ir(
                self._source, folder, group=size, ends=self._ends, tools=self._tools
            )
            figures = self._figures(size, folder)
        except StageError as error:
            figures = {"refused": str(error)}
        if figures["refused"]:
            shutil.rmtree(folder, ignore_errors=True)
        task.note(f"{name}: {figures['refused'] or 'passes'}")
        return figures

    def _figures(self, size: int, folder: Path) -> dict[str, Any]:
        task, reference = self._task, self._reference()
        rounded = openvino_ir.rounded_as(size, self._config)
        limits = agreement_limits(task.recipe.export, cost_of_rounding(reference, rounded))
        texts = [text for pair in domain_texts(task.recipe) for text in pair if text]
        seen = openvino_ir.probe_ir(folder, reference, texts, tools=self._tools)
        for text, ids in zip(texts, seen.pop("tokens"), strict=True):
            if ids != encode(self._tokenizer, text):
                raise StageError(f"its tokenizer differs from the model's on {text[:80]!r}")
        size_mb = round(sum(path.stat().st_size for path in folder.iterdir()) / 1e6, 1)
        figures = {**seen, **limits, "size_mb": size_mb, "texts_compared": len(texts)}
        return {**figures, "refused": self._refusal(cast(CandidateFigures, figures))}

    def _refusal(self, figures: CandidateFigures) -> str:
        if figures["kl"] is None:
            return "its logits are not numbers"
        most = self._task.recipe.export.max_perplexity_ratio
        if not figures["perplexity_ratio"] <= most:
            ratio = figures["perplexity_ratio"]
            return f"perplexity {ratio:.2f} times torch's, export.max_perplexity_ratio is {most}"
        return choose.disagreement(figures) or ""

    def _reference(self) -> Path:
        """The model in full precision on held-out texts, and what each group size costs in torch."""
        task, folder = self._task, self._task.out / _REFERENCE
        if folder.is_dir():
            return folder
        task.note("preparing test questions")
        context = task.recipe.export.max_context
        chat = read_chat(task.inputs["base"])
        samples = held_out_samples(task, chat, self._tokenizer, tokens=_TOKENS, context=context)
        sizes = [size for size in openvino_ir.GROUPS if openvino_ir.divides(size, self._config)]
        write_reference(
            self._source,
            samples,
            folder,
            ends=self._ends,
            max_own_tokens=min(_NEW_TOKENS, task.recipe.answer.max_answer_tokens),
            candidates=[openvino_ir.rounded_as(size, self._config) for size in sizes],
            on_progress=task.progress,
        )
        return folder


def _record(task: Task, section: TargetSection, formats: Mapping[str, Mapping[str, Any]]) -> Target:
    """The target as the recipe wants it, before anything ran."""
    if section.name not in OPENVINO:
        return Target(section.name, "genai", section.name, MODEL, "config")
    folder = f"{VARIANTS}/{formats[str(section.group)]['folder']}"
    device = section.name.removeprefix("openvino-").upper()
    target = Target(section.name, "openvino", device, folder, "config")
    if not section.is_static:
        return target
    prompt = _up(section.max_prompt or _PROMPT)
    answer = _up(section.max_answer or task.recipe.answer.max_answer_tokens)
    return replace(target, prompt_limit=prompt, total_limit=prompt + answer)


def _up(tokens: int) -> int:
    return -(-tokens // _STATIC_STEP) * _STATIC_STEP


def _stage(task: Task, arm: str, model: str, records: Sequence[Target]) -> Path:
    """Lay out the bundle as it will ship, with its targets not yet measured."""
    folder = task.out / _STAGED
    assemble(
        folder, task.recipe, task.inputs, model=model, knowledge=retrieves(arm), provenance={}, place=place_link
    )  # fmt: skip
    if (task.out / VARIANTS).is_dir():
        shutil.copytree(task.out / VARIANTS, folder / VARIANTS, copy_function=place_link)
    manifest: Manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, files=describe_files(folder), targets=tuple(records)))
    return folder


def _measure(task: Task, staged: Path, target: Target, tools: openvino_ir.Toolchains) -> Target:
    """Return the record with what came of asking the test questions through it."""
    task.note(f"asking questions on {target.name}")
    evaluate = task.recipe.evaluate
    questions = []
    if evaluate:
        every = read_questions(
            task.recipe.path(evaluate.questions), refusal=task.recipe.answer.refusal
        )
        questions = question_split.asked(task.recipe, every, evaluate.sample)
    spec = {
        "bundle": str(staged),
        "target": target.name,
        "questions": [asdict(question) for question in questions],
    }
    script = Path(target_trial.__file__)
    try:
        found = openvino_ir.run_in_openvino(tools, script, spec)
    except StageError as error:
        task.warn(f"{target.name}: {error}; the bundle says that it was not run")
        return replace(target, note=f"not run: {error}")
    figures = found["figures"]
    if figures.get("golden_right", 0) < figures.get("golden", 0):
        task.warn(
            f"{target.name}: {figures['golden_right']:.0f} of {figures['golden']:.0f} golden questions came "
            "out as on the CPU: a device takes it by name alone, `--target auto` passes it over"
        )
    ran = found["proof"] != "config"
    return replace(
        target,
        proof=found["proof"],
        note=found["note"],
        packages=found["packages"],
        figures=found["figures"],
        answers=tuple(found["answers"]),
        machine=_machine() if ran else "",
    )


def _machine() -> str:
    """Return the processor's name and how many of its cores this process may use."""
    name = "an unnamed processor"
    told = Path("/proc/cpuinfo")
    if told.is_file():
        lines = told.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":")[1].strip() for line in lines if "model name" in line), name)
    return f"{name}, {available_cores()} cores"


def _write(task: Task, targets: Sequence[Target], formats: Sequence[Mapping[str, Any]]) -> None:
    data = {"targets": targets_to_json(targets), "formats": list(formats)}
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    (task.out / TARGETS).write_text(text, encoding="utf-8")
