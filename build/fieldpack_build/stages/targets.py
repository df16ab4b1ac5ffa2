"""Make the shipped model in the formats that the recipe's targets want, hold each against the model
in full precision, and ask the test questions on every target that this machine has.

variants/<name>/   models in other formats than the CPU's
targets.json       the manifest's records, and what was found of each format that was tried
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import cast

from fieldpack.bundle.manifest import describe_files, read_manifest, write_manifest
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
from ..export.calibrated import write_rounded
from ..export.facts import FormatFigures, RefusedFormat, read_facts
from ..export.held_out import (
    CALIBRATION_TOKENS,
    calibration_samples,
    domain_texts,
    held_out_samples,
)
from ..export.openvino_ir import Rounding
from ..export.reference_logits import cost_of_rounding, write_reference
from ..models import causal_lm
from ..models.causal_lm import MODEL
from ..models.chat_template import encode, read_chat
from ..models.precision import parse
from ..pipeline.store import place_link
from ..pipeline.task import Task
from ..recipe.schema import Recipe
from ..recipe.schema.targets import CPU, OPENVINO, TargetSection
from .export import agreement_limits
from .package import shipped_by
from .results import TargetsResult

_REFERENCE, _ROUNDED, _STAGED = "reference", "rounded", "staged"
_TOKENS = 2000  # of held-out text, as an export of one precision is checked on
_NEW_TOKENS = 32
_PROMPT = 1024  # tokens, where the recipe does not say; OpenVINO GenAI's own default for NPUs
_STATIC_STEP = 64  # an NPU's shapes are compiled in steps of so many tokens


def run(task: Task) -> TargetsResult:
    """Make the formats, ask the test questions on every target, and write `targets.json`. Raises
    CheckFailed where no format passes the gates of `export`."""
    causal_lm.quiet()
    arm = shipped_by(task)
    model = model_of(task.recipe, arm)
    if model is None:
        task.say("the bundle quotes its documents and has no model: it has no targets either")
        _write(task, [], [])
        return {"targets": {}, "formats": []}
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
    """Return the recipe's targets in its order, the CPU last: it is always there, and measured
    beside them."""
    return [*(one for one in sections if one.name != CPU), TargetSection(name="cpu")]


def _tools(task: Task) -> openvino_ir.Toolchains:
    names = (openvino_ir.EXPORTER, openvino_ir.RUNTIME)
    return openvino_ir.Toolchains(
        *(toolchains.ensure(name, task.store.toolchains, task.note) for name in names)
    )


def _formats(task: Task, model: str, tools: openvino_ir.Toolchains) -> dict[str, FormatFigures]:
    """Return what was measured of the model's other formats, by the `group` that a target asks for;
    their folders lie under variants/. A format that an earlier run made of this very model is
    reused.
    """
    groups = {str(one.group): one.group for one in task.recipe.targets if one.name in OPENVINO}
    if not groups:
        return {}
    source_key = task.keys["merge" if model == EXPORT and "merge" in task.inputs else "base"]
    rounding = Rounding.like(parse(read_facts(task.inputs[model])["candidate"]))
    if reused := _reused_formats(task, source_key, rounding, set(groups)):
        return reused
    maker = _FormatMaker(task, model, rounding, tools)
    formats: dict[str, FormatFigures] = {}
    for name, group in groups.items():
        made = maker.make(group)
        formats[name] = {"asked": name, "source": source_key, "like": asdict(rounding), **made}
    shutil.rmtree(task.out / _REFERENCE)
    used = {made["folder"] for made in formats.values()}
    for folder in (task.out / VARIANTS).iterdir():
        if folder.name not in used:
            shutil.rmtree(folder)
    return formats


def _reused_formats(
    task: Task, source_key: str, rounding: Rounding, groups: set[str]
) -> dict[str, FormatFigures] | None:
    """Link the formats that an earlier run made of the model of `source_key`, to be rounded like the
    CPU's, and return their figures; None where it made others than `groups`."""
    if task.previous_output is None or not (task.previous_output / TARGETS).is_file():
        return None
    data = json.loads((task.previous_output / TARGETS).read_text(encoding="utf-8"))
    earlier: list[FormatFigures] = data["formats"]
    wanted = source_key, asdict(rounding)
    formats = {one["asked"]: one for one in earlier if (one["source"], one["like"]) == wanted}
    if set(formats) != groups:
        return None
    task.note("reusing the formats of the same model")
    shutil.copytree(task.previous_output / VARIANTS, task.out / VARIANTS, copy_function=place_link)
    return formats


class _FormatMaker:
    """Exports the model by group sizes until one passes the gates; each is built once."""

    def __init__(
        self, task: Task, model: str, rounding: Rounding, tools: openvino_ir.Toolchains
    ) -> None:
        self._task, self._rounding, self._tools = task, rounding, tools
        tuned = model == EXPORT and "merge" in task.inputs
        self._source = task.inputs["merge" if tuned else "base"] / MODEL
        self._config = json.loads((self._source / "config.json").read_text(encoding="utf-8"))
        exported = json.loads((task.inputs[model] / MODEL / CONFIG).read_text(encoding="utf-8"))
        ends = exported["model"]["eos_token_id"]
        self._ends = ends if isinstance(ends, list) else [ends]
        self._tokenizer = causal_lm.load_tokenizer(self._source)
        self._made: dict[str, FormatFigures] = {}

    def make(self, group: str | int) -> FormatFigures:
        """Return the figures of the first group size that divides the model's widths and passes.
        Raises CheckFailed with what was wrong with each."""
        named = {"auto": openvino_ir.GROUPS, "channel": (openvino_ir.CHANNEL,)}
        groups = named[group] if isinstance(group, str) else (group,)
        tried: list[RefusedFormat] = []
        for size in groups:
            figures = self._try(size, self._rounding)
            if refused := figures["refused"]:
                tried.append({"folder": figures["folder"], "refused": refused})
            else:
                figures = self._opening_as_static(size, group, figures, tried)
                return {**figures, "tried": tried}
        lines = "\n".join(f"  {one['folder']}: {one['refused']}" for one in tried)
        raise CheckFailed(
            f"no group size of the OpenVINO export passes the gates of `export`:\n{lines}"
        )

    def _opening_as_static(
        self, size: int, group: str | int, figures: FormatFigures, tried: list[RefusedFormat]
    ) -> FormatFigures:
        """Return the figures of the format whose layers are all in int4 where an NPU is to run it and
        only that one opens as an NPU's static pipeline, which folds layers that are alike; else
        `figures`. What did not open is added to `tried`."""
        if not self._rounding.mixed:
            return figures
        shapes = _static_shapes(self._task.recipe, group)
        if not (why := self._static_failure(figures["folder"], shapes)):
            return figures
        plain = self._try(size, replace(self._rounding, mixed=False))
        if plain["refused"] or self._static_failure(plain["folder"], shapes):
            return figures
        self._task.note(f"{figures['folder']}: {why}")
        tried.append({"folder": figures["folder"], "refused": why})
        return plain

    def _static_failure(self, name: str, shapes: Iterable[tuple[int, int]]) -> str:
        folder = self._task.out / VARIANTS / name
        failures = (
            openvino_ir.static_failure(folder, prompt, answer, tools=self._tools)
            for prompt, answer in shapes
        )
        return next(filter(None, failures), "")

    def _try(self, size: int, rounding: Rounding) -> FormatFigures:
        name = rounding.name(size)
        if name not in self._made:
            if openvino_ir.divides(size, self._config):
                self._task.note(f"exporting {name}")
                figures = self._build(size, name, rounding)
                self._made[name] = {"folder": name, "rounded": asdict(rounding), **figures}
            else:
                why = f"{size} does not divide the model's widths"
                self._made[name] = {"folder": name, "refused": why}
        return self._made[name]

    def _build(self, size: int, name: str, rounding: Rounding) -> FormatFigures:
        """Build one format, and keep it if it passes."""
        task, folder = self._task, self._task.out / VARIANTS / name
        folder.parent.mkdir(exist_ok=True)
        try:
            openvino_ir.build_ir(
                self._rounded(size, rounding),
                folder,
                group=size,
                mixed=rounding.mixed,
                ends=self._ends,
                tools=self._tools,
            )
            figures = self._figures(size, folder)
        except StageError as error:
            figures = {"refused": str(error)}
        finally:
            shutil.rmtree(task.out / _ROUNDED, ignore_errors=True)
        if figures["refused"]:
            shutil.rmtree(folder, ignore_errors=True)
        task.note(f"{name}: {figures['refused'] or 'passes'}")
        return figures

    def _rounded(self, size: int, rounding: Rounding) -> Path:
        """Return the folder of the model that is exported: the model itself, or a copy that is
        rounded on the training prompts. Raises StageError where it cannot be rounded."""
        if not rounding.calibrated:
            return self._source
        folder = self._task.out / _ROUNDED
        write_rounded(
            self._source,
            folder,
            rounding.candidate(size, self._config),
            self._calibration_texts,
            half_scales=True,
            on_progress=self._task.progress,
        )
        return folder

    @cached_property
    def _calibration_texts(self) -> list[list[int]]:
        """Training prompts with their answers, in tokens: the same for every group size."""
        samples = calibration_samples(
            self._task,
            read_chat(self._task.inputs["base"]),
            self._tokenizer,
            tokens=CALIBRATION_TOKENS,
            context=self._task.recipe.export.max_context,
        )
        return [sample.prompt + sample.answer for sample in samples]

    def _figures(self, size: int, folder: Path) -> FormatFigures:
        """Measure one format. Raises StageError for a tokenizer that is not the model's."""
        task, reference = self._task, self._reference()
        rounded = openvino_ir.rounded_as(size, self._config)
        limits = agreement_limits(task.recipe.export, cost_of_rounding(reference, rounded))
        texts = [text for pair in domain_texts(task.recipe) for text in pair if text]
        probed = openvino_ir.probe_ir(folder, reference, texts, tools=self._tools)
        measured = cast("FormatFigures", {k: v for k, v in probed.items() if k != "tokens"})
        for text, ids in zip(texts, probed["tokens"], strict=True):
            if ids != encode(self._tokenizer, text):
                raise StageError(f"its tokenizer differs from the model's on {text[:80]!r}")
        size_mb = round(sum(path.stat().st_size for path in folder.iterdir()) / 1e6, 1)
        figures: FormatFigures = {
            **measured,
            **limits,
            "size_mb": size_mb,
            "texts_compared": len(texts),
        }
        return {**figures, "refused": self._refusal(figures)}

    def _refusal(self, figures: FormatFigures) -> str:
        """Return why a format does not pass the gates of `export`; empty where it does."""
        if figures["kl"] is None:
            return "its logits are not numbers"
        ratio, limit = figures["perplexity_ratio"], self._task.recipe.export.max_perplexity_ratio
        if not ratio <= limit:
            return f"perplexity {ratio:.2f} times torch's, export.max_perplexity_ratio is {limit}"
        return choose.disagreement(figures) or ""

    def _reference(self) -> Path:
        """Write, once, what the model in full precision says of held-out texts, and what each group
        size costs in torch; return the folder."""
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


def _record(task: Task, section: TargetSection, formats: Mapping[str, FormatFigures]) -> Target:
    """Return the target as the recipe wants it, before anything ran."""
    if section.name not in OPENVINO:
        return Target(section.name, "genai", section.name, MODEL, "config")
    folder = f"{VARIANTS}/{formats[str(section.group)]['folder']}"
    device = section.name.removeprefix("openvino-").upper()
    target = Target(section.name, "openvino", device, folder, "config")
    if not section.is_static:
        return target
    prompt, answer = _static_shape(task.recipe, section)
    return replace(target, prompt_limit=prompt, total_limit=prompt + answer)


def _static_shapes(recipe: Recipe, group: str | int) -> list[tuple[int, int]]:
    """Return the shapes of the static targets that share the format of this `group`."""
    targets = (one for one in recipe.targets if one.is_static and one.group == group)
    return [_static_shape(recipe, one) for one in targets]


def _static_shape(recipe: Recipe, section: TargetSection) -> tuple[int, int]:
    """Return how many tokens of a prompt, and of an answer, a static target is compiled for."""
    prompt = _rounded_up(section.max_prompt or _PROMPT)
    return prompt, _rounded_up(section.max_answer or recipe.answer.max_answer_tokens)


def _rounded_up(tokens: int) -> int:
    return -(-tokens // _STATIC_STEP) * _STATIC_STEP


def _stage(task: Task, arm: str, model: str, records: Sequence[Target]) -> Path:
    """Lay out the bundle as it will ship, its targets not yet measured; return its folder."""
    folder = task.out / _STAGED
    assemble(
        folder,
        task.recipe,
        task.inputs,
        model=model,
        knowledge=retrieves(arm),
        provenance={},
        place=place_link,
    )
    if (task.out / VARIANTS).is_dir():
        shutil.copytree(task.out / VARIANTS, folder / VARIANTS, copy_function=place_link)
    manifest = read_manifest(folder)
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
        questions = question_split.sampled_part(task.recipe, every, evaluate.sample)
    question = target_trial.question_of(staged, target.name, questions)
    try:
        trial: target_trial.Trial = openvino_ir.ask_in_openvino(
            tools, Path(target_trial.__file__), question
        )
    except StageError as error:
        task.warn(f"{target.name}: {error}; the bundle says that it was not run")
        return replace(target, note=f"not run: {error}")
    figures = trial["figures"]
    if figures.get("golden_right", 0) < figures.get("golden", 0):
        task.warn(
            f"{target.name}: {figures['golden_right']:.0f} of {figures['golden']:.0f} golden "
            "questions came out as on the CPU: a device takes it by name alone, `--target auto` "
            "passes it over"
        )
    ran = trial["proof"] != "config"
    return replace(
        target,
        proof=trial["proof"],
        note=trial["note"],
        packages=trial["packages"],
        figures=trial["figures"],
        answers=tuple(trial["answers"]),
        machine=_machine() if ran else "",
    )


def _machine() -> str:
    """Return the processor's name and how many of its cores this process may use."""
    name = "an unnamed processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":")[1].strip() for line in lines if "model name" in line), name)
    return f"{name}, {available_cores()} cores"


def _write(task: Task, targets: Sequence[Target], formats: Sequence[FormatFigures]) -> None:
    data = {"targets": targets_to_json(targets), "formats": list(formats)}
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    (task.out / TARGETS).write_text(text, encoding="utf-8")
