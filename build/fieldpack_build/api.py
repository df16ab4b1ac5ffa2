"""A whole build: recipe -> plan -> stages -> bundle where the user wants it. What `build recipe`
and tests call."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from fieldpack.figures import megabytes

from .bundle.deliver import check_target, deliver, is_delivered, replaced_contents
from .check import check_knowledge, check_recipe, check_sources
from .console import duration, make_console, say
from .data import TestQuestion, read_questions
from .documents import Document
from .errors import RecipeError
from .estimate import check_machine
from .evaluation import library_questions
from .evaluation.metrics import answers_nothing
from .evaluation.retrieval_metrics import RetrievalReport, Search, measure
from .ingest.journal import read_library_file
from .ingest.showing import read_one
from .pipeline.plan import Plan
from .pipeline.run import Listener, run_aside, run_plan
from .pipeline.store import RECEIPT, Receipt, Store, default_cache
from .recipe.load import find_recipe, load_recipe
from .recipe.rehearse import rehearse as rehearsal_of
from .recipe.runtime_settings import retrieval_settings
from .recipe.schema import Recipe
from .stages.results import evaluate_result, summary
from .stages.table import NAMES, make_plan, needed_for


class Outcome(TypedDict):
    """What a build came to: the stages that `ran`, the `keys` of all, `bundle` where one is
    there."""

    name: str
    version: str
    ran: list[str]
    keys: dict[str, str]
    seconds: float
    bundle: NotRequired[str]


class KnowledgeOutcome(TypedDict):
    """What a build of the knowledge came to. `library`: the content of library.json; `report`: how
    well test questions find their documents, None without questions."""

    name: str
    version: str
    ran: list[str]
    folder: str
    keys: dict[str, str]
    receipt: Receipt
    library: Mapping[str, Any]
    report: RetrievalReport | None
    seconds: float


# What a recipe for retrieval alone may leave away: nothing of it is read.
_NO_MODEL = {"base": {"model": "none"}, "answer": {"system": "Answer from the passages."}}


def build(
    name: str,
    *,
    output: Path | None = None,
    overrides: Sequence[str] = (),
    first: str | None = None,
    only: str | None = None,
    force: bool = False,
    rehearse: bool = False,
    cache: Path | None = None,
    listener: Listener | None = None,
) -> Outcome:
    """Build a recipe and deliver its bundle; gives what was made and what ran. `first`: run this
    stage and all behind it again; `only`: this one alone. Raises the tree of errors.py."""
    started = time.perf_counter()
    store = Store(cache or default_cache())
    recipe = load_recipe(find_recipe(name), overrides)
    if rehearse:
        recipe = rehearsal_of(recipe)
        output = output or store.rehearsals / f"{recipe.name}-{recipe.version}"
    target = output or Path("dist") / f"{recipe.name}-{recipe.version}"
    check_target(target, recipe.name)
    delivered: str | None = None
    with store.lock():
        plan = make_plan(recipe, store, redo=_redo(first, only, force))
        synthesized = finished(plan, "synthesize")
        check = partial(check_recipe, synthesized=synthesized, models=store.models)
        ran = _run(plan, name, listener, only, check=check)
        bundle = _bundle(plan)
        if bundle is not None and (only is None or only == "package"):
            moved = not is_delivered(bundle, target)
            replaced = replaced_contents(bundle, target) if moved and not rehearse else ""
            if moved:
                deliver(bundle, target)
            delivered = str(target)
            _report_end(plan, target, ran, moved, time.perf_counter() - started)
            if replaced:
                say(f"warning: {target} had {replaced}; raise `version` before you ship it")
    outcome: Outcome = {
        "name": recipe.name,
        "version": recipe.version,
        "ran": ran,
        "keys": {step.name: step.key for step in plan.steps},
        "seconds": round(time.perf_counter() - started, 2),
    }
    if delivered is not None:
        outcome["bundle"] = delivered
    return outcome


def build_knowledge(
    name: str,
    *,
    overrides: Sequence[str] = (),
    force: bool = False,
    cache: Path | None = None,
    questions: Path | None = None,
    page: Path | None = None,
    listener: Listener | None = None,
) -> KnowledgeOutcome:
    """Build the knowledge half of a recipe alone; a later `build recipe` finds these stages done.
    `questions`: a file to measure retrieval with; `page`: where to write the library's picture.
    Raises the tree of errors.py."""
    started = time.perf_counter()
    store = Store(cache or default_cache())
    recipe = load_recipe(find_recipe(name), overrides, lacking=_NO_MODEL)
    if recipe.knowledge is None:
        raise RecipeError(f"{name}: knowledge: missing; there is nothing to build here")
    rows = read_questions(questions, needed=("question",)) if questions else []
    with store.lock():
        half = needed_for("knowledge", "reranker")
        plan = make_plan(recipe, store, redo=("knowledge",) if force else (), among=half)
        ran = _run(plan, name, listener, None, check=check_knowledge)
    folders = {step.name: store.folder(step.name, step.key) for step in plan.steps}
    keys = {step.name: step.key for step in plan.steps}
    receipt = store.find("knowledge", keys["knowledge"])
    assert receipt
    library = read_library_file(folders["knowledge"])
    fitted, warnings = library_questions.fit(rows, library, str(questions))
    for warning in warnings:
        say(f"warning: {warning}")
    search = (
        library_questions.open_search(folders, retrieval_settings(recipe))
        if questions or page
        else None
    )
    if page is not None:
        _write_page(recipe, folders, fitted, search, page)
    return {
        "name": recipe.name,
        "version": recipe.version,
        "ran": ran,
        "folder": str(folders["knowledge"]),
        "keys": keys,
        "receipt": receipt,
        "library": library,
        "report": measure(search, fitted) if questions and search else None,
        "seconds": round(time.perf_counter() - started, 2),
    }


def show_document(name: str, file: str, *, overrides: Sequence[str] = ()) -> Document:
    """Read one document of a recipe as a build does; nothing is built. Raises DocumentError for one
    that is not there."""
    recipe = load_recipe(find_recipe(name), overrides, lacking=_NO_MODEL)
    if recipe.knowledge is None:
        raise RecipeError(f"{name}: knowledge: missing; there is nothing to read")
    return read_one(recipe, recipe.knowledge, file)


def inspect_data(
    name: str,
    *,
    overrides: Sequence[str] = (),
    passages: bool = True,
    cache: Path | None = None,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Look at a recipe's training rows; gives what `build data` shows. Builds what it takes to
    render them: the base model's tokenizer and, where a prompt has passages, the index; a later
    `build recipe` finds these stages done."""
    store = Store(cache or default_cache())
    recipe = load_recipe(find_recipe(name), overrides)
    written = recipe.tuned and recipe.train.synthesize is not None
    if not recipe.train.data and not written:
        raise RecipeError(f"{name}: train.data: missing; there are no rows to look at")
    passages = passages and recipe.train_passages > 0
    needed = ("synthesize", "knowledge", "reranker") if passages or written else ()
    listener = listener or make_console()
    with store.lock():
        plan = make_plan(recipe, store, among=needed_for("base", *needed))
        _run(plan, name, listener, None, check=partial(check_sources, models=store.models))
        looked_at = run_aside(
            "data",
            "look at the training rows",
            "fieldpack_build.data.inspect:run",
            plan,
            listener,
            reads=(
                "base",
                "synthesize",
                *(("embedder", "knowledge", "reranker") if passages else ()),
            ),
        )
    return {"name": recipe.name, "version": recipe.version, **looked_at}


def finished(plan: Plan, stage: str) -> Path | None:
    """Return the folder of a stage that was done before; None where it was not."""
    step = plan.step(stage)
    return plan.store.folder(stage, step.key) if step and step.receipt else None


def _write_page(
    recipe: Recipe,
    folders: Mapping[str, Path],
    questions: Sequence[TestQuestion],
    search: Search | None,
    page: Path,
) -> None:
    """The library's picture, with the questions drawn in."""
    from fieldpack.retrieval.embedder import Embedder

    from .report import render_library
    from .report.library import summarize_library

    embedder = Embedder.open(folders["embedder"])
    threshold = recipe.answer.refuse_below
    below = None if threshold == "auto" else threshold  # learned later, with the rest of the recipe
    summary = summarize_library(
        folders["knowledge"], embedder, questions, search=search, refuse_below=below
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        render_library(summary, title=f"{recipe.name} {recipe.version}: library"), encoding="utf-8"
    )
    say(f"wrote {page}")


def _redo(first: str | None, only: str | None, force: bool) -> Iterable[str]:
    for name in (first, only):
        if name is not None and name not in NAMES:
            raise RecipeError(f"no stage {name!r}; one of {', '.join(NAMES)}")
    if force:
        return NAMES
    if only:
        return [only]
    return NAMES[NAMES.index(first) :] if first else ()


def _run(
    plan: Plan,
    name: str,
    listener: Listener | None,
    only: str | None,
    *,
    check: Callable[[Recipe, str], list[str]] = check_recipe,
) -> list[str]:
    if only and plan.step(only) is None:
        raise RecipeError(f"stage {only} has nothing to do in this recipe")
    todo = [step.name for step in plan.steps if step.receipt is None and only in (None, step.name)]
    if not todo:
        return []
    for warning in check(
        plan.recipe, name
    ):  # a bad test question shows now, not after hours of training
        say(f"warning: {warning}")
    check_machine(plan)
    kind = "rehearsal of " if plan.recipe.rehearsal else ""
    say(
        f"{kind}{plan.recipe.name} {plan.recipe.version}: {len(todo)} of {len(plan.steps)} stages "
        "to run; "
        f"cache {plan.store.root}"
    )
    return run_plan(plan, listener or make_console(), only=[only] if only else None)


def _bundle(plan: Plan) -> Path | None:
    step = plan.step("package")
    if step is None or plan.store.find("package", step.key) is None:
        return None
    return plan.store.folder("package", step.key) / "bundle"


def _report_end(plan: Plan, target: Path, ran: Sequence[str], moved: bool, seconds: float) -> None:
    if not ran and not moved:
        say(
            f"{plan.recipe.name} {plan.recipe.version}: nothing to do, {target} is up to date "
            f"({seconds:.2f} s)"
        )
        return
    what = (
        f"{len(ran)} stage{'s' * (len(ran) > 1)} in {duration(seconds)}"
        if ran
        else "all stages were done before"
    )
    say(f"{target}: sealed; {what}")
    if (step := plan.step("evaluate")) and (receipt := plan.store.find("evaluate", step.key)):
        evaluated = evaluate_result(receipt.result)
        say(evaluated["ship"]["why"])
        say(f"measured ({evaluated['shipped']}): {summary('evaluate', receipt.result)}")
        if evaluated["guarantee"]:
            say(evaluated["guarantee"]["sentence"])
        if "risk" in evaluated:
            say(evaluated["risk"])
        say(f"report: {target / 'report' / 'report.html'}")
        if answers_nothing(evaluated["arms"][evaluated["shipped"]]) and not plan.recipe.rehearsal:
            say("warning: this bundle answers none of its test questions; do not ship it as it is")
    if plan.recipe.rehearsal:
        say("the rehearsal went through; its weights are random, so its answers mean nothing")
    else:
        say(f'ask it: fieldpack ask {target} "..."')


def clean_cache(
    name: str | None, *, everything: bool, dry_run: bool, cache: Path | None
) -> list[str]:
    """Remove half-done work; with a recipe also what it made and no longer uses; with `everything`
    the whole cache. Gives a line for each folder, or for each that would go."""
    store = Store(cache or default_cache())
    recipe: Recipe | None = load_recipe(find_recipe(name)) if name else None
    if not store.root.is_dir():
        return [f"{store.root}: nothing there"]
    with store.lock():
        doomed = _doomed(store, recipe, everything)
        freed = 0
        lines = []
        for path in doomed:
            size = sum(
                p.lstat().st_size for p in path.rglob("*") if p.is_file() and not p.is_symlink()
            )
            freed += size
            lines.append(
                f"{'would remove' if dry_run else 'removed'} {path.relative_to(store.root)} "
                f"({megabytes(size)})"
            )
            if not dry_run:
                shutil.rmtree(path)
    return [*lines, f"{megabytes(freed)} {'to free' if dry_run else 'freed'} in {store.root}"]


def _doomed(store: Store, recipe: Recipe | None, everything: bool) -> list[Path]:
    if everything:
        return [
            path
            for path in (
                store.root / "stages",
                store.models,
                store.toolchains,
                store.rehearsals,
                store.missed,
            )
            if path.is_dir()
        ]
    keep = set()
    if recipe is not None:
        for version in (recipe, rehearsal_of(recipe)):
            keep |= {store.folder(step.name, step.key) for step in make_plan(version, store).steps}
    # By what lies there, not by the stages' names: `build data` has a folder of its own, and an
    # older version's stages had other names.
    return [
        path
        for path in sorted((store.root / "stages").glob("*/*"))
        if path.name.endswith(".partial")
        or (recipe is not None and path not in keep and _maker(path) == recipe.name)
    ]


def _maker(path: Path) -> str | None:
    """The name of the recipe that made a finished stage, whole or damaged since."""
    try:
        name: str = json.loads((path / RECEIPT).read_text(encoding="utf-8"))["recipe"]
    except (OSError, ValueError, KeyError):
        return None
    return name
