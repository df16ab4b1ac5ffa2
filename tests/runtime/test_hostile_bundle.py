"""A bundle that is sealed as it should be and holds what it should not: every command says so in a
sentence, with exit code 3. And one that is exchanged or cut off after it was verified."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import mutations
import numpy as np
import pytest

import fakes
import fieldpack
import serving
from fieldpack.bundle.golden import Golden
from fieldpack.child import python
from fieldpack.devices import Device
from fieldpack.errors import BundleCorrupt, BundleError, NoSuchPassage, OutOfMemory, QuestionError
from fieldpack.expert import Expert
from fieldpack.index.graph import GRAPH, new_graph
from fieldpack.index.graph_check import check_graph
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.index.schema import CHUNKS
from fieldpack.index.vectors import encode
from fieldpack.passages import MAX_PASSAGES, Filter
from fieldpack.prompt import FILENAME as PROMPT
from fieldpack.untrusted import reading, typed, untrusted
from fieldpack_build.index.writer import write_index

QUESTION = mutations.QUESTION
VECTORS = "knowledge/vectors.bin"
SEEDS = range(14)


# --- mutations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mutated_bundle_is_refused_with_a_sentence_or_answers(
    seed: int, sealed: Path, tmp_path: Path
) -> None:
    """A few of those that benchmarks/attacks_mutations.py tries."""
    mutation = mutations.mutated(sealed, tmp_path / "mutated", seed)
    command = ("ask", "search", "doctor", "info")[seed % 4]
    found = mutations.outcome(
        tmp_path / "mutated", mutation, command
    )  # the tests share their machine
    assert found.held, found


# --- a library that is no library -----------------------------------------------------------------


def _view(table: str) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        with closing(sqlite3.connect(bundle / "knowledge" / CHUNKS)) as database:
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
            database.executescript(
                f"DROP TABLE {table}; CREATE VIEW {table} AS {endless} SELECT "
                f"{', '.join(f'i AS {c}' for c in columns)} FROM n;"
            )

    return change


def _sql(script: str) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        with closing(sqlite3.connect(bundle / "knowledge" / CHUNKS)) as database:
            database.executescript(script)

    return change


def _bytes_of(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda bundle: (bundle / name).write_bytes(data) and None


def _patched(name: str, at: int, data: bytes) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        old = bytearray((bundle / name).read_bytes())
        old[at : at + len(data)] = data
        (bundle / name).write_bytes(old)

    return change


def _neighbours(bundle: Path) -> None:
    """The first neighbour of the first node becomes one that is not there: usearch followed it and
    ended the process."""
    graph = _with_graph(bundle)
    data = bytearray(graph.read_bytes())
    rows, width = np.frombuffer(data[:8], dtype=np.uint32).tolist()
    node = 8 + rows * width + 64 + 40 + 2 * rows
    data[node + 14 : node + 18] = b"\xff\xff\xff\x7f"
    graph.write_bytes(data)


def _with_graph(bundle: Path) -> Path:
    """Give the bundle's library the graph that a large one has; the path of it."""
    knowledge = bundle / "knowledge"
    index = KnowledgeIndex(knowledge)
    chunks = index.chunks()
    vectors = index.sample_vectors(len(chunks))[1]
    shutil.rmtree(knowledge)
    write_index(knowledge, [chunk for _, chunk in chunks], vectors, graph_from=0)
    fakes.reseal(bundle)
    return knowledge / GRAPH


def _no_graph(bundle: Path) -> None:
    _with_graph(bundle).write_bytes(b"")


def _ranges(bundle: Path) -> None:
    _sql("UPDATE documents SET first = first - 1, chunks = 1 << 40")(bundle)


def _set(name: str, *place: Any, value: Any) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        data = at = json.loads((bundle / name).read_text())
        for key in place[:-1]:
            at = at[key]
        at[place[-1]] = value
        (bundle / name).write_text(json.dumps(data))

    return change


def _other_input(bundle: Path) -> None:
    """onnxruntime's Python says in a ValueError which input it lacks."""
    path = bundle / "embedder" / "model.onnx"
    data = path.read_bytes()
    assert b"attention_mask" in data
    path.write_bytes(data.replace(b"attention_mask", b"attention_musk"))


HOSTILE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "neighbours that are not there": ("search", _neighbours, "has neighbours that do not exist"),
    "doctor, the same": ("doctor", _neighbours, "has neighbours that do not exist"),
    "no vectors at all": ("search", _bytes_of(VECTORS, b""), "0 bytes, its library wants"),
    "an empty graph": ("search", _no_graph, "is missing or empty"),
    "chunks without vectors": ("search", _ranges, "has no vector of a chunk"),
    "meta is endless": ("info", _view("meta"), "holds views or triggers"),
    "documents are endless": ("search", _view("documents"), "holds views or triggers"),
    "a trigger": (
        "info",
        _sql("CREATE TRIGGER t AFTER INSERT ON chunks BEGIN SELECT 1; END;"),
        "holds views or triggers",
    ),
    "a column that computes": (
        "search",
        _sql(
            "DROP TABLE sketches; CREATE TABLE sketches (document_id INTEGER PRIMARY KEY, data AS "
            "(hex(zeroblob(1e9))));"
        ),
        "its tables are not those of a library",
    ),
    "no database": (
        "info",
        _bytes_of(f"knowledge/{CHUNKS}", b"SQLite format 3\0" + bytes(8192)),
        CHUNKS,
    ),
    "a text that is none": (
        "search",
        _sql("UPDATE chunks SET text = x'ff00'"),
        "cannot be used (a chunk's values",
    ),
    "words that are cut": ("search", _sql("DELETE FROM words_docsize"), "cannot be used"),
    "a size that is none": (
        "info",
        _sql("UPDATE meta SET value = 'many' WHERE name = 'chunks'"),
        "is no count",
    ),
    "vectors of no type": (
        "search",
        _sql("UPDATE meta SET value = 'f4' WHERE name = 'dtype'"),
        "vectors of dtype",
    ),
    "passages that are text": (
        "ask",
        _set(PROMPT, "settings", "passages", value="3"),
        "passages: want int",
    ),
    "a threshold that is no number": (
        "ask",
        _set(PROMPT, "settings", "refuse_below", value=float("nan")),
        "refuse_below",
    ),
    "a system text that is a list": (
        "ask",
        _set(PROMPT, "settings", "system", value=["a"]),
        "system: want str",
    ),
    "a context without end": (
        "ask",
        _set(PROMPT, "settings", "max_context", value=10**15),
        "cannot be",
    ),
    "weights of no use": (
        "search",
        _set("embedder/embedder.json", "dim", value=True),
        "dim: want int",
    ),
    "an encoder that is none": (
        "search",
        _bytes_of("embedder/model.onnx", b"\x08\x09\x12"),
        "cannot be used",
    ),
    "an encoder with another input": ("search", _other_input, "cannot be used"),
    "doctor, with another input": ("doctor", _other_input, "cannot be used"),
    "a tokenizer that is none": (
        "search",
        _bytes_of("embedder/tokenizer.json", b"{}"),
        "cannot be used",
    ),
    "layers that are text": (
        "ask",
        _set("model/genai_config.json", "model", "decoder", "head_size", value="two"),
        "model",
    ),
    "heads of a size below zero": (
        "ask",
        _set("model/genai_config.json", "model", "decoder", "head_size", value=-1),
        "head_size: want a size, not -1",
    ),
    "data from elsewhere": (
        "ask",
        lambda bundle: _external(bundle / "embedder" / "model.onnx"),
        "cannot be used",
    ),
}


def _external(path: Path) -> None:
    """Weights that the graph says lie outside of the bundle, which onnxruntime refuses."""
    import onnx

    model = onnx.load(str(path))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/hostname")
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_sealed_bundle_must_not_hold_is_named(name: str, bundle: Path) -> None:
    command, change, word = HOSTILE[name]
    change(bundle)
    mutations.seal(bundle)
    found = mutations.outcome(bundle, name, command)
    assert found.kind == "refused", found
    if command != "doctor":
        assert found.says.startswith("3: fieldpack: ") and word in found.says


def test_a_library_that_splits_words_as_an_earlier_version_did_is_read(bundle: Path) -> None:
    """Of the same schema, with another setting of SQLite's own tokenizer."""
    with closing(sqlite3.connect(bundle / "knowledge" / CHUNKS)) as database:
        database.execute("PRAGMA writable_schema = ON")
        split = "tokenize='porter unicode61 remove_diacritics 2'"
        older = f"CREATE VIRTUAL TABLE words USING fts5(context, text, content='', {split})"
        database.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'words'", (older,))
        database.commit()
    mutations.seal(bundle)
    assert mutations.outcome(bundle, "an older tokenizer", "search").kind == "answered"


def test_compat_of_a_wrong_type_is_no_end_of_doctor(bundle: Path) -> None:
    data = json.loads((bundle / "manifest.json").read_text())
    data["compat"] = {"proved_with": ["numpy"], "provider": 3}
    (bundle / "manifest.json").write_text(json.dumps(data))
    assert mutations.outcome(bundle, "compat", "doctor").held
    assert mutations.outcome(bundle, "compat", "info").kind == "answered"


# --- the graph ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f16", "i8"])
def test_any_damaged_number_of_a_graph_is_found_before_usearch_follows_it(
    dtype: Any, tmp_path: Path
) -> None:
    """A graph of three levels passes as it is; with one of its structure's bytes set to 255 it does
    not, or means the same to usearch: a neighbour that is another node, or a number that is not
    read."""
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((600, 16)).astype(np.float32)
    index = new_graph(16, dtype, lookups=False, connectivity=4)
    index.add(np.arange(600), encode(vectors, dtype), threads=1)
    index.save(str(tmp_path / "x.usearch"))
    data = (tmp_path / "x.usearch").read_bytes()
    width = encode(vectors, dtype)[0].nbytes

    def check(changed: bytes, end: int = 600) -> bool:
        try:
            check_graph(changed, tmp_path, dim=16, dtype=dtype, end=end)
        except BundleCorrupt:
            return False
        return True

    assert check(data)
    structure = 8 + 600 * width
    refused = 0
    for at in rng.integers(structure, len(data), 400).tolist():
        changed = bytearray(data)
        changed[at] = 255
        refused += not check(bytes(changed))
    assert refused > 200  # unused room for neighbours is not read
    assert not check(data[:-1]) and not check(b"") and not check(data + b"\0")
    assert not check(data, end=599)  # a key of another library


# --- settings -------------------------------------------------------------------------------------


def test_settings_are_held_to_their_types() -> None:
    golden = {"question": "a", "answer": "b", "refused": False, "document": None}
    assert typed(Golden, golden).document is None
    for wrong in ({"refused": 1}, {"document": []}, {"question": None}, {"more": 1}):
        with pytest.raises(TypeError, match=next(iter(wrong))):
            typed(Golden, {**golden, **wrong})
    with pytest.raises(TypeError, match="want an object"):
        typed(Golden, [])


# --- this machine, and our own mistakes -----------------------------------------------------------


@pytest.mark.parametrize("guard", [untrusted, reading])
@pytest.mark.parametrize(
    "error",
    [
        MemoryError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        sqlite3.OperationalError("out of memory"),
        RuntimeError("can't start new thread"),
        RuntimeError("bad allocation"),
        OSError("libonnxruntime.so: failed to map segment from shared object"),  # of ctypes
        ImportError("PLEASE READ THIS\n\n libx.so: failed to map segment from shared object"),
    ],
)
def test_a_shortage_of_memory_is_no_damage_of_the_bundle(
    guard: Any, error: Exception, tmp_path: Path
) -> None:
    with (
        pytest.raises(OutOfMemory, match="this machine has too little memory") as raised,
        guard(tmp_path),
    ):
        raise error
    assert not isinstance(raised.value, BundleError)
    assert "device.ram_mb" in str(raised.value) and "copy" not in str(raised.value)
    assert "PLEASE" not in str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        AttributeError("no such thing"),
        TypeError("wants a number"),
        RuntimeError("dictionary changed size during iteration"),
        AssertionError(),
        KeyError("a"),
        sqlite3.ProgrammingError("Incorrect number of bindings supplied"),
    ],
)
def test_a_bug_of_ours_is_no_damage_of_the_bundle(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as raised, reading(tmp_path):
        raise error
    assert raised.value is error


def _limited(megabytes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `fieldpack` with a limit on its address space."""
    script = f'ulimit -v {megabytes * 1000} && exec "$@"'
    command = python("-m", "fieldpack_app.cli", *arguments, "--threads", "1")
    return subprocess.run(
        ["sh", "-c", script, "sh", *command], capture_output=True, text=True, timeout=120
    )


def test_a_process_that_may_take_too_little_memory_says_that(sealed: Path) -> None:
    """It said that the bundle should be copied again. The limit is searched for: from where no
    library can be loaded up to where the answer comes, nothing is called damaged."""
    said = ""
    for megabytes in range(200, 4000, 200):
        done = _limited(megabytes, "ask", str(sealed), QUESTION)
        if done.returncode == 0:
            break
        if done.returncode > 0 and "fieldpack: " in done.stderr:  # else a library aborted
            assert done.returncode == 1, done.stderr
            assert "this machine has too little memory" in done.stderr, done.stderr
            said = done.stderr
    assert done.returncode == 0 and said


def test_arguments_are_looked_at_before_the_bundle_is(expert: Expert) -> None:
    with pytest.raises(TypeError, match="integer"):
        expert.search("x", k=2.5)  # type: ignore[arg-type]
    for k in (0, MAX_PASSAGES + 1, 10**20):
        with pytest.raises(ValueError, match=f"k must be 1 to {MAX_PASSAGES:,}"):
            expert.search("x", k=k)
    for chunk in (-1, 1 << 62, 10**30):
        with pytest.raises(NoSuchPassage):
            expert.passage(chunk)
    for ask in (
        lambda: expert.chunks("\udce9"),
        lambda: expert.search("x", where=Filter(documents=("\udce9",))),
    ):
        with pytest.raises(QuestionError, match="is no text"):
            ask()
    assert expert.search(QUESTION, k=MAX_PASSAGES) and not expert.damaged


@pytest.mark.parametrize(
    "error", [QuestionError("ask otherwise"), KeyboardInterrupt(), EOFError("nobody there")]
)
def test_an_error_that_no_file_causes_passes(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)), untrusted(tmp_path):
        raise error


# --- verified, then used --------------------------------------------------------------------------


def _with_other_texts(bundle: Path) -> Path:
    """A library of the same shape beside the bundle, that says something else."""
    other = Path(shutil.copy(bundle / "knowledge" / CHUNKS, bundle.parent / "other.sqlite"))
    with closing(sqlite3.connect(other)) as database:
        database.execute("UPDATE chunks SET text = replace(text, '0.85%', '9.99%')")
        database.commit()
    return other


def test_a_library_exchanged_after_it_was_verified_is_not_read(bundle: Path) -> None:
    other = _with_other_texts(bundle)
    with fieldpack.open(bundle, threads=1) as expert:
        os.utime(other, ns=((bundle / "knowledge" / CHUNKS).stat().st_mtime_ns,) * 2)
        other.replace(bundle / "knowledge" / CHUNKS)
        for ask in (expert.search, expert.ask, lambda question: list(expert.stream(question))):
            with pytest.raises(
                BundleCorrupt, match=r"chunks\.sqlite: has changed since the bundle was verified"
            ):
                ask(QUESTION)
        assert CHUNKS in expert.damaged


# Everything public of an Expert that reads the bundle, and what reads nothing of it.
_READS: dict[str, Callable[[Expert], Any]] = {
    "ask": lambda expert: expert.ask(QUESTION),
    "chunks": lambda expert: expert.chunks("fees.md"),
    "context": lambda expert: expert.context(1),
    "count_embedded_tokens": lambda expert: expert.count_embedded_tokens(["a"]),
    "count_tokens": lambda expert: expert.count_tokens("a"),
    "documents": lambda expert: expert.documents(),
    "embed": lambda expert: expert.embed(["a"]),
    "languages": lambda expert: expert.languages,
    "load": lambda expert: expert.load(),
    "open_original": lambda expert: expert.open_original(_DIGEST),
    "original_of": lambda expert: expert.original_of("fees.md"),
    "passage": lambda expert: expert.passage(1),
    "read_ahead": lambda expert: expert.read_ahead(QUESTION),
    "runs_on": lambda expert: expert.runs_on,
    "search": lambda expert: expert.search(QUESTION),
    "stream": lambda expert: list(expert.stream(QUESTION)),
}
_READS_NOTHING = {"borrow_models", "close", "damaged", "runs_on_because", "withdraw"}
_DIGEST = "0" * 64


@pytest.mark.parametrize("used", [False, True], ids=["before its first use", "while it is open"])
def test_a_library_that_became_no_library_is_said_to_be_damaged_by_every_method(
    used: bool, bundle: Path
) -> None:
    """`chunks` raised SQLite's own error, `count_embedded_tokens` read on."""
    public = {name for name in dir(Expert) if not name.startswith("_")}
    assert public == _READS.keys() | _READS_NOTHING
    with_original = bundle / "originals" / f"{_DIGEST}.pdf"
    with_original.parent.mkdir()
    with_original.write_bytes(b"%PDF-1.4\n")
    fakes.reseal(bundle)
    path = bundle / "knowledge" / CHUNKS
    good = path.read_bytes()
    for name, read in _READS.items():
        path.write_bytes(good)
        with fieldpack.open(bundle, threads=1) as expert:
            if used:
                assert expert.documents()
            path.write_bytes(b"no library" * 1000)
            with pytest.raises(BundleCorrupt):
                read(expert)
                pytest.fail(f"{name} read a library that is none")


def test_an_encoder_exchanged_while_the_library_is_open_is_not_used(bundle: Path) -> None:
    """It is loaded at the first question, long after the rest."""
    with fieldpack.open(bundle, threads=1) as expert:
        assert expert.documents()
        path = bundle / "embedder" / "model.onnx"
        path.write_bytes(path.read_bytes()[::-1])
        with pytest.raises(BundleCorrupt, match="has changed"):
            expert.search(QUESTION)


def test_a_file_that_was_linked_or_copied_over_by_its_like_is_still_right(bundle: Path) -> None:
    with fieldpack.open(bundle, threads=1) as expert:
        assert expert.search(QUESTION)
        path = bundle / VECTORS
        os.link(path, bundle.parent / "linked")
        assert expert.search(QUESTION)
        shutil.copy(path, bundle.parent / "copied")
        (bundle.parent / "copied").replace(path)
        assert expert.search(QUESTION) and not expert.damaged


def test_a_server_that_loses_its_bundle_says_so_and_goes_on_with_others(
    bundle: Path, sealed: Path, tmp_path: Path
) -> None:
    """A mapped file cut off under the server ended it with SIGBUS."""
    data = (bundle / VECTORS).read_bytes()
    with serving.served([bundle, sealed], tmp_path / "state") as server, server.client() as client:
        ask = {"question": QUESTION}
        assert client.get("/api/search", params={"q": QUESTION}).status_code == 200
        (bundle / VECTORS).write_bytes(b"")
        lost = client.get("/api/search", params={"q": QUESTION})
        assert (
            lost.status_code == 409
            and "vectors.bin: has changed" in lost.json()["error"]["message"]
        )
        events = list(serving.events_of(client.post("/api/ask", json=ask)))
        assert events[-1][0] == "error" and events[-1][1]["code"] == "bundle_damaged"
        health = client.get("/health")
        assert (health.status_code, health.json()) == (503, {"status": "damaged"})
        one, other = (bundle["id"] for bundle in client.get("/api/bundles").json()["bundles"])
        assert client.post("/api/bundles/current", json={"id": one}).status_code == 409
        assert client.post("/api/bundles/current", json={"id": other}).status_code == 200
        assert list(serving.events_of(client.post("/api/ask", json=ask)))[-1][0] == "done"
        assert client.get("/health").json() == {"status": "ok"}
        (bundle / VECTORS).write_bytes(data)
        assert client.post("/api/bundles/current", json={"id": one}).status_code == 200
        assert client.get("/api/search", params={"q": QUESTION}).status_code == 200


def test_a_server_whose_bundle_was_taken_away_says_so_wherever_it_is_asked(
    bundle: Path, tmp_path: Path
) -> None:
    (bundle / "report" / "report.html").write_text("<h1>Measured</h1>")
    fakes.reseal(bundle)
    with serving.served([bundle], tmp_path / "state") as server, server.client() as client:
        shutil.rmtree(bundle)
        for path in (
            "/v1/models",
            "/report",
            "/api/about",
            "/api/search?q=zebra",
            "/api/passages/1",
        ):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"][:7]) == (409, "bundle_"), (
                path
            )


def test_ctrl_c_is_heard_while_sqlite_works(sealed: Path) -> None:
    """A statement that would take for ever ends at its limit, and before at Ctrl-C."""
    code = """if True:
        import sys, time
        from pathlib import Path
        from fieldpack.index.schema import open_for_reading
        from fieldpack.untrusted import untrusted
        path = Path(sys.argv[1])
        database = open_for_reading(path)
        if sys.argv[2] == "for ever":
            database.most_steps = 1 << 60
        print("begun", flush=True)
        with untrusted(path):
            list(database.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"))
    """
    path = str(sealed / "knowledge" / CHUNKS)
    ended = subprocess.run(
        python("-c", code, path, "limited"), capture_output=True, text=True, timeout=300
    )
    assert "BundleCorrupt" in ended.stderr and "interrupted" in ended.stderr
    command = python("-c", code, path, "for ever")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout and child.stdout.readline() == "begun\n"
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=120)
        assert stderr.rstrip().endswith("KeyboardInterrupt")


def test_the_build_s_own_expert_raises_what_is_raised(bundle: Path) -> None:
    """It measures what has just been made, from a folder that nobody sealed: its errors are no
    damage of a bundle."""
    (bundle / "more").write_text("not in the manifest")
    own = Expert(bundle, fieldpack.read_manifest(bundle), Device("cpu", 1))
    assert own.search(QUESTION) and not own.damaged
    own.close()
    (bundle / "retrieval.json").write_text('{"weight": 0.5}')
    (bundle / VECTORS).unlink()
    with pytest.raises(BundleCorrupt, match=r"vectors\.bin is missing"):
        own.search(QUESTION)


def test_a_merge_that_never_ends_is_refused(bundle: Path) -> None:
    path = bundle / "model" / "tokenizer.json"
    data = json.loads(path.read_text())
    data["model"]["merges"][3] = ""
    path.write_text(json.dumps(data))
    mutations.seal(bundle)
    found = mutations.outcome(bundle, "an empty merge", "ask")
    assert found.kind == "refused" and "holds an empty merge" in found.says


# --- where it lies and where its words go ---------------------------------------------------------


def test_a_path_that_is_no_utf_8_is_named(bundle: Path) -> None:
    """The engines take none: it was a traceback."""
    named = os.fsdecode(os.fsencode(bundle.parent) + b"/b\xff")
    Path(bundle).rename(named)
    found = mutations.outcome(Path(named), "the path", "search")
    assert found.kind == "refused" and "the path is no UTF-8" in found.says


@pytest.mark.parametrize(
    "command", [["search", "A class"], ["ask", "A class"], ["info"], ["verify"]]
)
def test_a_closed_stdout_is_no_traceback(command: list[str], sealed: Path) -> None:
    arguments = python("-m", "fieldpack_app.cli", command[0], str(sealed), *command[1:])
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *arguments], stderr=subprocess.PIPE, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, b"")
