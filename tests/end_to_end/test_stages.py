"""The real stages on a toy project: what each says of itself, what the bundle holds, what a change
makes run again."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import architectures
import fieldpack
from fieldpack.bundle.golden import read_golden
from fieldpack.bundle.manifest import read_manifest, verify
from fieldpack_build.errors import DocumentError, SourceError, StageError
from fieldpack_build.evaluation import network_trace
from fieldpack_build.export import FP32, build_onnx
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.stages import base
from fieldpack_build.stages.table import NAMES
from toys import DOCUMENTS, OPTIONAL, REFUSAL, Project, build_here, run, write_document

pytest_plugins = ["toys"]

SHIPPED_ARM = 'evaluate.arms=["tuned+rag"]'
Built = dict[str, Any]


# --- one whole build ------------------------------------------------------------------------------


def test_all_stages_run_and_prove_their_work(toy: Project, built: Built) -> None:
    active = [name for name in NAMES if name not in OPTIONAL]
    assert list(built["keys"]) == active
    assert built["ran"] == [
        name for name in active if name in built["ran"]
    ]  # another module may have built the embedder
    results = {name: toy.receipt(name, built).result for name in active}
    assert results["base"]["architecture"] == "LlamaForCausalLM"
    assert results["embedder"]["cosine_to_torch"] >= 0.999
    assert (results["embedder"]["dim"], results["embedder"]["pooling"]) == (64, "mean")
    assert (results["knowledge"]["documents"], results["knowledge"]["skipped"]) == (
        len(DOCUMENTS),
        0,
    )
    assert (results["train"]["steps"], results["train"]["examples"]) == (3, 12)
    assert results["train"]["last_loss"] < results["train"]["first_loss"]
    assert results["train"]["supervised_tokens"] < results["train"]["tokens"]
    assert results["train"]["drew_from"] == built["keys"]["knowledge"]
    assert results["merge"]["matrices_moved"] == 14  # two layers of seven linear matrices
    assert results["merge"]["logit_shift"] > 0.01 > results["merge"]["merge_gap"]
    assert results["export"]["perplexity_ratio"] < 1.5
    assert (results["export"]["skip_tokens"], results["export"]["texts_compared"]) == (0, 18)
    assert results["export"]["perplexity_onnx"] != results["baseline"]["perplexity_onnx"]


def test_a_receipt_says_what_was_read_and_what_it_cost(toy: Project, built: Built) -> None:
    receipt = toy.receipt("train", built)
    assert set(receipt.parts["sources"]) == {"train.jsonl"}
    assert receipt.seen == {name: built["keys"][name] for name in ("embedder", "knowledge")}
    assert receipt.seconds > 0 and receipt.peak_rss_mb > 100
    assert "adapter/adapter_model.safetensors" in receipt.files
    assert not [name for name in receipt.files if "checkpoint" in name]


def test_the_bundle_is_whole_and_names_its_origins(toy: Project, built: Built) -> None:
    bundle = Path(built["bundle"])
    manifest = read_manifest(bundle)
    verify(bundle, manifest)
    assert (manifest.name, manifest.version) == ("toy", "1.0.0")
    assert {entry.role for entry in manifest.files} == {
        "model",
        "embedder",
        "knowledge",
        "report",
        "settings",
    }
    assert manifest.limits == {
        "max_context": 768,
        "max_answer_tokens": 8,
        "max_question_chars": 4000,
    }
    provenance = manifest.provenance
    assert provenance["licences"] == {"base": "CC0-1.0", "bundle": "CC-BY-4.0", "embedder": "MIT"}
    assert {f"documents/{name}" for name in DOCUMENTS} == set(
        provenance["stages"]["knowledge"]["sources"]
    )
    assert "models/llama/model.safetensors" in provenance["stages"]["base"]["sources"]
    assert {name: stage["key"] for name, stage in provenance["stages"].items()} == {
        name: key for name, key in built["keys"].items() if name not in ("package", "baseline")
    }
    assert provenance["arm"] == "tuned+rag"
    assert str(toy.folder) not in json.dumps(provenance), (
        "paths of the build server do not belong into a bundle"
    )


def test_the_bundle_finds_and_answers(built: Built) -> None:
    with fieldpack.open(built["bundle"]) as expert:
        assert expert.search("the diaphone in fog", 1)[0].document == "fog.md"
        assert expert.search("vinegar", 1)[0].document == "lens.md"
        answer = expert.ask("How many litres of diesel does the generator burn a day?")
    assert isinstance(answer, fieldpack.Answer)
    assert answer.passages[0].document == "generator.md"
    assert 0 < answer.timings.tokens <= 8


def test_the_report_has_all_arms(toy: Project, built: Built) -> None:
    report = json.loads(
        (Path(built["bundle"]) / "report" / "report.json").read_text(encoding="utf-8")
    )
    assert list(report["arms"]) == ["quote", "base", "rag", "tuned", "tuned+rag"]
    assert report["shipped"] == "tuned+rag"
    assert report["retrieval"]["document"]["recall_at_5"] == 1.0
    assert report["ship"]["rule"] == "all" and report["choice"]["recommended"] == "quote"
    told = [
        w
        for w in toy.receipt("evaluate", built).warnings
        if w.startswith("tuned+rag ships (evaluate.ship: all")
    ]
    assert len(told) == 1 and "it trails quote by" in told[0], (
        "what is worse does not ship in silence"
    )
    assert [gate["passed"] for gate in report["gates"]] == [True, True]
    assert {len(row["arms"]) for row in report["questions"]} == {5}
    assert {row["arms"]["tuned"]["answer"] for row in report["questions"]} != {
        row["arms"]["base"]["answer"] for row in report["questions"]
    }
    assert "<html" in (Path(built["bundle"]) / "report" / "report.html").read_text(encoding="utf-8")


def test_the_report_and_the_build_s_last_lines_say_what_is_promised(
    toy: Project, built: Built, capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.loads(
        (Path(built["bundle"]) / "report" / "report.json").read_text(encoding="utf-8")
    )
    card = report["guarantee"]
    refused = sum(row["arms"]["tuned+rag"]["refused"] for row in report["questions"])
    assert (card["questions"], card["answered"]) == (6, 6 - refused)
    assert (card["sure"], card["arms"]) == (0.95, 1)  # the recipe ships all, whatever was measured
    assert (card["passages"]["questions"], card["passages"]["shown"]) == (5, 2)
    assert card["passages"]["needed"] is None  # five questions promise nothing of 95%
    toy.build(output="again")
    assert card["sentence"] in capsys.readouterr().err.splitlines()
    promise = card["sentence"].split(", with")[0].replace("Of 100", "of 100", 1)
    assert f"{promise}." in html.unescape(
        (Path(built["bundle"]) / "report" / "report.html").read_text(encoding="utf-8")
    )


def test_the_bundle_carries_questions_and_what_it_answered(built: Built) -> None:
    golden = read_golden(Path(built["bundle"]))
    assert 1 <= len(golden) <= 5
    with fieldpack.open(built["bundle"]) as expert:
        assert [one.differs(expert.ask(one.question)) for one in golden] == [None] * len(golden)


def test_the_report_carries_the_proof_that_the_bundle_is_silent(built: Built) -> None:
    seen = json.loads(
        (Path(built["bundle"]) / "report" / "report.json").read_text(encoding="utf-8")
    )["silence"]
    assert seen["tool"] == network_trace.find_strace()[0]
    if seen["tool"]:
        assert (
            seen["exit"],
            seen["network"],
            seen["looked_up"],
            seen["written"],
            seen["silent"],
        ) == (0, 0, 0, 0, True)
        assert seen["calls"] > 100


def test_tuning_that_brought_nothing_does_not_ship(toy: Project, built: Built) -> None:
    """The toy's weights are random, so three steps of tuning cannot win: the untuned model goes in,
    with the documents."""
    made = build_here(
        toy, "evaluate.ship=auto", 'evaluate.arms=["base", "rag", "tuned", "tuned+rag"]'
    )
    manifest = read_manifest(made.bundle)
    report = json.loads((made.bundle / "report" / "report.json").read_text(encoding="utf-8"))
    assert (
        report["shipped"] == made.results["package"]["arm"] == manifest.provenance["arm"] == "rag"
    )
    assert (
        "the tuned model" in report["ship"]["left_out"]
        and report["ship"]["why"] in made.results["evaluate"]["ship"]["why"]
    )
    assert report["ship"]["why"].startswith("rag ships (chosen by evaluate.ship: auto)")
    assert "rag ships" in (made.bundle / "report" / "report.html").read_text(encoding="utf-8")
    untuned = (
        toy.store.folder("baseline", manifest.provenance["stages"]["baseline"]["key"])
        / "model"
        / "model.onnx.data"
    )
    assert (made.bundle / "model" / "model.onnx.data").read_bytes() == untuned.read_bytes()
    assert not {"train", "merge", "export"} & set(manifest.provenance["stages"])
    golden = read_golden(made.bundle)
    with fieldpack.open(made.bundle) as expert:
        assert [one.differs(expert.ask(one.question)) for one in golden] == [None] * len(golden)


def test_where_a_passage_s_words_do_best_no_model_ships(toy: Project, built: Built) -> None:
    """Random weights answer nothing right, a quote most: the bundle is small, opens, says why, and
    answers as measured."""
    made = build_here(toy, "evaluate.ship=auto")
    manifest = read_manifest(made.bundle)
    report = json.loads((made.bundle / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["shipped"] == made.results["package"]["arm"] == "quote"
    assert report["arms"]["quote"]["f1"] > 0.5 > report["arms"]["tuned+rag"]["f1"]
    assert (
        report["arms"]["quote"]["citations_valid"] == 1
        and report["arms"]["quote"]["perplexity"] is None
    )
    assert {entry.role for entry in manifest.files} == {
        "embedder",
        "knowledge",
        "report",
        "settings",
    }
    assert not {"base", "train", "merge", "export", "baseline"} & set(manifest.provenance["stages"])
    assert report["ship"]["why"].startswith("quote ships (chosen by evaluate.ship: auto); it leads")
    assert "left out: the language model" in report["ship"]["why"]
    assert report["guarantee"]["arms"] == 5  # chosen among five by the same questions
    golden = read_golden(made.bundle)
    with fieldpack.open(made.bundle) as expert:
        assert golden and [one.differs(expert.ask(one.question)) for one in golden] == [None] * len(
            golden
        )


def test_a_recipe_that_only_quotes_builds_no_model(toy: Project, built: Built) -> None:
    made = build_here(toy, "evaluate.ship=quote", 'evaluate.arms=["quote"]')
    assert set(made.results) == {"embedder", "knowledge", "quoting", "evaluate", "package"}
    assert made.results["package"] == {**made.results["package"], "arm": "quote", "left_out": []}


@pytest.mark.parametrize("asked", [True, False])
def test_a_recipe_without_a_base_quotes(
    toy: Project, built: Built, tmp_path: Path, asked: bool
) -> None:
    written = yaml.safe_load(toy.recipe.read_text(encoding="utf-8"))
    mine = toy.copy(tmp_path)
    recipe = {key: written[key] for key in ("name", "version", "knowledge")}
    recipe |= {"answer": {"refusal": REFUSAL, "refuse_below": 0}}
    recipe |= {"evaluate": {"questions": "questions.jsonl"}} if asked else {}
    mine.recipe.write_text(json.dumps(recipe), encoding="utf-8")
    made = mine.build()
    assert not {"base", "train", "merge", "export", "baseline"} & set(made["keys"])
    assert read_manifest(Path(made["bundle"])).provenance["arm"] == "quote"
    with fieldpack.open(made["bundle"]) as expert:
        answer = expert.ask("How many litres of diesel does the generator burn a day?")
    assert answer.kind == "quote" and "diesel" in answer.text
    assert answer.citations[0].quote in answer.passages[0].text


def test_without_rows_refusals_are_held_against_made_up_questions_and_it_is_said(
    toy: Project, built: Built
) -> None:
    """The toy library has too few sentences for a threshold: none ships, and the report says so."""
    # A share of its own, so that the stage is not done before for the tests of what runs again.
    halves = ("train=none", "evaluate.ship=quote", 'evaluate.arms=["quote"]')
    made = build_here(toy, *halves, "answer.max_wrong_refusals=0.2")
    fit = made.results["quoting"]
    assert fit["made_up"] and 8 < fit["answerable"] == fit["rows"] / 2 < 30
    with fieldpack.open(made.bundle) as expert:
        assert expert.settings.quoting and expert.settings.quoting.refuse_below is None
    page = (made.bundle / "report" / "report.html").read_text(encoding="utf-8")
    assert "There were no training rows, and a quote is refused by its passage" in page
    off = build_here(toy, *halves, "answer.made_up_questions=false")
    assert "quoting" not in off.results


# --- what runs again ------------------------------------------------------------------------------


def test_a_second_build_runs_nothing_and_leaves_the_bundle_alone(
    toy: Project, built: Built
) -> None:
    stat = (Path(built["bundle"]) / "manifest.json").stat()
    again = toy.build()
    assert again["ran"] == [] and again["keys"] == built["keys"]
    assert (Path(built["bundle"]) / "manifest.json").stat() == stat


TAIL = ["evaluate", "package"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ('evaluate.gates=["f1 >= 0"]', TAIL),
        ("answer.passages=3", ["quoting", *TAIL]),
        ("answer.system=Answer.", ["train", "merge", "export", *TAIL]),
        ("train.learning_rate=0.02", ["train", "merge", "export", *TAIL]),
        ("train.follow_documents=true", ["train", "merge", "export", *TAIL]),
        ("train.checkpoint_steps=7", []),
        ("train.device=cpu", []),
        ("train=none", ["quoting", "export", *TAIL]),
        ("export.block_size=64", ["export", "baseline", *TAIL]),
        ("knowledge.chunk.tokens=48", ["knowledge", "quoting", *TAIL]),
        ("bundle.description=Another", ["package"]),
        ("version=1.0.1", ["package"]),
    ],
)
def test_a_change_runs_what_depends_on_it(
    toy: Project, built: Built, override: str, expected: list[str]
) -> None:
    assert toy.to_do(override) == expected


def test_a_changed_gate_evaluates_and_packs_and_no_more(toy: Project, built: Built) -> None:
    changed = toy.build('evaluate.gates=["mrr >= 0.5"]', output="other-gate")
    assert changed["ran"] == TAIL
    assert [path.name for path in sorted(toy.dist.iterdir()) if path.name.startswith(".")] == []


def test_a_new_document_trains_nothing_and_is_found(
    toy: Project, built: Built, tmp_path: Path
) -> None:
    mine = toy.copy(tmp_path)
    assert mine.to_do() == [], "the same files elsewhere are the same build"
    write_document(
        mine.folder / "documents" / "bell.md",
        "The bell",
        "The bronze bell of 1871 hangs in the porch.",
    )
    outcome = mine.build()
    assert outcome["ran"] == ["knowledge", "quoting", *TAIL]
    with fieldpack.open(outcome["bundle"]) as expert:
        assert expert.search("the bronze bell", 1)[0].document == "bell.md"


def test_a_missed_gate_leaves_the_earlier_bundle_and_a_report(
    toy: Project, built: Built, tmp_path: Path
) -> None:
    mine = Project(toy.folder, toy.cache, tmp_path)
    shutil.copytree(built["bundle"], mine.dist / "toy")
    before = {path: path.read_bytes() for path in (mine.dist / "toy").rglob("*") if path.is_file()}
    done = run(mine.command('evaluate.gates=["f1 >= 0.99", "recall_at_5 >= 0.5"]'))
    assert done.returncode == 9, done.stderr
    assert (
        "`f1 >= 0.99` (measured 0" in done.stderr
        and "recall_at_5" not in done.stderr.splitlines()[-1]
    )
    assert {path: path.read_bytes() for path in mine.dist.rglob("*") if path.is_file()} == before
    kept = toy.cache / "missed" / "toy-1.0.0"
    assert str(kept / "report.html") in done.stderr and (kept / "report.html").is_file()
    gates = json.loads((kept / "report.json").read_text(encoding="utf-8"))["gates"]
    assert [gate["passed"] for gate in gates] == [False, True]
    verify(mine.dist / "toy", read_manifest(mine.dist / "toy"))


def test_thresholds_are_learned_and_shipped(toy: Project, built: Built) -> None:
    made = build_here(toy, "answer.refuse_below=auto", "evaluate.calibration=train", SHIPPED_ARM)
    learned = made.results["calibrate"]
    assert (learned["answerable"], learned["unanswerable"], learned["source"]) == (10, 2, "train")
    shipped = json.loads((made.bundle / "prompt.json").read_text(encoding="utf-8"))["settings"]
    assert (
        shipped["refuse_below"] == learned["cosine"]
        and shipped.get("refuse_lead_below") == learned["lead"]
    )
    report = json.loads((made.bundle / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["sample"] == {"asked": 6, "of": 6, "set_aside": 0}
    assert (
        report["arms"]["tuned+rag"]["peak_mb"] > 20
        and report["arms"]["tuned+rag"]["perplexity"] > 1
    )


def test_a_risk_that_too_few_questions_show_is_said_and_held_to(
    toy: Project, built: Built, capsys: pytest.CaptureFixture[str]
) -> None:
    with_a_risk = (
        "answer.risk.wrong=0.05",
        "evaluate.calibration=0.5",
        "evaluate.ship=quote",
        'evaluate.arms=["quote"]',
    )
    made = build_here(toy, *with_a_risk)
    report = json.loads((made.bundle / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["sample"]["set_aside"] == report["risk"]["learned"]["questions"] == 2
    assert report["risk"]["sure_from"] is None and report["risk"]["missing"] >= 87
    figures = report["arms"]["quote"]  # measured as it ships: it answers nothing
    assert (figures["refused_right"], figures["refused_wrong"]) == (1.0, 1.0)
    assert report["guarantee"]["answered"] == 0
    toy.build(*with_a_risk, output="silent")  # all stages are done; it is delivered
    assert "warning: this bundle answers none of its test questions" in capsys.readouterr().err
    golden = read_golden(made.bundle)
    with fieldpack.open(made.bundle) as expert:
        answer = expert.ask("How often is the filter changed?")
        assert golden and [one.differs(expert.ask(one.question)) for one in golden] == [None] * len(
            golden
        )
    # held back for its risk, or before that as a quote that does not suffice: a toy's fit says which
    assert answer.kind in ("unsure", "quote") and answer.refused and answer.passages


# --- broken documents -----------------------------------------------------------------------------


def test_broken_documents_are_named_and_skipped_or_stop_the_build(
    toy: Project, built: Built, tmp_path: Path
) -> None:
    mine = toy.copy(tmp_path)
    (mine.folder / "documents" / "empty.pdf").write_bytes(b"")
    (mine.folder / "documents" / "boats" / "cut.docx").write_bytes(b"PK\x03\x04 cut off")
    outcome = mine.build(only="knowledge")
    receipt = mine.receipt("knowledge", outcome)
    assert (receipt.result["documents"], receipt.result["skipped"]) == (len(DOCUMENTS), 2)
    assert ["boats/cut.docx" in receipt.warnings[0], "empty.pdf" in receipt.warnings[1]] == [
        True,
        True,
    ]
    with pytest.raises(DocumentError, match=r"boats/cut\.docx") as caught:
        mine.build("knowledge.on_error=fail", only="knowledge")
    assert caught.value.exit_code == 6


# --- architectures and halves ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "matrices"), [("phi3", 8), ("qwen2", 14), ("qwen3", 14), ("gemma", 14)]
)  # Phi-3 has one matrix for query, key and value, and one for gate and up
def test_every_architecture_becomes_a_bundle(
    toy: Project, built: Built, architecture: str, matrices: int
) -> None:
    made = build_here(toy, f"base.model=models/{architecture}", SHIPPED_ARM)
    merge, export = made.results["merge"], made.results["export"]
    assert merge["matrices_moved"] == matrices
    assert merge["merge_gap"] < 0.01 < merge["logit_shift"]
    assert export["perplexity_ratio"] < 1.5 and export["skip_tokens"] == 0
    with fieldpack.open(made.bundle) as expert:
        assert expert.search("the diaphone in fog", 1)[0].document == "fog.md"
        assert expert.ask("How far is the lamp seen?").timings.tokens > 0


def test_without_training_it_is_retrieval_alone(toy: Project, built: Built) -> None:
    bundle = build_here(toy, "train=none").bundle
    report = json.loads((bundle / "report" / "report.json").read_text(encoding="utf-8"))
    assert (list(report["arms"]), report["shipped"]) == (["quote", "base", "rag"], "rag")
    assert set(read_manifest(bundle).provenance["stages"]) == {
        "base",
        "embedder",
        "knowledge",
        "quoting",
        "export",
        "evaluate",
    }


def test_without_documents_it_is_a_tuned_model_alone(toy: Project, built: Built) -> None:
    gates = 'evaluate.gates=["f1 >= 0"]'
    halves = ("knowledge=null", "train.passages=0", "train.method=lora", 'evaluate.arms=["tuned"]')
    bundle = build_here(toy, *halves, gates).bundle
    assert not (bundle / "knowledge").exists() and not (bundle / "embedder").exists()
    with fieldpack.open(bundle) as expert:
        assert expert.search("fog") == []
        answer = expert.ask("How far is the lamp seen?")
    assert answer.passages == () and answer.text != REFUSAL


def test_what_the_builder_cannot_export_is_refused_before_anything_is_paid(
    toy: Project, tmp_path: Path
) -> None:
    model = architectures.write(tmp_path / "granite", "Granite 4, Mamba")
    with pytest.raises(SourceError, match="has no code for the linear_attention layers"):
        build_here(toy, f"base.model={model}", "train=none")
    with pytest.raises(
        StageError, match=r"builder ended with 1; its words are in the stage's log\.txt"
    ):
        build_onnx(model, tmp_path / "out", FP32, tmp_path / "work")


# --- rehearsals -----------------------------------------------------------------------------------


def test_a_rehearsal_goes_through_and_stays_out_of_dist(toy: Project, built: Built) -> None:
    outcome = toy.build(SHIPPED_ARM, "train.max_steps=500", output="rehearsed", rehearse=True)
    assert outcome["ran"] == ["base", "knowledge", "quoting", "train", "merge", "export", *TAIL]
    assert toy.receipt("train", outcome).result["steps"] == 3
    assert toy.receipt("knowledge", outcome).result["documents"] == 6
    assert toy.to_do() == [], "a rehearsal's stages never stand for the real ones"


@pytest.mark.parametrize("architecture", ["phi3", "gemma"])
def test_every_architecture_rehearses(toy: Project, built: Built, architecture: str) -> None:
    made = build_here(toy, f"base.model=models/{architecture}", SHIPPED_ARM, rehearsed=True)
    report = json.loads((made.bundle / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["model"]["base"]["architecture"].casefold().startswith(architecture)
    assert report["gates"] == [] and report["sample"]["asked"] == 4


# --- base models that are not ones ----------------------------------------------------------------


def _without_tokenizer(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()


def _without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_tokenizer, "no tokenizer in the model's folder"),
        (_without_template, "no chat template; use an instruct model"),
        (_pickled, r"no \*\.safetensors weights .*they can run code"),
        (_without_config, "neither config.json nor a GGUF file"),
    ],
)
def test_an_unfit_base_is_refused(
    toy: Project, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = Path(shutil.copytree(toy.folder / "models" / "llama", tmp_path / "model"))
    damage(folder)
    recipe = load_recipe(toy.recipe, [f"base.model={folder}"])
    (tmp_path / "out").mkdir()
    with pytest.raises(SourceError, match=message) as caught:
        base.run(Task(recipe, {}, tmp_path / "out", toy.store))
    assert caught.value.exit_code == 7
