"""The page's API through a real server: what is answered, and in which order; what is written down."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

import fakes
from fieldpack.passages import Chunk
from fieldpack.prompt import read_prompt, write_prompt
from fieldpack.retrieval.quoting import QuoteSettings
from fieldpack_app.server.routes.static import PAGE
from fieldpack_app.server.settings import Limits
from serving import Served, events_of, paced, served, wait_for

QUESTION = "What does the A class of the Global Equity Fund cost a year?"


@pytest.fixture(scope="module")
def server(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served([sealed], tmp_path_factory.mktemp("home") / "state") as running:
        yield running


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def ask(client: httpx.Client, **fields: Any) -> list[tuple[str, Any]]:
    """The events of an answer, without the heartbeats that a slow machine gets between them."""
    with client.stream("POST", "/api/ask", json={"question": QUESTION, **fields}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [event for event in events_of(response) if event != ("", None)]


# --- answers --------------------------------------------------------------------------------------


def test_an_answer_comes_in_order(client: httpx.Client) -> None:
    events = ask(client)
    names = [name for name, _ in events]
    assert names[:2] == ["queued", "passages"] and names[-1] == "done"
    assert set(names[2:-1]) == {"text"}
    assert events[0][1] == {"position": 0}
    passages, done = events[1][1], events[-1][1]
    assert passages[0]["place"] == "fees.pdf, page 1"
    assert done["passages"] == passages and done["question"] == done["asked"] == QUESTION
    assert "".join(data["text"] for name, data in events if name == "text").strip()
    for citation in done["citations"]:
        cited = passages[citation["passage"] - 1]
        assert (citation["place"], citation["chunk_id"]) == (cited["place"], cited["chunk_id"])


def test_a_follow_up_goes_on_from_the_answer_before(client: httpx.Client) -> None:
    first = ask(client)[-1][1]
    previous = {
        "question": first["asked"],
        "passages": [passage["chunk_id"] for passage in first["passages"]],
    }
    after = ask(client, question="And the I class?", previous=previous)[-1][1]
    assert after["asked"] == f"{QUESTION} And the I class?"
    assert (
        ask(client, question="And the I class?", previous=None)[-1][1]["asked"]
        == "And the I class?"
    )


def test_documents_narrow_the_answer(client: httpx.Client) -> None:
    passages = ask(client, documents=["pump.*"])[1][1]
    assert {passage["document"] for passage in passages} == {"pump.md"}


@pytest.mark.parametrize(
    "previous",
    [
        5,
        [],
        {},
        {"question": 5},
        {"question": "a", "passages": "1"},
        {"question": "a", "passages": [True]},
    ],
)
def test_what_is_no_answer_before(client: httpx.Client, previous: object) -> None:
    response = client.post("/api/ask", json={"question": QUESTION, "previous": previous})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_request")


def test_a_quote_comes_before_the_words_of_a_model_or_is_the_answer(
    bundle: Path, tmp_path: Path
) -> None:
    chat, settings = read_prompt(bundle)
    write_prompt(bundle, chat, replace(settings, quoting=QuoteSettings()))
    fakes.reseal(bundle)
    with served([bundle], tmp_path / "state") as server, server.client() as client:
        events = ask(client)
    names = [name for name, _ in events]
    assert names[1:3] == ["passages", "quote"] and names.count("quote") == 1
    quote, done = events[2][1], events[-1][1]
    assert done["kind"] == "written" and done["quote"] == quote
    passage = done["passages"][quote["passage"] - 1]
    assert quote["quote"] in passage["text"] and quote["document"] == passage["document"]

    shutil.rmtree(bundle / "model")
    fakes.reseal(bundle)
    with served([bundle], tmp_path / "state") as server, server.client() as client:
        events = ask(client)
        assert [name for name, _ in events if name != "queued"] == ["passages", "text", "done"]
        assert (
            events[-1][1]["kind"] in ("quote", "related")
            and events[-1][1]["timings"]["tokens"] == 0
        )
        message = {"model": "tiny-1.0.0", "messages": [{"role": "user", "content": QUESTION}]}
        reply = client.post("/v1/chat/completions", json=message).json()
        assert reply["choices"][0]["message"]["content"] == events[-1][1]["answer"]
        assert reply["usage"]["completion_tokens"] == 0
        assert client.get("/api/about").status_code == 200


# --- the library ----------------------------------------------------------------------------------


def test_search(client: httpx.Client) -> None:
    best, *rest = client.get("/api/search", params={"q": "zz zone zz", "k": 2}).json()
    assert (best["place"], len(rest)) == ("fees.pdf, page 2", 1)
    lit = [best["text"][start:end] for start, end in best["highlights"]]
    assert lit == ["zone", "zz", "zz"]
    for params, status in (
        ({"q": "a", "k": "0"}, 400),
        ({"q": "a", "k": "51"}, 400),
        ({"q": "a", "k": "²"}, 400),
        ({}, 422),
    ):
        assert client.get("/api/search", params=params).status_code == status


def test_a_passage_where_it_stands(client: httpx.Client) -> None:
    found = client.get("/api/search", params={"q": "zz zone zz", "k": 1}).json()[0]
    context = client.get(f"/api/passages/{found['chunk_id']}", params={"end": found["end"]}).json()
    assert context["text"] == found["text"] and context["place"] == "fees.pdf, page 2"
    assert {"before", "after", "start", "end", "heading"} <= set(context)
    for name, status in (("99", 404), ("9" * 30, 400), ("-1", 400), ("x", 400), ("1%00", 400)):
        assert client.get(f"/api/passages/{name}").status_code == status
    assert client.get("/api/passages/99").json()["error"]["code"] == "no_such_passage"


def test_about(client: httpx.Client) -> None:
    about = client.get("/api/about").json()
    assert (about["id"], about["name"], about["report"]) == ("tiny-1.0.0", "tiny", False)
    assert about["guarantee"] == {}
    assert about["knowledge"]["documents"] == 3 and about["runtime"]["onnxruntime"]
    response = client.get("/report")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "no_report")


def test_the_report_is_shut_in(bundle: Path, tmp_path: Path) -> None:
    html = "<!doctype html><style>b{}</style><script>alert(1)</script>"
    (bundle / "report" / "report.html").write_text(html)
    (bundle / "report" / "report.json").write_text(
        json.dumps(
            {"shipped": "tuned", "arms": {"tuned": {"f1": 0.5}}, "guarantee": {"questions": 40}}
        )
    )
    fakes.reseal(bundle)
    with served([bundle], tmp_path / "state") as server, server.client() as client:
        response = client.get("/report")
        assert (
            response.text == html and response.headers["content-type"] == "text/html; charset=utf-8"
        )
        policy = response.headers["content-security-policy"]
        assert policy.startswith("sandbox; default-src 'none'") and "script" not in policy
        about = client.get("/api/about").json()
        assert (about["report"], about["measured"]) == (True, {"f1": 0.5})
        assert about["guarantee"] == {"questions": 40}


def test_the_page_s_files(client: httpx.Client) -> None:
    assert client.get("/").text == (PAGE / "index.html").read_text("utf-8")
    for path in (path for path in PAGE.rglob("*") if path.is_file()):
        response = client.get(f"/static/{path.relative_to(PAGE).as_posix()}")
        assert response.content == path.read_bytes()
    assert (
        client.get("/static/js/app.js").headers["content-type"] == "text/javascript; charset=utf-8"
    )
    assert client.get("/static/css/app.css").headers["content-type"] == "text/css; charset=utf-8"


def test_odd_text_in_a_request_comes_back_as_it_was(client: httpx.Client) -> None:
    body = b'{"id": "\\ud800"}'
    response = client.post(
        "/api/bundles/current", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 404 and "\ud800" in response.json()["error"]["message"]


def test_metrics(client: httpx.Client) -> None:
    before = figures(client)
    ask(client)
    ask(client, question="東京")
    after = figures(client)
    grown = {name: after[name] - before[name] for name in after}
    assert grown["fieldpack_answered_total"] == 1 and grown["fieldpack_refused_total"] == 1
    assert grown["fieldpack_answer_tokens_total"] > 0
    assert (
        grown["fieldpack_answer_seconds_count"]
        == grown['fieldpack_answer_seconds_bucket{le="+Inf"}']
        == 2
    )
    assert after["process_resident_memory_bytes"] > 1e7 and after["fieldpack_queue_length"] == 0


def figures(client: httpx.Client) -> dict[str, float]:
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [
        line.rpartition(" ") for line in response.text.splitlines() if not line.startswith("#")
    ]
    return {name: float(value) for name, _, value in lines}


def test_what_the_library_holds(client: httpx.Client) -> None:
    documents = client.get("/api/documents").json()
    assert [one["document"] for one in documents] == ["fees.pdf", "pump.md", "rules.txt"]
    assert documents[0]["title"] == "Fees 2025" and documents[0]["pages"] == 2
    passages = client.get("/api/passages", params={"document": "fees.pdf"}).json()
    assert [one["place"] for one in passages] == ["fees.pdf, page 1", "fees.pdf, page 2"]
    assert "0.85%" in client.get(f"/api/passages/{passages[0]['chunk_id']}").json()["text"]
    missing = client.get("/api/passages", params={"document": "../fees.pdf"})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "no_document")


# --- what is written down -------------------------------------------------------------------------


def notes(server: Served) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in (server.state / "feedback.jsonl").read_text("utf-8").splitlines()
    ]


def test_ratings_and_refusals_are_written_for_this_user_alone(sealed: Path, tmp_path: Path) -> None:
    with served([sealed], tmp_path / "deep" / "state") as server, server.client() as client:
        ask(client)
        assert not server.state.exists()  # an answered question is nobody's business
        ask(client, question="東京")
        rated = {
            "question": QUESTION,
            "answer": "0.85%",
            "rating": "up",
            "note": "right\n",
            "passages": [4, 0],
            "cited": 0,
            "refused": False,
        }
        assert client.post("/api/feedback", json=rated).status_code == 204
        unanswered, rating = notes(server)
        assert (unanswered["kind"], unanswered["question"], unanswered["refused"]) == (
            "unanswered",
            "東京",
            True,
        )
        assert (rating["kind"], rating["bundle"]) == ("rating", "tiny-1.0.0")
        assert {name: rating[name] for name in rated} == rated and rating["time"].endswith("+00:00")
        assert stat.S_IMODE((server.state / "feedback.jsonl").stat().st_mode) == 0o600
        assert stat.S_IMODE(server.state.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"rating": "sideways"}, 400),
        ({"rating": None}, 400),
        ({"note": "x" * 2001}, 422),
        ({"answer": "x" * 20_001}, 422),
        ({"passages": ["a"]}, 400),
        ({"refused": "no"}, 400),
        ({"passages": [10**400]}, 400),
        ({"passages": [-1]}, 400),
        ({"passages": [1], "cited": 2}, 400),
        ({"passages": [1], "cited": True}, 400),
        ({"passages": [1], "cited": "1"}, 400),
        ({"answer_id": "a b"}, 400),
        ({"answer_id": "x" * 65}, 400),
        ({"spam": 1}, 400),
        ({"question": None}, 400),
    ],
)
def test_ratings_that_are_none(
    client: httpx.Client, server: Served, change: dict[str, Any], status: int
) -> None:
    rated = {"question": "q", "answer": "a", "rating": "down", **change}
    before = notes(server) if server.state.exists() else []
    assert client.post("/api/feedback", json=rated).status_code == status
    assert (notes(server) if server.state.exists() else []) == before


def test_a_full_file_says_so_and_answers_go_on(sealed: Path, tmp_path: Path) -> None:
    rated = {"question": "q", "answer": "a" * 500, "rating": "down"}
    with (
        served([sealed], tmp_path / "state", limits=Limits(feedback=1500)) as server,
        server.client() as client,
    ):
        statuses = [client.post("/api/feedback", json=rated).status_code for _ in range(3)]
        assert statuses == [204, 204, 503] and len(notes(server)) == 2
        error = client.post("/api/feedback", json=rated).json()["error"]
        assert error["code"] == "notes_full" and "feedback.jsonl" in error["message"]
        assert [ask(client, question="東京")[-1][0] for _ in range(3)] == ["done"] * 3
        assert "fieldpack_notes_lost_total" in client.get("/metrics").text


def test_a_state_folder_that_cannot_be_made(sealed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with served([sealed], tmp_path / "file" / "state") as server, server.client() as client:
        response = client.post(
            "/api/feedback", json={"question": "q", "answer": "a", "rating": "up"}
        )
        assert (response.status_code, response.json()["error"]["code"]) == (503, "notes_lost")
        assert ask(client, question="東京")[-1][1]["refused"] is True


def test_a_bundle_without_documents(exported_llama: Path, tmp_path: Path) -> None:
    bare = fakes.write_bundle(tmp_path / "bare", model=exported_llama, knowledge=False)
    with served([bare], tmp_path / "state", opener=paced(0)) as server, server.client() as client:
        assert ask(client)[-1][1]["passages"] == []
        assert client.get("/api/search", params={"q": "a"}).json() == []
        assert client.get("/api/passages/0").status_code == 404
        assert "knowledge" not in client.get("/api/about").json()
    shutil.rmtree(bare)


def test_what_is_typed_is_read_ahead(server: Served, client: httpx.Client) -> None:
    """The question then has little left to read."""
    assert client.post("/api/load", json={}).status_code == 202
    wait_for(lambda: client.get("/health").json() == {"status": "ok"})
    ask(client, question="When do quiet hours begin?")
    # the client has the answer a moment before the queue is empty, and nothing is read ahead then
    wait_for(lambda: server.application.service.queue.idle)
    assert client.post("/api/load", json={"question": QUESTION[:-1]}).status_code == 202
    server.application.service.thread.submit(lambda: None).result()
    done = ask(client)[-1][1]
    assert done["timings"]["cached_tokens"] > 0.7 * done["timings"]["prompt_tokens"]
    previous = {"question": done["asked"], "passages": [p["chunk_id"] for p in done["passages"]]}
    assert (
        client.post("/api/load", json={"question": "And", "previous": previous}).status_code == 202
    )


@pytest.mark.parametrize(
    "wrong", [{"question": 5}, {"quest": ""}, {"question": "x", "previous": []}]
)
def test_only_a_question_is_read_ahead(client: httpx.Client, wrong: dict[str, Any]) -> None:
    assert client.post("/api/load", json=wrong).status_code == 400


# --- folders --------------------------------------------------------------------------------------


def test_questions_and_searches_of_some_folders_alone(exported_llama: Path, tmp_path: Path) -> None:
    texts = {"fees/a.md": "The A class costs 0.85% a year.", "rules/b.md": "The A class rests."}
    chunks = [Chunk(name, name, None, (), 0, len(text), text) for name, text in texts.items()]
    bundle = fakes.write_bundle(tmp_path / "tiny-1.0.0", model=exported_llama, chunks=chunks)
    with served([bundle], tmp_path / "state") as running, running.client() as client:
        passages = ask(client, folders=["rules"])[1][1]
        assert [one["document"] for one in passages] == ["rules/b.md"]
        both = {one["document"] for one in ask(client)[1][1]}
        assert both == set(texts)
        found = client.get(
            "/api/search", params={"q": QUESTION, "folder": ["rules", "none"]}
        ).json()
        assert [one["document"] for one in found] == ["rules/b.md"]
        reply = client.post("/api/ask", json={"question": QUESTION, "folders": "rules"})
        assert reply.status_code == 400
        [entry] = client.get("/api/bundles").json()["bundles"]
        assert (entry["documents"], entry["dates"]) == (2, [])


def test_an_answer_that_was_cut_is_gone_on_with(client: httpx.Client) -> None:
    first = ask(client)[-1][1]
    assert first["cut"] is True
    events = ask(client, begun=first["answer"])
    whole = events[-1][1]["answer"]
    assert whole.startswith(first["answer"]) and len(whole) > len(first["answer"])
    reply = client.post("/api/ask", json={"question": QUESTION, "begun": "x" * 20_001})
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "too_long")
