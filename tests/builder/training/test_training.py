"""The training engine on a tiny model: what is learned does not depend on how, where or how often
it was interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fakes
import training
from fieldpack_build.data import Example
from fieldpack_build.data.prompts import IGNORED, Tokenized
from fieldpack_build.errors import CheckFailed, MachineError, RecipeError
from fieldpack_build.models import causal_lm
from fieldpack_build.pipeline.plan import Plan, Step
from fieldpack_build.pipeline.run import _run_step
from fieldpack_build.pipeline.stage import Stage
from fieldpack_build.pipeline.store import Store
from fieldpack_build.pipeline.task import Task
from fieldpack_build.stages import merge, train
from fieldpack_build.training import microbatch, validation_split
from fieldpack_build.training.dataset import pack
from fieldpack_build.training.job import Job
from fieldpack_build.training.memory import available_ram
from fieldpack_build.training.sampler import BLANK, LengthGroupedSampler

CLOSE = 1e-4  # the sums of a split update come in another order


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.write_home(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def whole(home: Path) -> Path:
    """An uninterrupted run in one process, an update's rows all at once."""
    result = training.run(home, home / "whole")
    assert (result["steps"], result["rows_at_once"], result["resumed"]) == (12, 4, False)
    return home / "whole"


def test_it_learns_and_says_how_fast(whole: Path) -> None:
    log = training.log(whole)
    assert (
        log["train"][-1]["loss"] < log["train"][0]["loss"] - 1
        and log["kept_step"] == 12
        and log["validation"] == []
    )
    assert [e["step"] for e in log["train"]] == list(range(1, 13))
    assert all(
        e["tokens"] > 0 and e["tokens_per_s"] > 0 and e["learning_rate"] >= 0 for e in log["train"]
    )
    assert sorted(path.name for path in whole.iterdir()) == ["adapter", "log.json"]


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 3},
        {
            "effective_batch": None,
            "batch_size": 1,
            "gradient_accumulation": 4,
            "gradient_checkpointing": True,
        },
    ],
    ids=["three of four at once", "one at once, checkpointing"],
)
def test_how_an_update_is_split_changes_nothing(
    home: Path, whole: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    training.run(home, tmp_path, **settings)
    assert training.losses(tmp_path) == pytest.approx(training.losses(whole), abs=CLOSE)


def test_two_processes_learn_what_one_does(home: Path, tmp_path: Path) -> None:
    """DDP through torchrun and accelerate on gloo, in 4 bit, with rows held out, against twice the
    accumulation."""
    settings = {"method": "qlora", "max_steps": 6, "validation": 5}
    training.run(home, tmp_path / "one", **settings, batch_size=2)
    result = training.run(home, tmp_path / "two", **settings, batch_size=2, launch={"processes": 2})
    assert result["processes"] == 2 and result["rows_at_once"] == 2
    assert training.losses(tmp_path / "two") == pytest.approx(
        training.losses(tmp_path / "one"), abs=CLOSE
    )
    one, two = (training.log(tmp_path / name)["validation"] for name in ("one", "two"))
    assert [e["loss"] for e in two] == pytest.approx([e["loss"] for e in one], abs=CLOSE) and len(
        one
    ) == 6
    assert not (tmp_path / "two" / "ranks").exists()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_in_4_bit_are_the_same_after_an_evaluation(
    home: Path, tmp_path: Path, dtype: str
) -> None:
    """On a CPU with AVX512-BF16 bitsandbytes changes to kernels without a backward at the first
    evaluation."""
    import torch

    from fieldpack_build.training.adapter import load_model_with_adapter
    from fieldpack_build.training.dataset import Collator, concatenate
    from fieldpack_build.training.loss import answer_loss

    job = Job(
        training.recipe_of(home, method="qlora", dtype=dtype),
        home / "base" / "model",
        tmp_path,
        "cpu",
        0,
        None,
    )
    model = load_model_with_adapter(job)
    batch = Collator(0)(
        [concatenate([Tokenized(list(range(5, 45)), [IGNORED] * 30 + list(range(35, 45)))])]
    )

    def gradients() -> dict[str, Any]:
        model.train()
        model.zero_grad()
        answer_loss(model, batch).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    before = gradients()
    model.eval()
    with torch.no_grad():
        answer_loss(model, batch)
    after = gradients()
    assert before.keys() == after.keys() and any(
        float(g.abs().max()) for name, g in before.items() if ".layers.0." in name
    )
    assert all(torch.equal(gradient, after[name]) for name, gradient in before.items())


def test_killed_or_short_of_memory_it_ends_in_the_same_weights(
    home: Path, whole: Path, tmp_path: Path
) -> None:
    """SIGKILL between checkpoints, within one, and when the last step is done; then a process whose
    memory really ends."""
    held = {"validation": 5, "evaluate_steps": 3, "early_stop": 1, "learning_rate": 0.05}
    training.run(home, tmp_path / "held", **held)
    long = training.write_home(tmp_path / "long")
    rows = [
        {"question": f"What is {n}?", "answer": f"item{n} and then some more of it. " * 14}
        for n in range(64)
    ]
    training.write_rows(long, rows)
    big = {"effective_batch": 32, "checkpoint_steps": 1, "epochs": 1.5}
    training.run(long, tmp_path / "big", **big)
    _in_forks(
        home,
        tmp_path,
        {
            "between": {"step": 6, "train": {}},
            "within": {"write": 8, "train": {}},
            "last": {"step": 12, "train": {}},
            "evaluated": {"step": 5, "train": held},
        },
    )
    _in_forks(
        long,
        tmp_path,
        {"short": {"memory": 1, "slack": 80 << 20, "train": {**big, "batch_size": 32}}},
    )
    for name in ("between", "within", "last", "evaluated"):
        case, same = _case(tmp_path / name), tmp_path / "held" if name == "evaluated" else whole
        assert case["died"] == signal.SIGKILL, name
        assert training.weights(tmp_path / name) == training.weights(same), name
        assert training.losses(tmp_path / name) == training.losses(same), name
        assert case["left"], name
    short = _case(tmp_path / "short")
    assert short["died"] == 0 and short["warnings"][0].startswith(
        "memory ran out (can't allocate memory: "
    )
    assert short["warnings"][0].endswith("16 rows at once, from the last checkpoint")
    assert training.losses(tmp_path / "short") == pytest.approx(
        training.losses(tmp_path / "big"), abs=CLOSE
    )


def _in_forks(home: Path, out: Path, cases: dict[str, Any]) -> None:
    # Freed blocks go back to the system at once, so that a limit of the address space means what it
    # says.
    malloc = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "training", str(home), str(out), json.dumps(cases)],
        capture_output=True,
        text=True,
        env={**os.environ, **malloc, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def _case(folder: Path) -> dict[str, Any]:
    case: dict[str, Any] = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    return case


def test_a_job_reaches_other_processes_whole(home: Path, tmp_path: Path) -> None:
    job = Job(
        training.recipe_of(home, launch={"processes": 2}),
        home / "base" / "model",
        tmp_path / "out",
        "cpu",
        3,
        7,
        2,
    )
    rows = [Tokenized([1, 2], [IGNORED, 2], line=4, group=5)]
    job.write(tmp_path, rows, [])
    assert Job.read(tmp_path) == (job, rows, [])


class _Dying(Stage):
    function = "training_dying:run"


def test_a_process_killed_by_the_kernel_goes_on_with_half(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "training_dying.py").write_text(
        "import os, signal\nfrom fieldpack_build.training import microbatch as split\n\ndef "
        "run(task):\n"
        "    now = split.read(task.out) or split.MicrobatchPlan(4, False)\n    now.write(task.out)\n"
        "    if now.rows > 1: os.kill(os.getpid(), signal.SIGKILL)\n    return {'rows': now.rows}\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    from fieldpack_build.stages.table import STAGES

    real = next(stage for stage in STAGES if stage.name == "train")
    stage = _Dying(
        "train", 1, "die", settings=lambda recipe: None, resumes=True, after_kill=real.after_kill
    )
    step = Step(stage, "k" * 64, {"inputs": {}}, None, ())
    events: list[dict[str, Any]] = []
    receipt = _run_step(
        Plan(training.recipe_of(home), Store(tmp_path / "cache"), (step,)), step, events.append
    )
    assert receipt.result == {"rows": 1} and len(receipt.warnings) == 2
    assert receipt.warnings[1] == (
        "its process was killed, as happens where memory runs out: 1 row at once, from the last "
        "checkpoint"
    )


def test_the_best_checkpoint_is_kept(home: Path, tmp_path: Path) -> None:
    """On random answers a high learning rate soon helps no more on what was held out."""
    result = training.run(
        home,
        tmp_path,
        validation=0.25,
        evaluate_steps=1,
        early_stop=2,
        learning_rate=0.1,
        epochs=10,
    )
    log = training.log(tmp_path)
    best = min(log["validation"], key=lambda entry: entry["loss"])
    assert (
        result["kept_step"] == log["kept_step"] == best["step"]
        and result["held_out_loss"] == best["loss"]
    )
    assert result["steps"] == best["step"] + 2 < 50 and result["held_out"] + result[
        "examples"
    ] == len(training.ROWS)


def test_variants_reach_the_adapter_and_merge(home: Path, tmp_path: Path) -> None:
    settings = {
        "method": "qlora",
        "dora": True,
        "rslora": True,
        "targets": ["q_proj", "down_proj"],
        "max_steps": 3,
    }
    training.run(home, tmp_path / "train", **settings)
    config = json.loads((tmp_path / "train" / "adapter" / "adapter_config.json").read_text())
    assert (
        config["use_dora"]
        and config["use_rslora"]
        and sorted(config["target_modules"]) == ["down_proj", "q_proj"]
    )
    merged = tmp_path / "merge"
    merged.mkdir()
    inputs = {"base": home / "base", "train": tmp_path / "train"}
    facts = merge.run(Task(training.recipe_of(home), inputs, merged, Store(tmp_path)))
    assert facts["matrices_moved"] == 4  # two of each layer
    with pytest.raises(
        RecipeError, match=r"train\.targets: .*its linear layers are down_proj, .*q_proj"
    ):
        training.run(home, tmp_path / "wrong", targets=["query"])


@pytest.mark.parametrize("architecture", ["llama", "phi3", "qwen3", "gemma2"])
def test_packed_rows_do_not_see_each_other(tmp_path: Path, architecture: str) -> None:
    """The loss and its gradient of rows in one sequence are those of the rows apart; a model that
    ignores where a row begins is refused."""
    import torch
    from transformers import AutoModelForCausalLM

    from fieldpack_build.training.dataset import Collator, concatenate
    from fieldpack_build.training.isolation import prove_rows_isolated
    from fieldpack_build.training.loss import answer_loss

    model = AutoModelForCausalLM.from_pretrained(
        fakes.write_tiny_model(tmp_path / "m", architecture), dtype=torch.float32
    )
    rows = [
        Tokenized([(7 * i + n) % 200 for i in range(n)], [IGNORED] * (n - 4) + [5, 6, 7, 8])
        for n in (40, 23, 9, 31)
    ]

    def gradient(groups: list[list[Tokenized]], packed: bool) -> tuple[float, Any]:
        model.zero_grad()
        loss = answer_loss(
            model, Collator(0, packed=packed)([concatenate(group) for group in groups])
        )
        loss.backward()
        return float(loss.detach()), torch.cat(
            [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        )

    loss, slope = gradient([[row] for row in rows], False)
    for groups in ([rows], [rows[:1], rows[1:]]):  # one sequence; two of different lengths, padded
        packed_loss, packed_slope = gradient(groups, True)
        assert packed_loss == pytest.approx(loss, abs=1e-4)
        assert torch.allclose(packed_slope, slope, atol=1e-3 * float(slope.abs().max()))
    prove_rows_isolated(model, rows, 0, packed=True)

    class Blind(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, position_ids: Any, **inputs: Any) -> Any:
            return self.inner(**inputs)

    with pytest.raises(CheckFailed, match=r"train\.packing"):
        prove_rows_isolated(Blind(), rows, 0, packed=True)


def test_packing_trains(home: Path, tmp_path: Path) -> None:
    result = training.run(home, tmp_path, packing=True, max_tokens=300, max_steps=8, validation=3)
    assert (
        result["steps"] == 8 and training.losses(tmp_path)[-1] < training.losses(tmp_path)[0] - 0.5
    )
    rows = [Tokenized([0] * n, [0] * n) for n in (300, 200, 100, 90, 10, 150, 120, 30)]
    groups = pack(rows, 300)
    assert len(groups) == 4 and sorted(len(r.ids) for g in groups for r in g) == sorted(
        len(r.ids) for r in rows
    )
    assert all(sum(len(row.ids) for row in group) <= 300 for group in groups)


@pytest.mark.parametrize("slots", [4, 6, 8])
def test_the_rows_of_an_update_are_the_same_however_many_places_it_has(slots: int) -> None:
    lengths = [n * 37 % 101 + 1 for n in range(450)]
    sampler = LengthGroupedSampler(lengths, rows_per_update=4, slots=slots, seed=3)
    sampler.set_epoch(1)
    places = list(sampler)
    assert len(places) == len(sampler) == 113 * slots
    updates = [
        [row for row in places[at : at + slots] if row != BLANK]
        for at in range(0, len(places), slots)
    ]
    assert (
        updates
        == LengthGroupedSampler(lengths, rows_per_update=4, slots=4, seed=3).updates(1)
        != sampler.updates(2)
    )
    assert Counter(row for update in updates for row in update) == Counter(range(450))
    assert max(lengths) == lengths[updates[0][0]]
    padded = sum(len(update) * max(lengths[row] for row in update) for update in updates)
    assert padded < 1.1 * sum(lengths)  # in random order it is 1.6
    assert sampler.tokens(113 + 5) == sum(lengths[row] for row in updates[5])


def test_what_is_held_out_shares_no_document_and_no_question() -> None:
    examples = [Example(f"q{n % 30}", "a", "one.md", n + 1) for n in range(60)]
    rows = [Tokenized([n], [n], e.line) for n, e in enumerate(examples)]
    few = validation_split.split_rows(
        [Tokenized([n], [n], n + 1) for n in range(40)],
        [Example(f"q{n}", "a", f"{n // 4}.md", n + 1) for n in range(40)],
        0.2,
        seed=1,
    )
    assert len(few.validation) == 8 and few.by == "document"
    assert not {row.ids[0] // 4 for row in few.validation} & {row.ids[0] // 4 for row in few.train}
    linked = validation_split.split_rows(
        rows, examples, 6, seed=1
    )  # the one document cannot be split
    assert linked.by == "question" and len(linked.validation) == 6
    assert not {row.ids[0] % 30 for row in linked.validation} & {
        row.ids[0] % 30 for row in linked.train
    }
    assert validation_split.split_rows(rows, examples, 0, seed=1).train == rows


def test_the_batch_is_what_memory_takes(home: Path, tmp_path: Path) -> None:
    shape = microbatch.ModelShape(
        hidden=576, layers=30, intermediate=1536, key_width=192, vocabulary=49152, number_bytes=2
    )
    row = shape.bytes_of(700, 50, checkpointing=False)

    def chosen(free: float, **settings: Any) -> tuple[int, bool]:
        made = microbatch.choose(
            training.recipe_of(home, **settings).train,
            shape,
            [(700, 50), (20, 5)],
            free=int(free),
            processes=1,
            cuda=True,
        )
        return made.rows, made.checkpointing

    assert chosen(1000 * row, effective_batch=16) == (16, False)
    assert chosen(14 * row, effective_batch=16) == (
        8,
        False,
    )  # 11 fit: two batches of 8, not of 11 and 5
    assert chosen(3 * row, effective_batch=16)[1] and chosen(3 * row, effective_batch=16)[0] > 4
    assert chosen(3 * row, effective_batch=16, gradient_checkpointing=False) == (2, False)
    assert chosen(0, effective_batch=16) == (1, True) and chosen(
        0, effective_batch=16, batch_size=8
    ) == (8, True)
    microbatch.MicrobatchPlan(4, False, may_checkpoint=True).write(tmp_path)
    lowered = [microbatch.lower(tmp_path) for _ in range(4)]
    assert [one and (one.rows, one.checkpointing) for one in lowered] == [
        (2, False),
        (1, False),
        (1, True),
        None,
    ]


def test_memory_is_what_the_machine_and_its_groups_leave(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable: 8000000 kB\n")
    (proc / "self" / "cgroup").write_text("0::/a/b\n")
    (groups / "a" / "b").mkdir(parents=True)
    assert available_ram(proc, groups) == 8_000_000 * 1024
    (groups / "a" / "memory.max").write_text("3000000000\n")
    (groups / "a" / "memory.current").write_text("2500000000\n")
    (groups / "a" / "memory.stat").write_text("anon 5\ninactive_file 400000000\n")
    (groups / "a" / "b" / "memory.max").write_text("max\n")
    assert available_ram(proc, groups) == 900_000_000


def test_trackers_log_beside_the_recipe_or_are_named(home: Path, tmp_path: Path) -> None:
    import importlib.util

    missing = [
        name
        for name in ("mlflow", "wandb", "tensorboard")
        if importlib.util.find_spec(name) is None
    ]
    if not missing:
        pytest.skip("all trackers are installed")
    with pytest.raises(
        MachineError, match=rf"train\.track: {missing[0]} not installed; pip install {missing[0]}"
    ):
        training.run(home, tmp_path, track=missing[:1])


def test_answers_that_spell_a_control_token_are_named(home: Path, tmp_path: Path) -> None:
    """What a chat's export leaves at the end of an answer, or a document about chat templates:
    learned as plain text."""
    copy = Path(shutil.copytree(home, tmp_path / "home"))
    spelled = ["It costs 4.", "It costs 4.<|im_end|>", "A turn begins with <|im_start|>.", None]
    training.write_rows(
        copy, [{"question": f"What is <|im_end|> {n}?", "answer": a} for n, a in enumerate(spelled)]
    )
    task = training.task_of(copy, tmp_path / "out")
    tokenizer = causal_lm.load_tokenizer(copy / "base" / "model")
    prepared = train.prepare(task, tokenizer)
    (warning,) = task.warnings
    assert warning == (
        f'{copy / "train.jsonl"}:2: its answer holds "<|im_end|>", a control token of the base '
        "model, as in 2 rows; it is "
        'learned as the plain text "< |im_end|>", as the device reads it in documents; take it out '
        "where it only marks the end "
        "of the answer"
    )
    end, start = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|im_start|>"])
    assert [(row.ids.count(end), row.ids.count(start)) for row in prepared.rows] == [
        (3, 3)
    ] * 4  # the template's own


# --- a loss that is no number ---------------------------------------------------------------------


def test_weights_that_are_no_numbers_are_not_blamed_on_the_learning_rate(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    home = training.write_home(tmp_path)
    path = home / "model" / "model.safetensors"
    weights = load_file(path)
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] = torch.nan
    save_file(weights, path, metadata={"format": "pt"})
    where = r"^step 1: .* hold values that are none \(first: .*layers\.1\.mlp\.up_proj.*\)"
    with pytest.raises(CheckFailed, match=where) as caught:
        training.run(home, tmp_path / "out")
    assert "learning_rate" not in str(caught.value)


def test_neither_is_a_first_loss_that_overflows(tmp_path: Path) -> None:
    """Finite weights, infinite activations: nothing has been learned when the first loss is
    computed."""
    from safetensors.torch import load_file, save_file

    home = training.write_home(tmp_path)
    path = home / "model" / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"][:] = 3e38
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(
        CheckFailed,
        match=r"^step 1: .*; nothing was learned before it, so train\.learning_rate is not at",
    ):
        training.run(home, tmp_path / "out")


def test_a_later_one_is(home: Path, tmp_path: Path) -> None:
    """A rate far beyond what a recipe may say takes the adapter out of all bounds with its first
    step."""
    task = training.task_of(home, tmp_path / "out")
    steep = task.recipe.model_copy(
        update={"train": task.recipe.train.model_copy(update={"learning_rate": 1e30})}
    )
    with pytest.raises(
        CheckFailed, match=r"^step \d+: .* is not a number; lower train\.learning_rate$"
    ) as caught:
        train.run(replace(task, recipe=steep))
    assert not str(caught.value).startswith("step 1:")
