"""The table of stages, and the loop that runs them: in order, each only if its key has no finished folder.
Knows what each stage depends on; knows nothing of how it does its work."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fieldpack import prompt as runtime_prompt

from . import sources, toolchains
from .arms import has_model
from .errors import BuildError, DataError, ProcessKilled, RecipeError
from .recipe import ModelSource, Recipe
from .store import Receipt, Store, files_of, fingerprint
from .worker import run_stage

_MODEL_TOOLS = ("torch", "transformers")


def _always(recipe: Recipe) -> bool:
    return True


def _with_knowledge(recipe: Recipe) -> bool:
    return recipe.knowledge is not None


def _reranker(recipe: Recipe) -> ModelSource | None:
    return recipe.knowledge.retrieval.reranker if recipe.knowledge else None


def _with_reranker(recipe: Recipe) -> bool:
    return _reranker(recipe) is not None


def _licences(recipe: Recipe) -> list[str | None]:
    models = [recipe.base, recipe.knowledge.embedder if recipe.knowledge else None, _reranker(recipe)]
    return [model.license if model else None for model in models]


def _tuned(recipe: Recipe) -> bool:
    return recipe.tuned and has_model(recipe)


def _with_baseline(recipe: Recipe) -> bool:
    """The untuned model is exported too when the report shall compare with it."""
    asked = {*recipe.evaluate.arms, recipe.evaluate.ship} if recipe.evaluate else set()
    return _tuned(recipe) and any(recipe.has_arm(arm) for arm in {"base", "rag"} & asked)


def _with_questions(recipe: Recipe) -> bool:
    return recipe.evaluate is not None


@dataclass(frozen=True)
class Stage:
    """`code`: raise it when the stage's work changes; it is part of the key (a hash of the source would make every
    comment retrain a model). `needs`: stages whose keys are part of this one's; one that is not active is left out.
    `sees`: stages it may read that do not make it run again. `settings`: what of the recipe shapes the result.
    `updates`: what of a key's parts an earlier folder of this stage must share to be brought up to date; None where a stage
    always begins with nothing. `after_kill`: given the folder of a stage whose process was killed, gets it ready for
    another try and says how; None where there is none. Memory that runs out ends a process on Linux, it raises nothing."""

    name: str
    code: int
    does: str
    settings: Callable[[Recipe], object]
    needs: tuple[str, ...] = ()
    sees: Callable[[Recipe], tuple[str, ...]] = lambda recipe: ()
    files: Callable[[Recipe], Sequence[Path]] = lambda recipe: ()
    tools: tuple[str, ...] = ()
    active: Callable[[Recipe], bool] = _always
    resumes: bool = False
    updates: Callable[[Mapping[str, Any]], object] | None = None
    after_kill: Callable[[Path], str | None] = lambda folder: None
    locks: tuple[str, ...] = ()

    @property
    def function(self) -> str:
        return f"fieldpack_build.stages.{self.name}:run"


def _section(*names: str) -> Callable[[Recipe], object]:
    return lambda recipe: {name: _dump(getattr(recipe, name)) for name in names}


def _dump(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else value


def _prompt_settings(recipe: Recipe) -> dict[str, object]:
    """What a training prompt is made of: a change of one of these changes what the model learned."""
    answer = recipe.answer
    return {"system": answer.system, "refusal": answer.refusal, "version": runtime_prompt.CODE_VERSION}


def _drops_leaks(recipe: Recipe) -> bool:
    """Then the test questions say what is trained on; else they only say whether."""
    return recipe.train.on_leak == "drop" and recipe.evaluate is not None


def _train_files(recipe: Recipe) -> Sequence[Path]:
    asked = [recipe.path(recipe.evaluate.questions)] if recipe.evaluate and _drops_leaks(recipe) else []
    return [*recipe.train_files, *asked]


def _synthesizing(recipe: Recipe) -> bool:
    return _tuned(recipe) and recipe.train.synthesize is not None


def _synthesize_settings(recipe: Recipe) -> object:
    """Who writes and what is asked for; not how many requests run at once. Test questions are read and are no part of the key:
    a new one must not pay for all rows again (where it leaks, the check before a build says so)."""
    if recipe.train.synthesize is None:
        return None
    shaped = recipe.train.synthesize.model_dump(exclude={"key_env", "workers", "timeout"})
    answer = {"words": recipe.answer.max_answer_tokens, "passages": recipe.answer.passages}
    return {**shaped, **answer, "rehearsal": recipe.rehearsal}


def _writer(recipe: Recipe) -> ModelSource | None:
    return recipe.train.synthesize.source if recipe.train.synthesize else None


def _train_settings(recipe: Recipe) -> object:
    # Where to run is not what to learn, nor how an update's rows are split; checkpoints are a matter of when.
    aside = {"device", "allow_cpu", "checkpoint_steps", "data", "follow_documents", "launch", "track", "synthesize"}
    aside |= {"effective_batch", "batch_size", "gradient_accumulation", "gradient_checkpointing"}
    if not _drops_leaks(recipe):
        aside.add("on_leak")
    return {
        "train": recipe.train.model_dump(exclude=aside), "rows": recipe.train.rows_an_update,
        "prompt": _prompt_settings(recipe), "passages": recipe.train_passages, "rehearsal": recipe.rehearsal,
        "order": recipe.train.data if len(recipe.train.data) > 1 else None,
    }  # fmt: skip


def _document_files(recipe: Recipe) -> Sequence[Path]:
    from .library.files import survey_of

    assert recipe.knowledge
    return survey_of(recipe, recipe.knowledge).paths


def _knowledge_settings(recipe: Recipe) -> object:
    knowledge = recipe.knowledge
    if knowledge is None:
        return None
    # Where and by how many a text is embedded makes no other vectors; how they are searched, the runtime decides.
    shaped_by = ("chunk", "on_error", "tags", "ocr", "vectors")
    return {**{name: _dump(getattr(knowledge, name)) for name in shaped_by}, "rehearsal": recipe.rehearsal}


def _retrieval(recipe: Recipe) -> object:
    return _dump(recipe.knowledge.retrieval) if recipe.knowledge else None


def _same_library(parts: Mapping[str, Any]) -> object:
    """A library of other documents, made the same way: tags and what a broken document means may differ."""
    settings = {name: value for name, value in parts["settings"].items() if name not in ("tags", "on_error")}
    return {**parts, "settings": settings, "sources": None}


def _embedder_settings(recipe: Recipe) -> object:
    """Under `precision: auto` documents and questions are read and are no part of the key: one that changes overnight
    must not change the embedder, which would embed the whole library again."""
    if recipe.knowledge is None:
        return None
    wanted = recipe.knowledge.embedder
    shaped = {"precision": wanted.precision, "query_prefix": wanted.query_prefix, "passage_prefix": wanted.passage_prefix}
    asked = recipe.evaluate.questions if recipe.evaluate and wanted.precision == "auto" else None
    return {"source": sources.identify(wanted), **shaped, "questions": asked}


def _calibrate_settings(recipe: Recipe) -> object:
    share = recipe.evaluate.calibration if recipe.evaluate else None
    wanted = {"passages": recipe.answer.passages, "max_wrong": recipe.answer.max_wrong_refusals, "from": share}
    rows = [recipe.train.format, recipe.train.turns] if share == "train" else None
    return {**wanted, "rows": rows, "retrieval": _retrieval(recipe), "rehearsal": recipe.rehearsal}


def _quoting_settings(recipe: Recipe) -> object:
    answer = recipe.answer
    return {"passages": answer.passages, "max_wrong": answer.max_wrong_refusals, "refuse_below": answer.refuse_below,
            "rows": [recipe.train.format, recipe.train.turns], "retrieval": _retrieval(recipe),
            "rehearsal": recipe.rehearsal}  # fmt: skip


def _calibrate_files(recipe: Recipe) -> Sequence[Path]:
    if recipe.evaluate is None:
        return ()
    return recipe.train_files if recipe.evaluate.calibration == "train" else [recipe.path(recipe.evaluate.questions)]


def _halve(folder: Path) -> str | None:
    from .training.split import lower

    lowered = lower(folder)
    return f"{lowered.told}, from the last checkpoint" if lowered else None


def _attribute_settings(recipe: Recipe) -> object:
    asked = recipe.evaluate.attribution if recipe.evaluate else None
    return {"attribution": _dump(asked), "answer": _dump(recipe.answer), "rehearsal": recipe.rehearsal,
            "calibration": recipe.evaluate.calibration if recipe.evaluate else None, "retrieval": _retrieval(recipe),
            "prompt": runtime_prompt.CODE_VERSION, "context": recipe.export.max_context}  # fmt: skip


_EXPORTED_BY = (*_MODEL_TOOLS, "onnx", "onnx_ir", "onnxruntime", "onnxruntime-genai")


def _export_settings(recipe: Recipe) -> object:
    """Questions and documents are read to measure with and are no part of the key: one that changes overnight must not
    make another model. Under `precision: auto` the candidates decide how, else algorithm and block do."""
    auto = {"candidates", "max_degradation"}
    aside = {"algorithm", "block_size"} if recipe.export.precision == "auto" else auto
    asked = recipe.evaluate.questions if recipe.evaluate and recipe.export.precision == "auto" else None
    return {"export": recipe.export.model_dump(exclude=aside), "questions": asked}


def _measured_with(recipe: Recipe) -> tuple[str, ...]:
    return ("embedder", "reranker", "knowledge")


def _needs(stage: Stage, recipe: Recipe) -> tuple[str, ...]:
    """What a stage is made of can hang on the recipe: training on documents that it follows, and a baseline that is
    exported as the tuned model came to be."""
    if stage.name in ("synthesize", "train") and recipe.train.follow_documents:
        return (*stage.needs, "knowledge", "embedder")
    if stage.name == "baseline" and recipe.export.precision == "auto":
        return (*stage.needs, "export")
    return stage.needs


STAGES: tuple[Stage, ...] = (
    Stage(
        "base", 1, "resolve the base model, convert it to full precision, read its chat template",
        settings=lambda r: {"source": sources.identify(r.base), "rehearsal": r.rehearsal},
        files=lambda r: sources.local_files(r.base, r), tools=(*_MODEL_TOOLS, "gguf"), active=has_model,
    ),
    Stage(
        "embedder", 2, "export the embedding model to ONNX, compare it with torch, choose its precision",
        settings=_embedder_settings,
        files=lambda r: sources.local_files(r.knowledge.embedder, r) if r.knowledge else (),
        tools=(*_MODEL_TOOLS, "sentence-transformers", "onnx", "onnxscript", "onnxruntime"), active=_with_knowledge,
    ),
    Stage(
        "reranker", 1, "export the cross-encoder to ONNX and compare it with torch",
        settings=lambda r: sources.identify(found) if (found := _reranker(r)) else None,
        files=lambda r: sources.local_files(found, r) if (found := _reranker(r)) else (),
        tools=("torch", "onnx", "onnxruntime"), active=_with_reranker, locks=("optimum",),
    ),
    Stage(
        "knowledge", 2, "read, chunk, embed and index the documents",
        settings=_knowledge_settings, needs=("embedder",), files=_document_files, active=_with_knowledge, resumes=True,
        updates=_same_library,
        tools=("onnxruntime", "usearch", "tokenizers", "pypdfium2", "python-docx", "python-pptx", "openpyxl",
               "beautifulsoup4", "markdown-it-py", "charset-normalizer"),
    ),
    Stage(
        "calibrate", 1, "learn from which similarity on a question is refused",
        settings=_calibrate_settings, needs=("embedder", "reranker", "knowledge"), files=_calibrate_files,
        tools=("onnxruntime", "usearch"), active=lambda r: r.calibrated and r.evaluate is not None,
    ),
    Stage(
        "quoting", 1, "fit on the training rows how passages are quoted",
        settings=_quoting_settings, needs=("embedder", "reranker", "knowledge", "calibrate"), files=lambda r: r.train_files,
        tools=("onnxruntime", "usearch"), active=lambda r: r.knowledge is not None and bool(r.train.data),
    ),
    Stage(
        "synthesize", 1, "write training rows from the documents, sift them",
        settings=_synthesize_settings, sees=lambda r: ("embedder", "reranker", "knowledge"),
        files=lambda r: sources.local_files(found, r) if (found := _writer(r)) else (),
        tools=_MODEL_TOOLS, active=_synthesizing, resumes=True,
        updates=lambda parts: "replies",  # each is kept under all that shaped it
    ),
    Stage(
        "train", 3, "tune an adapter on the recipe's examples",
        settings=_train_settings, needs=("base", "synthesize"),
        sees=lambda r: ("embedder", "reranker", "knowledge") if r.train_passages else (),
        files=_train_files,
        tools=(*_MODEL_TOOLS, "peft", "bitsandbytes"), active=_tuned, resumes=True, after_kill=_halve,
    ),
    Stage(
        "merge", 3, "merge the adapter into the base, in float32",
        settings=lambda r: None, needs=("base", "train"), tools=(*_MODEL_TOOLS, "peft"), active=_tuned,
    ),
    Stage(
        "export", 3, "export to quantized ONNX, open it, compare it with torch",
        settings=_export_settings, needs=("base", "merge"), sees=_measured_with, tools=_EXPORTED_BY, active=has_model,
        resumes=True,
    ),
    Stage(
        "baseline", 3, "export the untuned base the same way, to compare with",
        settings=_export_settings, needs=("base",), sees=_measured_with, tools=_EXPORTED_BY, active=_with_baseline,
        resumes=True,
    ),
    Stage(
        "attribute", 1, "ask the same questions of every stage's model: where quality was won and lost",
        settings=_attribute_settings,
        needs=("base", "embedder", "reranker", "knowledge", "calibrate", "train", "merge", "export"),
        files=lambda r: [r.path(r.evaluate.questions)] if r.evaluate else [],
        tools=(*_MODEL_TOOLS, "peft", "onnx", "onnx_ir", "onnxruntime", "onnxruntime-genai", "usearch"),
        active=lambda r: r.evaluate is not None and r.evaluate.attribution is not None and has_model(r), resumes=True,
    ),
    Stage(
        "evaluate", 4, "ask the test questions on the staged bundle, check the gates, choose what ships",
        settings=lambda r: {"evaluate": _dump(r.evaluate), "answer": _dump(r.answer), "rehearsal": r.rehearsal,
                            "retrieval": _retrieval(r), "prompt": runtime_prompt.CODE_VERSION,
                            "context": r.export.max_context},
        needs=("base", "embedder", "reranker", "knowledge", "calibrate", "quoting", "train", "export", "baseline",
               "attribute"),
        files=lambda r: [r.path(r.evaluate.questions)] if r.evaluate else [],
        tools=("onnxruntime", "onnxruntime-genai", "usearch"), active=_with_questions,
    ),
    Stage(
        "package", 3, "seal what ships into a bundle",
        settings=lambda r: {"name": r.name, "version": r.version, "bundle": _dump(r.bundle), "answer": _dump(r.answer),
                            "licences": _licences(r), "retrieval": _retrieval(r),
                            "prompt": runtime_prompt.CODE_VERSION, "context": r.export.max_context},
        needs=("base", "embedder", "reranker", "knowledge", "calibrate", "quoting", "train", "merge", "export", "baseline",
               "evaluate"),
    ),
)  # fmt: skip
NAMES = tuple(stage.name for stage in STAGES)


@dataclass(frozen=True)
class Step:
    """One stage of one build: its key, what went into the key, and the receipt if it is done already."""

    stage: Stage
    key: str
    parts: Mapping[str, Any]
    receipt: Receipt | None
    sees: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.stage.name


@dataclass(frozen=True)
class Plan:
    recipe: Recipe
    store: Store
    steps: tuple[Step, ...] = field(default_factory=tuple)

    def step(self, name: str) -> Step | None:
        return next((step for step in self.steps if step.name == name), None)

    def folder(self, name: str) -> Path | None:
        step = self.step(name)
        return self.store.folder(name, step.key) if step else None


def needed_for(*names: str) -> tuple[str, ...]:
    """These stages, as far as there are such, and all that they build on, in order."""
    wanted = set(names)
    for stage in reversed(STAGES):
        if stage.name in wanted:
            wanted |= set(stage.needs)
    return tuple(name for name in NAMES if name in wanted)


def make_plan(recipe: Recipe, store: Store, *, redo: Iterable[str] = (), among: Iterable[str] = NAMES) -> Plan:
    """Keys of all active stages of `among`, from the recipe and the sources alone: nothing is run, nothing heavy
    imported. What a stage of `among` needs must be in it too (`needed_for`)."""
    redo, among = set(redo), set(among)
    steps: dict[str, Step] = {}
    for stage in STAGES:
        if stage.name not in among or not stage.active(recipe):
            continue
        needs = _needs(stage, recipe)
        parts = {
            "code": stage.code,
            "settings": stage.settings(recipe),
            "inputs": {name: steps[name].key for name in needs if name in steps},
            "sources": _hash_sources(stage, recipe, store),
            "tools": {tool: importlib.metadata.version(tool) for tool in stage.tools},
            "locks": {name: toolchains.lock_hash(name) for name in stage.locks},
        }
        key = fingerprint({"stage": stage.name, **parts})
        receipt = None if stage.name in redo else store.find(stage.name, key)
        sees = tuple(name for name in stage.sees(recipe) if name in steps)
        steps[stage.name] = Step(stage, key, parts, receipt, sees)
    return Plan(recipe, store, tuple(steps.values()))


def _hash_sources(stage: Stage, recipe: Recipe, store: Store) -> dict[str, str]:
    try:
        return _relative(store.hash_files(stage.files(recipe)), recipe)
    except OSError as error:
        what = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise DataError(f"{error.filename}: {what}; stage {stage.name} reads it") from None


def _relative(hashes: Mapping[str, str], recipe: Recipe) -> dict[str, str]:
    """Paths relative to the recipe, so that a checkout elsewhere has the same keys."""
    found = {}
    for name, digest in hashes.items():
        path = Path(name)
        found[path.relative_to(recipe.folder).as_posix() if path.is_relative_to(recipe.folder) else name] = digest
    return found


class Listener:
    """What the pipeline says while it works; the console and tests override what they want to hear."""

    def skipped(self, step: Step) -> None: ...
    def started(self, step: Step, number: int, total: int) -> None: ...
    def event(self, step: Step, event: dict[str, Any]) -> None: ...
    def finished(self, step: Step, receipt: Receipt) -> None: ...
    def failed(self, step: Step) -> None: ...


def run_plan(plan: Plan, listener: Listener, *, only: Iterable[str] | None = None) -> list[str]:
    """Run what is not done; gives the names of the stages that ran. Only success is kept."""
    wanted = set(only) if only is not None else set(NAMES)
    ran: list[str] = []
    todo = [step for step in plan.steps if step.receipt is None and step.name in wanted]
    for step in plan.steps:
        if step.receipt is not None or step.name not in wanted:
            listener.skipped(step)
            continue
        _require_inputs(plan, step)
        listener.started(step, len(ran) + 1, len(todo))
        try:
            receipt = _run_step(plan, step, partial(listener.event, step))
        except BaseException as error:
            listener.failed(step)
            if isinstance(error, BuildError) and error.exit_code == 8:
                raise type(error)(f"stage {step.name}: {error}") from error
            raise
        listener.finished(step, receipt)
        ran.append(step.name)
    return ran


def run_aside(
    name: str, does: str, function: str, plan: Plan, listener: Listener, *, reads: Iterable[str]
) -> dict[str, Any]:
    """Work on the finished stages of a plan whose result is shown and not kept. Its process, its progress and its log are
    those of a stage."""
    key = fingerprint([name, plan.recipe.name])
    step = Step(Stage(name, 1, does, settings=lambda recipe: None), key, {}, None, ())
    work = plan.store.begin(name, key, keep=False)
    wanted = set(reads)
    inputs = {other.name: plan.store.folder(other.name, other.key) for other in plan.steps if other.name in wanted}
    listener.started(step, 1, 1)
    try:
        done = run_stage(function, plan.recipe, inputs, {}, work, plan.store, partial(listener.event, step))
    finally:
        listener.failed(step)  # takes the bar away; there is no receipt to show
    plan.store.discard(name, key)
    result: dict[str, Any] = done["result"]
    return result


def _run_step(plan: Plan, step: Step, listen: Callable[[dict[str, Any]], None]) -> Receipt:
    inputs = {name: plan.store.folder(name, plan.step(name).key) for name in _read_by(plan, step)}  # type: ignore[union-attr]
    keys = {name: plan.step(name).key for name in inputs}  # type: ignore[union-attr]
    work = plan.store.begin(step.name, step.key, keep=step.stage.resumes)
    started = time.perf_counter()
    earlier, kin = _earlier(plan, step)
    warnings: list[str] = []
    while True:
        try:
            done = run_stage(step.stage.function, plan.recipe, inputs, keys, work, plan.store, listen, earlier, kin)
            break
        except ProcessKilled:
            if not (again := step.stage.after_kill(work)):
                raise
            warnings.append(f"its process was killed, as happens where memory runs out: {again}")
            listen({"event": "warning", "text": warnings[-1]})
    receipt = Receipt(
        stage=step.name, recipe=plan.recipe.name, key=step.key, parts=step.parts,
        seen={name: keys[name] for name in step.sees if name in keys},
        files=files_of(work), seconds=round(time.perf_counter() - started, 2), peak_rss_mb=done["peak_rss_mb"],
        result=done["result"], warnings=(*warnings, *done["warnings"]),
    )  # fmt: skip
    plan.store.commit(work, receipt)
    return receipt


def _earlier(plan: Plan, step: Step) -> tuple[Path | None, str]:
    """The newest folder of this stage and recipe that differs in what may differ, finished or interrupted, and what they
    share. None when the very stage is there already: it is asked for again, all of it."""
    updates = step.stage.updates
    if updates is None:
        return None, ""
    alike = updates(step.parts)
    kin = fingerprint([plan.recipe.name, alike])
    if plan.store.find(step.name, step.key):
        return None, kin
    from .library.journal import interrupted

    finished = plan.store.newest(step.name, lambda r: r.recipe == plan.recipe.name and updates(r.parts) == alike)
    found = [folder for folder in (finished, interrupted(plan.store.root / "stages" / step.name, kin)) if folder]
    return max(found, key=lambda folder: max(path.stat().st_mtime_ns for path in folder.iterdir()), default=None), kin


def _read_by(plan: Plan, step: Step) -> list[str]:
    named = {*step.parts["inputs"], *step.sees}
    return [other.name for other in plan.steps if other.name in named]


def _require_inputs(plan: Plan, step: Step) -> None:
    """With `--only` a stage may be asked for whose inputs were never made."""
    for name in _read_by(plan, step):
        other = plan.step(name)
        if other and plan.store.find(name, other.key) is None:
            raise RecipeError(f"--only {step.name}: it needs `{name}`, which is not built yet; leave --only away")
