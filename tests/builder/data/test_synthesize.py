"""Rows written from documents by a model: a served one (a real server, in the form that OpenAI's
has) and a local one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import checkpoints
import fakes
from fieldpack.passages import Chunk
from fieldpack_build.data.training_rows import examples_of
from fieldpack_build.errors import CheckFailed, SourceError
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.rehearse import rehearse
from fieldpack_build.stages import synthesize
from fieldpack_build.stages.table import make_plan
from fieldpack_build.synthesis import prompts
from fieldpack_build.synthesis.endpoint import TRIES, Endpoint
from fieldpack_build.synthesis.filter import QualityFilter
from fieldpack_build.synthesis.response_cache import JOURNAL, ResponseCache
from shelf import Shelf

pytest_plugins = ["shelf"]

KEY = "sk-not-to-be-seen"
DOCUMENTS = {
    "anchor.md": (
        "# Anchor\n\nThe anchor weighs 40 kilograms and lies in the bow locker under the hatch.\n"
    ),
    "ballast.md": (
        "# Ballast\n\nThe ballast is 900 kilograms of lead, and a diver inspects it every fourth "
        "summer in June.\n"
    ),
    "compass.md": (
        "# Compass\n\nThe compass is swung each spring by an adjuster, who writes its card of "
        "deviation.\n"
    ),
    "davits.md": (
        "# Davits\n\nThe davits carry 250 kilograms each, and their wires are renewed after five "
        "years of service.\n"
    ),
    "engine.md": (
        "# Engine\n\nThe engine burns 4 litres of diesel an hour, and its oil is changed after 150 "
        "hours.\n"
    ),
    "flares.md": (
        "# Flares\n\nFlares are kept dry in the orange barrel, and all older than three years are "
        "handed in.\n"
    ),
}


class Server:
    """Answers as `reply` says: a prompt -> a text, or (status, headers, body). `seen`: (prompt,
    headers) of every request."""

    def __init__(self, reply: Callable[[str], Any]) -> None:
        self.reply, self.seen = reply, list[tuple[str, dict[str, str]]]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.path == "/v1/chat/completions" and body["model"] == "writer"
                prompt = body["messages"][0]["content"]
                outer.seen.append((prompt, dict(self.headers)))
                answer = outer.reply(prompt)
                if isinstance(answer, str):
                    body = {"choices": [{"message": {"role": "assistant", "content": answer}}]}
                    answer = (200, {}, json.dumps(body).encode())
                status, headers, data = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str], Any]], Server]]:
    servers: list[Server] = []

    def start(reply: Callable[[str], Any]) -> Server:
        servers.append(Server(reply))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def good(prompt: str) -> str:
    """The passage's sentence as the answer."""
    title, text = re.search(r'Passage, from "(.*?)":\n(.*)', prompt, re.S).groups()  # type: ignore[union-attr]
    return f"Sure!\n\nQ: What do you know of the {title.lower()} on board?\nA: {text.strip()}\n"


@pytest.fixture
def written(shelf: Shelf) -> Shelf:
    """A library, and a recipe that may let a model write rows."""
    for name, text in DOCUMENTS.items():
        shelf.write(name, text)
    checkpoints.write_folder(shelf.folder / "nothing")
    (shelf.folder / "q.jsonl").write_text('{"question": "Who renews the wires?", "answer": null}\n')
    return shelf


def overrides(url: str, **more: object) -> list[str]:
    settings = {"url": url, "name": "writer", "rows": 50, "per_chunk": 1, "workers": 1, **more}
    return [
        "train.method=lora",
        "evaluate.questions=q.jsonl",
        f"train.synthesize={json.dumps(settings)}",
    ]


def write_rows(
    shelf: Shelf, *settings: str, out: str = "out", previous: Path | None = None
) -> tuple[dict[str, Any], list[Any]]:
    """The stage in this process -> what it says, and the rows."""
    knowledge = shelf.folder / "knowledge"
    if not knowledge.exists():
        shelf.make(knowledge)
    folder = shelf.folder / out
    folder.mkdir(exist_ok=True)
    recipe = shelf.recipe(*settings)
    inputs = {"embedder": shelf.embedder(), "knowledge": knowledge}
    result = synthesize.run(Task(recipe, inputs, folder, shelf.store, {}, previous_output=previous))
    return result, [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


# --- a served model -------------------------------------------------------------------------------


def test_rows_are_written_from_every_document(
    written: Shelf, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRITER_KEY", KEY)
    server = serve(good)
    result, rows = write_rows(written, *overrides(server.url, key_env="WRITER_KEY"))
    assert (result["rows"], result["asked"], result["dropped"]) == (6, 6, {})
    assert {row["document"] for row in rows} == set(DOCUMENTS)
    assert rows[0]["answer"] in DOCUMENTS[rows[0]["document"]]
    assert {headers["Authorization"] for _, headers in server.seen} == {f"Bearer {KEY}"}
    left = [path for path in (written.folder / "out").iterdir() if KEY in path.read_text()]
    assert not left, "the key was written down"
    recipe = written.recipe(*overrides(server.url))
    assert [e.question for e in examples_of(recipe, written.folder / "out")] == [
        row["question"] for row in rows
    ]


def test_what_is_not_good_is_dropped_and_counted(written: Shelf, serve: Any) -> None:
    def reply(prompt: str) -> str:
        pair = good(prompt)
        for word, bad in {
            "Anchor": "I cannot.",
            "Ballast": pair.replace("900", "950"),
            "Compass": "Q: What does the passage say of it?\nA: x y",
            "Davits": "Q: who renews the WIRES\nA: They are renewed after five years of service.",
            "Engine": "Q: What?\nA: 4 litres of diesel an hour.",
        }.items():
            if f'from "{word}' in prompt:
                return bad
        return pair

    result, rows = write_rows(written, *overrides(serve(reply).url))
    assert [row["document"] for row in rows] == ["flares.md"]
    reasons = (
        "reply that cannot be read",
        "answer not in its chunk",
        "points to the passage",
        "is a test question",
    )
    assert result["dropped"] == dict.fromkeys((*reasons, "no question"), 1)


def test_a_busy_server_is_asked_again(written: Shelf, serve: Any) -> None:
    busy = [(429, {"Retry-After": "0"}, b"{}"), (503, {"Retry-After": "0"}, b"busy")]
    server = serve(lambda prompt: busy.pop(0) if busy else good(prompt))
    result, _ = write_rows(written, *overrides(server.url))
    assert result["rows"] == 6 and len(server.seen) == 8 and server.seen[0][0] == server.seen[2][0]


def test_a_refusal_of_the_server_is_told(written: Shelf, serve: Any) -> None:
    server = serve(lambda prompt: (401, {}, b'{"error": {"message": "No such key."}}'))
    with pytest.raises(SourceError) as caught:
        write_rows(written, *overrides(server.url))
    assert (
        str(caught.value)
        == f"{server.url}/chat/completions: 401 Unauthorized: No such key.; is the key right?"
    )
    assert len(server.seen) == 1
    with pytest.raises(
        SourceError, match="answers, but not as an OpenAI-compatible address does: '<html>'"
    ):
        write_rows(written, *overrides(serve(lambda prompt: (200, {}, b"<html>")).url))


def test_patience_ends(serve: Any) -> None:
    waits: list[float] = []
    server = serve(lambda prompt: (503, {}, b""))
    ask = Endpoint(
        server.url, "writer", None, temperature=0, seed=1, workers=1, timeout=5, sleep=waits.append
    )
    with pytest.raises(
        SourceError, match=f"503 Service Unavailable, {TRIES} times; replies so far are kept"
    ):
        ask.write(["?"], 8)
    assert waits == [1, 2, 4, 8, 16, 32] and len(server.seen) == TRIES
    server.close()
    with pytest.raises(SourceError, match="Connection refused"):
        ask.write(["?"], 8)


def test_questions_without_an_answer_are_judged_by_what_is_retrieved(
    written: Shelf, serve: Any
) -> None:
    def reply(prompt: str) -> str:
        if prompt.startswith("Do the passages"):
            return "None." if "Who painted" in prompt else "It is 40 kilograms."
        title = re.search(r'from "(\w+)', prompt)
        assert title
        if "does not answer" not in prompt:
            return good(prompt)
        return (
            f"Q: Who {'painted' if title[1] in 'AnchorBallast' else 'weighed'} the "
            f"{title[1].lower()} last year?"
        )

    result, rows = write_rows(written, *overrides(serve(reply).url, rows=4, unanswerable=0.5))
    refused = [row for row in rows if row["answer"] is None]
    assert sorted(row["question"] for row in refused) == [
        "Who painted the anchor last year?",
        "Who painted the ballast last year?",
    ]
    assert (
        {row["document"] for row in refused} == {None}
        and result["refusals"] == 2
        and result["rows"] == 4
    )
    assert 0 < result["dropped"]["answered by the library after all"] <= 4


def test_rows_more_or_kept_otherwise_ask_only_what_was_never_asked(
    written: Shelf, serve: Any
) -> None:
    server = serve(good)
    first, rows = write_rows(written, *overrides(server.url, rows=2))
    assert (first["rows"], len(server.seen)) == (2, 2)
    more, again = write_rows(
        written, *overrides(server.url, support=0.9), out="more", previous=written.folder / "out"
    )
    assert (more["rows"], more["asked"], more["replies_kept"], len(server.seen)) == (6, 4, 2, 6)
    assert again[:2] == rows


def test_killed_it_goes_on_where_it_was(written: Shelf, serve: Any) -> None:
    gate = threading.Event()

    def reply(prompt: str) -> str:
        if len(server.seen) > 3:
            gate.wait(600)
        return good(prompt)

    server = serve(reply)
    assert written.command().returncode == 0  # the knowledge
    settings = [word for setting in overrides(server.url) for word in ("--set", setting)]
    line = [
        sys.executable,
        "-m",
        "fieldpack_build.cli",
        "recipe",
        "shelf.yaml",
        "--cache",
        str(written.cache),
        *settings,
    ]
    line += ["--only", "synthesize", "--json"]
    build = subprocess.Popen(
        line, cwd=written.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 300
    while len(server.seen) < 4 and time.monotonic() < deadline:
        assert build.poll() is None, build.communicate()[1]
        time.sleep(0.05)
    os.kill(build.pid, signal.SIGKILL)
    build.wait(120)
    gate.set()
    done = subprocess.run(line, cwd=written.folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    step = make_plan(written.recipe(*overrides(server.url)), written.store).step("synthesize")
    assert step and step.receipt
    assert step.receipt.result["rows"] == 6 and step.receipt.result["replies_kept"] == 3
    prompts_sent = [prompt for prompt, _ in server.seen]
    assert len(prompts_sent) == 7 and len(set(prompts_sent)) == 6, (
        "only the reply that never came was asked for again"
    )


# --- a local model --------------------------------------------------------------------------------


def test_a_local_model_writes_and_its_nonsense_is_dropped(written: Shelf) -> None:
    fakes.write_tiny_model(written.folder / "writer", "llama")
    local = ["train.method=lora", 'train.synthesize={"model": "writer", "rows": 3, "per_chunk": 1}']
    with pytest.raises(CheckFailed) as caught:
        write_rows(written, *local)
    assert "no row was kept of what the model wrote (6 reply that cannot be read)" in str(
        caught.value
    )
    replies = (written.folder / "out" / "journal.jsonl").read_text()
    assert len(replies.splitlines()) == 7  # a blank one, and six
    (written.folder / "again").mkdir()
    with pytest.raises(CheckFailed):
        write_rows(written, *local, out="again")
    assert (written.folder / "again" / "journal.jsonl").read_text() == replies


def test_a_rehearsal_asks_twice_and_has_rows(written: Shelf, serve: Any) -> None:
    server = serve(lambda prompt: "Nothing.")
    shelf_recipe = written.recipe
    written.recipe = lambda *settings: rehearse(shelf_recipe(*settings))  # type: ignore[method-assign]
    result, rows = write_rows(written, *overrides(server.url))
    assert result["rows"] == len(rows) == 4 and len(server.seen) == 2


# --- without a model ------------------------------------------------------------------------------


def chunk(document: str, place: int, words: int = 20) -> tuple[int, Chunk]:
    return place, Chunk(document, document, None, (), place, place + 1, "word " * words)


def test_no_document_has_many_more_rows_than_another() -> None:
    chunks = (
        [chunk("long", i) for i in range(50)]
        + [chunk("short", 50 + i) for i in range(3)]
        + [chunk("heading", 60, 2)]
    )
    plan = prompts.plan_chunks(chunks, {51}, seed=1)
    assert len(plan) == 52 and sorted(c.document for c in plan[:4]) == [
        "long",
        "long",
        "short",
        "short",
    ]
    assert (
        plan
        == prompts.plan_chunks(chunks, {51}, seed=1)
        != prompts.plan_chunks(chunks, {51}, seed=2)
    )


@pytest.mark.parametrize(
    "reply",
    [
        "Q: Who?\nA: Ann.\n\nQ: Why?\nA: Because\nof it.",
        "Here you are:\n\n**Q:** Who?\n**A:** Ann.\n\n**Q**: Why?\n**A**: Because of it.",
        "1. Question: Who?\n   Answer: Ann.\n2. Question: Why?\n   Answer: Because of it.",
        "Q1: Who?\nA1: Ann.\nQ2: Why?\nA2: Because of it.\n\nI hope this helps.",
        (
            '```json\n[{"question": "Who?", "answer": "Ann."}, {"question": "Why?", "answer": "Because '
            'of it."}]\n```'
        ),
        "<think>Q: No?\nA: No.</think>\nQ: Who?\nA: Ann.\nQ: Why?\nA: Because of it.\nQ: And?",
    ],
)
def test_a_reply_is_read_as_models_write_them(reply: str) -> None:
    assert prompts.read_pairs(reply) == [("Who?", "Ann."), ("Why?", "Because of it.")]


def test_half_a_character_in_a_reply_is_no_row_and_no_crash(tmp_path: Path) -> None:
    pair = {"question": "What is it?", "answer": "It is 4 \ud83d"}
    assert prompts.read_pairs(json.dumps([pair])) == []
    assert prompts.read_pairs(json.dumps([{**pair, "answer": "4"}])) == [("What is it?", "4")]

    class Cut:
        group = 1

        def write(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
            return ["It is \ud83d"]

    replies = ResponseCache(tmp_path, None, "lineage", "model", Cut())
    assert replies.replies(["?"], 8) == ["It is ?"]
    replies.close()
    assert (
        json.loads((tmp_path / JOURNAL).read_text(encoding="utf-8").splitlines()[-1])["text"]
        == "It is ?"
    )


def test_braces_in_a_passage_stay() -> None:
    one = Chunk("a", "A {count}", None, (), 0, 9, "{passage} {title} {x}")
    assert (
        prompts.prompt_of("{count} of {title}: {passage}", one, 2)
        == "2 of A {count}: {passage} {title} {x}"
    )


def test_a_question_that_finds_another_document_is_dropped() -> None:
    one = Chunk("a.md", "A", None, (), 0, 9, "It costs 4 euros a year.")
    sieve = QualityFilter(
        support=0.7,
        max_words=20,
        existing=[("What is it?", "It is 4.")],
        tested=[],
        search=lambda question, k: [],
    )
    assert not sieve.keeps("What does it cost?", "It costs 4 euros.", one)
    assert not sieve.keeps("What is IT", "It costs 4 euros.", one)
    assert sieve.dropped == {"does not find its document": 1, "asked before": 1}
