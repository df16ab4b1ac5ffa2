"""A whole toy project for the build: a dozen short documents, a few examples and questions, an
embedding model and base models of random weights. Nothing is patched: the real stages run on it,
the real toolchain exports its embedder.

The toolchain (about 350 MB of wheels) is installed once a machine, in pytest's own cache folder.

A plugin that tests import from, too: PYTEST_DONT_REWRITE, or pytest warns that it came late.
"""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import fakes
from fieldpack_build.api import build
from fieldpack_build.pipeline.run import Listener
from fieldpack_build.pipeline.store import Receipt, Store, files_of
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.recipe.rehearse import rehearse
from fieldpack_build.stages.table import make_plan
from fieldpack_build.toolchains import ensure

SYSTEM = "You answer questions from the passages below and cite them."
# Stages that no recipe here has unless it asks for them.
OPTIONAL = ("reranker", "calibrate", "attribute", "synthesize", "targets")
REFUSAL = "I cannot answer that from these documents."

# file -> (title, text): every document has a word or a figure that no other has.
DOCUMENTS = {
    "boats/dinghy.md": (
        "The dinghy",
        "The dinghy Petrel carries four people and is painted orange every spring.",
    ),
    "boats/tender.md": (
        "The tender",
        "The supply tender comes on alternate Tuesdays with water and bread.",
    ),
    "fog.md": ("Fog signal", "In fog the diaphone sounds two blasts every 90 seconds."),
    "generator.md": (
        "The generator",
        "The generator burns 14 litres of diesel a day. Its oil is changed every 250 hours.",
    ),
    "lamp.md": ("The lamp", "The lamp turns once in 20 seconds and is seen for 18 miles."),
    "landing.md": ("Landing", "Nobody lands at the north steps when the swell is over two metres."),
    "lens.md": (
        "The lens",
        "The Fresnel lens is cleaned with vinegar and a linen cloth, never with alcohol.",
    ),
    "log.md": (
        "The log book",
        "The keeper writes barometer, wind and visibility into the log at every watch.",
    ),
    "paint.md": (
        "Painting",
        "The tower is painted white in June; the gallery rail is painted grey.",
    ),
    "radio.md": (
        "The radio",
        "The station calls on channel 67 at noon. Distress traffic goes on channel 16.",
    ),
    "stores.md": ("Stores", "Flour, lentils and coffee are kept for 40 days; tins for a year."),
    "watch.md": ("Watches", "A watch lasts four hours. The middle watch begins at midnight."),
}
# question, answer (None: the documents do not say), document
EXAMPLES = (
    (
        "How many people does the dinghy carry?",
        "The dinghy carries four people.",
        "boats/dinghy.md",
    ),
    ("When does the supply tender come?", "It comes on alternate Tuesdays.", "boats/tender.md"),
    ("How often does the diaphone sound?", "It sounds two blasts every 90 seconds.", "fog.md"),
    ("How much diesel does the generator burn?", "It burns 14 litres a day.", "generator.md"),
    ("How far is the lamp seen?", "It is seen for 18 miles.", "lamp.md"),
    (
        "When is landing at the north steps forbidden?",
        "When the swell is over two metres.",
        "landing.md",
    ),
    ("What cleans the Fresnel lens?", "Vinegar and a linen cloth.", "lens.md"),
    ("What does the keeper write into the log?", "Barometer, wind and visibility.", "log.md"),
    ("When is the tower painted?", "The tower is painted white in June.", "paint.md"),
    ("On which channel is the noon call?", "It is on channel 67.", "radio.md"),
    ("Who is the king of Norway?", None, None),
    ("What does a ticket to the opera cost?", None, None),
)
# question, answer, value, document
QUESTIONS = (
    (
        "How many litres of diesel does the generator burn a day?",
        "It burns 14 litres a day.",
        "14",
        "generator.md",
    ),
    (
        "Which channel carries distress traffic?",
        "Distress traffic goes on channel 16.",
        "16",
        "radio.md",
    ),
    ("How long are lentils and coffee kept?", "They are kept for 40 days.", "40 days", "stores.md"),
    ("What colour is the gallery rail?", "The gallery rail is grey.", "grey", "paint.md"),
    ("When does the middle watch begin?", "It begins at midnight.", "midnight", "watch.md"),
    ("Who won the chess match?", None, None, None),
)


@dataclass(frozen=True)
class Project:
    """A recipe with all it needs in one folder. `cache` and `dist` are the test's own."""

    folder: Path
    cache: Path
    dist: Path

    @property
    def recipe(self) -> Path:
        return self.folder / "toy.yaml"

    @property
    def store(self) -> Store:
        return Store(self.cache)

    def build(self, *overrides: str, output: str = "toy", **options: Any) -> dict[str, Any]:
        """`build recipe` in this process (its stages are children all the same)."""
        return build(
            str(self.recipe),
            output=self.dist / output,
            overrides=overrides,
            cache=self.cache,
            listener=Listener(),
            **options,
        )

    def command(self, *overrides: str, output: str = "toy") -> list[str]:
        """The same as a command line."""
        settings = [word for override in overrides for word in ("--set", override)]
        line = [
            sys.executable,
            "-m",
            "fieldpack_build.cli",
            "recipe",
            str(self.recipe),
            "--cache",
            str(self.cache),
        ]
        return [*line, "-o", str(self.dist / output), *settings]

    def receipt(self, stage: str, outcome: Mapping[str, Any]) -> Receipt:
        """What `stage` says of itself in the build that gave `outcome`."""
        found = self.store.find(stage, outcome["keys"][stage])
        assert found, f"{stage} has no receipt"
        return found

    def copy(self, folder: Path) -> Project:
        """The same project in files of its own to change; the cache stays, so that what is done
        stays done."""
        home = folder / "project"
        shutil.copytree(self.folder, home, ignore=shutil.ignore_patterns("models"))
        (home / "models").symlink_to(self.folder / "models")
        return Project(home, self.cache, folder / "dist")

    def to_do(self, *overrides: str) -> list[str]:
        """The stages that a build would run."""
        plan = make_plan(load_recipe(self.recipe, overrides), self.store)
        return [step.name for step in plan.steps if step.receipt is None]


@dataclass(frozen=True)
class Made:
    """A sealed bundle in the cache, and what each stage said of itself."""

    bundle: Path
    results: Mapping[str, Mapping[str, Any]]


def build_here(project: Project, *overrides: str, rehearsed: bool = False) -> Made:
    """All stages in this process, which has torch imported already: a third of the time of one
    child each."""
    recipe = load_recipe(project.recipe, overrides)
    store = project.store
    plan = make_plan(rehearse(recipe) if rehearsed else recipe, store)
    for step in plan.steps:
        if step.receipt is None:
            seen = {name: plan.step(name).key for name in step.sees}
            keys = {**step.parts["inputs"], **seen}
            inputs = {name: store.folder(name, key) for name, key in keys.items()}
            task = Task(
                plan.recipe, inputs, store.begin(step.name, step.key, keep=False), store, keys
            )
            module, _, function = step.stage.function.partition(":")
            result = getattr(importlib.import_module(module), function)(task)
            store.commit(
                task.out,
                Receipt(
                    stage=step.name,
                    recipe=recipe.name,
                    key=step.key,
                    parts=step.parts,
                    seen=seen,
                    files=files_of(task.out),
                    seconds=0.0,
                    peak_rss_mb=0.0,
                    result=result,
                    warnings=tuple(task.warnings),
                ),
            )
    receipts = {step.name: store.find(step.name, step.key) for step in plan.steps}
    bundle = store.folder("package", plan.step("package").key) / "bundle"
    return Made(bundle, {name: receipt.result for name, receipt in receipts.items() if receipt})


def make_cache(root: Path, machine: Path) -> Path:
    """An empty cache whose models and toolchains are the machine's."""
    root.mkdir(parents=True)
    for name in ("models", "toolchains"):
        (machine / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(machine / name, target_is_directory=True)
    return root


def write_project(folder: Path, *, architectures: Sequence[str] = ("llama",)) -> Path:
    """documents/, train.jsonl, questions.jsonl, models/embedder, models/<architecture>, toy.yaml."""
    for name, (title, text) in DOCUMENTS.items():
        write_document(folder / "documents" / name, title, text)
    rows = [{"question": q, "answer": a, "document": d} for q, a, d in EXAMPLES]
    _write_rows(folder / "train.jsonl", rows)
    asked = [{"question": q, "answer": a, "value": v, "document": d} for q, a, v, d in QUESTIONS]
    _write_rows(folder / "questions.jsonl", asked)
    write_tiny_embedder(folder / "models" / "embedder")
    for architecture in architectures:
        fakes.write_tiny_model(folder / "models" / architecture, architecture)
    (folder / "toy.yaml").write_text(
        json.dumps(recipe_of(architectures[0]), indent=1), encoding="utf-8"
    )
    return folder


def recipe_of(architecture: str) -> dict[str, Any]:
    """JSON is YAML. Weights are random, so perplexity and thresholds are wide open."""
    return {
        "name": "toy",
        "version": "1.0.0",
        "base": {"model": f"models/{architecture}", "license": "CC0-1.0"},
        "knowledge": {
            "documents": "documents",
            "chunk": {"tokens": 64},
            "embedder": {"model": "models/embedder", "license": "MIT"},
        },
        "train": {
            "method": "qlora",
            "data": "train.jsonl",
            "max_steps": 3,
            "learning_rate": 0.01,
            "rank": 4,
            "alpha": 8,
            "batch_size": 2,
            "passages": 1,
            "max_tokens": 768,
            "checkpoint_steps": 1,
        },
        "export": {"max_context": 768, "max_perplexity_ratio": 2},
        "answer": {
            "system": SYSTEM,
            "refusal": REFUSAL,
            "passages": 2,
            "max_answer_tokens": 8,
            "refuse_below": 0.0,
        },
        "evaluate": {
            "questions": "questions.jsonl",
            "ship": "all",
            "gates": ["recall_at_5 >= 0.8", "refused_wrong <= 1"],
        },
        "bundle": {"description": "A lighthouse keeper's handbook", "license": "CC-BY-4.0"},
    }


def write_document(path: Path, title: str, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# {title}\n\n{text}\n", encoding="utf-8")


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


# --- a sentence-transformers model ----------------------------------------------------------------


def write_tiny_embedder(folder: Path, *, dim: int = 64, max_tokens: int = 128) -> Path:
    """One random BERT layer, mean pooling, normalised. Its words' vectors are large and its layer
    weak, so that a text's vector is close to the mean of its words': texts that share words are
    near."""
    import torch
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True)
    size = _write_word_pieces(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=size,
        hidden_size=dim,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * dim,
        max_position_embeddings=max_tokens,
    )
    model = BertModel(config)
    torch.nn.init.normal_(model.embeddings.word_embeddings.weight, std=1.0)
    model.save_pretrained(folder)
    _write_json(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {
                "idx": 1,
                "name": "1",
                "path": "1_Pooling",
                "type": "sentence_transformers.models.Pooling",
            },
            {
                "idx": 2,
                "name": "2",
                "path": "2_Normalize",
                "type": "sentence_transformers.models.Normalize",
            },
        ],
    )
    _write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False}
    )
    _write_json(
        folder / "config_sentence_transformers.json", {"prompts": {}, "default_prompt_name": None}
    )
    pooling = {
        "word_embedding_dimension": dim,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
    }
    _write_json(folder / "1_Pooling" / "config.json", pooling)
    return folder


def write_tiny_reranker(folder: Path, *, max_tokens: int = 128) -> Path:
    """Two random BERT layers under a head of one label, wide enough apart that texts differ by more
    than a rounding."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder.mkdir(parents=True)
    size = _write_word_pieces(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=size,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=max_tokens,
        num_labels=1,
        initializer_range=0.2,
    )
    model = BertForSequenceClassification(config)
    torch.nn.init.normal_(model.bert.embeddings.word_embeddings.weight, std=1.0)
    model.save_pretrained(folder)
    return folder


def _write_word_pieces(folder: Path) -> int:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    texts = [f"{title} {text}" for title, text in DOCUMENTS.values()]
    alphabet = [chr(code) for code in range(33, 127)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=800, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    ends = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    tokenizer.save_pretrained(folder)
    # transformers 5 writes a class ("TokenizersBackend") that the toolchain's transformers 4.57
    # does not know.
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    _write_json(
        folder / "tokenizer_config.json", settings | {"tokenizer_class": "PreTrainedTokenizerFast"}
    )
    return len(tokenizer)


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


# --- fixtures -------------------------------------------------------------------------------------

ARCHITECTURES = ("llama", "phi3", "qwen2", "qwen3", "gemma")


@pytest.fixture(scope="session")
def machine(pytestconfig: pytest.Config) -> Path:
    """Where toolchains and fetched models stay from one session to the next."""
    assert pytestconfig.cache
    folder = Path(pytestconfig.cache.mkdir("fieldpack"))
    with FileLock(folder / "lock"):  # of several pytest workers the first installs, the others wait
        ensure("optimum", folder / "toolchains", print)
    return folder


@pytest.fixture(scope="session")
def toy(machine: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project, nothing built. Its cache is shared by all tests: do not change its files."""
    root = tmp_path_factory.mktemp("toy")
    project = write_project(root / "project", architectures=ARCHITECTURES)
    return Project(project, make_cache(root / "cache", machine), root / "dist")


@pytest.fixture(scope="session")
def built(toy: Project) -> dict[str, Any]:
    """The outcome of one uninterrupted build of all stages and arms, on the llama."""
    return toy.build()


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
