"""The OpenAI-compatible API, spoken to by the clients that people use: the `openai` package and the
`llm` command."""

from __future__ import annotations

import base64
import http.client
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

import fieldpack
from fieldpack.answers import Answer, Timings
from fieldpack_app.server.openai.request import read_chat
from fieldpack_app.server.openai.response import ChatWriter
from fieldpack_app.server.openai.responses_reply import ResponseWriter
from fieldpack_app.server.openai.responses_request import read_responses
from fieldpack_app.server.settings import Limits
from serving import TOKEN, Served, paced, served, wait_for

QUESTION = "What does the A class of the Global Equity Fund cost a year?"
MODEL = "tiny-1.0.0"
ASK: list[Any] = [{"role": "user", "content": QUESTION}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
    }
]


@pytest.fixture(scope="module")
def server(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served([sealed], tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai_client(server) as opened:
        yield opened


def openai_client(server: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0)


def ours(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = message.model_extra["fieldpack"]
    return found


# --- answers --------------------------------------------------------------------------------------


def test_a_whole_answer(client: openai.OpenAI, expert: fieldpack.Expert) -> None:
    done = client.chat.completions.create(model=MODEL, messages=ASK, temperature=0.7, seed=1)
    message = done.choices[0].message
    same = expert.ask(QUESTION)
    assert message.content == same.text and message.role == "assistant"
    assert [passage["chunk_id"] for passage in ours(message)["passages"]] == [
        p.chunk_id for p in same.passages
    ]
    assert [citation["quote"] for citation in ours(message)["citations"]] == [
        c.quote for c in same.citations
    ]
    assert ours(message)["ignored"] == ["seed", "temperature"]
    assert (done.model, done.object, done.choices[0].finish_reason) == (
        MODEL,
        "chat.completion",
        "length",
    )  # 24 of 24 tokens
    assert done.usage and done.usage.completion_tokens == same.timings.tokens
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens


@pytest.mark.parametrize("cut", [True, False])
def test_an_answer_was_cut_where_the_runtime_says_so(cut: bool) -> None:
    """The end token is a token too: an answer that ends by itself may have as many as a cut one."""
    timings = Timings(1, 2, 3, tokens=24, tokens_per_s=5, prompt_tokens=6)
    answer = Answer(QUESTION, "It costs 0.85%.", False, (), (), timings, cut=cut)
    chat = ChatWriter(MODEL, read_chat({"messages": ASK, "stream": True}))
    reason = "length" if cut else "stop"
    assert chat.whole(answer)["choices"][0]["finish_reason"] == reason
    assert f'"finish_reason": "{reason}"'.encode() in next(chat.end(answer)).replace(
        b'":"', b'": "'
    )
    response = ResponseWriter(MODEL, read_responses({"input": QUESTION}))
    whole = response.whole(answer)
    assert whole["status"] == ("incomplete" if cut else "completed")
    assert whole["incomplete_details"] == ({"reason": "max_output_tokens"} if cut else None)
    assert whole["output"][0]["status"] == whole["status"]


def test_a_streamed_answer_brings_its_citations_last(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=ASK).choices[0].message
    stream = client.chat.completions.create(
        model=MODEL, messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    last, usage = chunks[-2], chunks[-1]
    assert usage.choices == [] and usage.usage and usage.usage.completion_tokens == 24
    assert last.choices[0].finish_reason == "length"
    found = ours(last.choices[0].delta)
    assert found["answer"] == whole.content and found["citations"] == ours(whole)["citations"]
    assert found["passages"][0]["place"] == "fees.pdf, page 1"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.split()[0] == (whole.content or "").split()[0]


def test_without_include_usage_there_is_none(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model=MODEL, messages=ASK, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_a_conversation_goes_on_from_the_passages(client: openai.OpenAI) -> None:
    for streamed in (False, True):
        first: Any = client.chat.completions.create(model=MODEL, messages=ASK, stream=streamed)  # type: ignore[call-overload]
        said = (
            "".join(chunk.choices[0].delta.content or "" for chunk in first)
            if streamed
            else first.choices[0].message.content
        )
        then = [
            *ASK,
            {"role": "assistant", "content": said},
            {"role": "user", "content": "And the I class?"},
        ]
        system = [{"role": "system", "content": "Speak like a pirate."}]
        found = ours(
            client.chat.completions.create(model=MODEL, messages=system + then).choices[0].message
        )  # type: ignore[arg-type]
        assert found["asked"] == f"{QUESTION} And the I class?"
        assert found["ignored"] == ["messages[0] (system)"]


def test_a_conversation_of_another_server(client: openai.OpenAI) -> None:
    then: Any = [
        *ASK,
        {"role": "assistant", "content": "never said here"},
        {"role": "user", "content": "And the I class?"},
    ]
    found = ours(client.chat.completions.create(model=MODEL, messages=then).choices[0].message)
    assert found["asked"] == f"{QUESTION} And the I class?"
    long: Any = [
        {"role": "user", "content": "x" * 600},
        {"role": "assistant", "content": "y"},
        *ASK,
    ]
    assert (
        ours(client.chat.completions.create(model=MODEL, messages=long).choices[0].message)["asked"]
        == QUESTION
    )


def test_json_by_a_schema(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    wanted: Any = {
        "type": "json_schema",
        "json_schema": {"name": "fine", "strict": True, "schema": schema},
    }
    message = (
        client.chat.completions.create(model=MODEL, messages=ASK, response_format=wanted)
        .choices[0]
        .message
    )
    assert set(json.loads(message.content or "")) == {"ok"} and ours(message)["citations"] == []
    refused = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "東京"}], response_format=wanted
    ).choices[0]
    assert (refused.message.content, refused.message.refusal) == (
        None,
        "I cannot answer that from these documents.",
    )
    with pytest.raises(openai.UnprocessableEntityError, match="schema"):
        bad: Any = {
            "type": "json_schema",
            "json_schema": {"name": "bad", "schema": {"type": "no such type"}},
        }
        client.chat.completions.create(model=MODEL, messages=ASK, response_format=bad)


def test_content_parts_are_text(client: openai.OpenAI) -> None:
    parts: Any = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
    assert (
        ours(client.chat.completions.create(model=MODEL, messages=parts).choices[0].message)[
            "question"
        ]
        == QUESTION
    )


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": ["x"]}, "stop"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        ({"messages": [5]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_cannot_be_done_is_refused(
    server: Served, changes: dict[str, Any], param: str
) -> None:
    with server.client() as client:
        response = client.post(
            "/v1/chat/completions", json={"model": MODEL, "messages": ASK, **changes}
        )
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        param,
        "bad_request",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"tools": TOOLS},
        {"tools": TOOLS, "tool_choice": "auto"},
        {"tools": TOOLS, "tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"functions": [{"name": "f"}]},
        {"function_call": {"name": "f"}},
        {
            "messages": [
                *ASK,
                {"role": "assistant", "tool_calls": [{"id": "1"}]},
                {"role": "tool", "tool_call_id": "1", "content": "5"},
            ]
        },
        {"messages": [*ASK, {"role": "function", "name": "f", "content": "5"}]},
    ],
)
def test_tool_calls_are_refused_in_a_sentence(
    client: openai.OpenAI, changes: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**{"model": MODEL, "messages": ASK, **changes})
    assert (
        "this model calls no tools: it answers from the bundle's documents alone."
        in refused.value.message
    )
    assert "response_format with a JSON schema" in refused.value.message


def test_tools_that_are_not_to_be_called_do_no_harm(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=ASK, tools=TOOLS, tool_choice="none", parallel_tool_calls=True
    )
    assert ours(answer.choices[0].message)["ignored"] == [
        "parallel_tool_calls",
        "tool_choice",
        "tools",
    ]


def test_what_does_no_harm_is_taken(client: openai.OpenAI) -> None:
    message = (
        client.chat.completions.create(
            model=MODEL,
            messages=ASK,
            n=1,
            tools=[],
            logprobs=False,
            max_tokens=5,
            user="me",
            top_p=0.5,
        )
        .choices[0]
        .message
    )
    assert ours(message)["ignored"] == ["max_tokens", "top_p"]


def test_errors_are_openai_s(server: Served, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-4: not the model here, which is tiny"):
        client.chat.completions.create(model="gpt-4", messages=ASK)
    with pytest.raises(openai.UnprocessableEntityError, match="501 characters"):
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "x" * 501}]
        )
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(api_key="wrong").models.list()
    assert caught.value.body == {
        "code": "no_token",
        "message": caught.value.body["message"],  # type: ignore[index]
        "type": "authentication_error",
        "param": None,
    }
    with server.client() as plain:
        assert plain.get("/v1/nothing").json()["error"]["type"] == "not_found_error"
        assert plain.get("/v1/embeddings").status_code == 405


def test_a_full_queue_is_a_rate_limit(sealed: Path, tmp_path: Path) -> None:
    with (
        served([sealed], tmp_path, limits=Limits(waiting=1), opener=paced(250)) as server,
        openai_client(server) as client,
    ):
        streams = [
            client.chat.completions.create(model=MODEL, messages=ASK, stream=True) for _ in range(2)
        ]
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model=MODEL, messages=ASK)
        assert int(caught.value.response.headers["retry-after"]) >= 1
        for stream in streams:
            stream.close()
        wait_for(lambda: server.expert.ended == server.expert.begun)  # both hung up


def test_hanging_up_on_a_whole_answer_stops_the_model(sealed: Path, tmp_path: Path) -> None:
    body = json.dumps({"model": MODEL, "messages": ASK})
    with served([sealed], tmp_path, opener=paced(250)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        with closing(connection):
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            connection.request("POST", "/v1/chat/completions", body, headers)
            wait_for(lambda: server.expert.words == 1)
        wait_for(lambda: server.expert.ended == 1)
        assert server.expert.words <= 2


# --- models and embeddings ------------------------------------------------------------------------


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "fieldpack"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_embeddings(server: Served, client: openai.OpenAI, expert: fieldpack.Expert) -> None:
    texts = ["The pump", "zz"]
    found = client.embeddings.create(model=MODEL, input=texts)  # asks for base64 by itself
    assert [row.embedding for row in found.data] == [row.tolist() for row in expert.embed(texts)]
    assert (
        client.embeddings.create(model=MODEL, input="zz").data[0].embedding
        == found.data[1].embedding
    )
    with server.client() as plain:
        inputs = (texts, texts[:1], texts[1:], ["zz " * 2000])
        usage = [client.embeddings.create(model=MODEL, input=one).usage for one in inputs]
        assert all(one.prompt_tokens == one.total_tokens > 0 for one in usage)
        assert usage[0].total_tokens == usage[1].total_tokens + usage[2].total_tokens
        assert usage[0].total_tokens == expert.count_embedded_tokens(texts)
        assert usage[3].total_tokens == 512, (
            "the toy embedder's max_tokens: what is cut off is not read"
        )
        asked = {"model": MODEL, "input": "zz", "encoding_format": "base64"}
        coded = plain.post("/v1/embeddings", json=asked).json()["data"][0]["embedding"]
        assert list(struct.unpack("<36f", base64.b64decode(coded))) == found.data[1].embedding
        assert (
            plain.post(
                "/v1/embeddings", json=asked | {"input_type": "query", "encoding_format": None}
            ).status_code
            == 200
        )


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"input": [1, 2]}, 400),
        ({"input": [[1, 2]]}, 400),
        ({"input": []}, 400),
        ({"input": 5}, 400),
        ({"input": ""}, 422),
        ({"input": ["a", " "]}, 422),
        ({"input": ["a"] * 257}, 422),
        ({"input": "x" * 20_001}, 422),
        ({"dimensions": 5}, 400),
        ({"encoding_format": "hex"}, 400),
        ({"model": "other"}, 404),
        ({"input": "\ud800 a"}, 200),
        ({"dimensions": 36}, 200),
    ],
)
def test_embeddings_have_limits(server: Served, changes: dict[str, Any], status: int) -> None:
    with server.client() as client:
        body = json.dumps({"model": MODEL, "input": "a", **changes})
        sent = client.post(
            "/v1/embeddings", content=body, headers={"Content-Type": "application/json"}
        )
    assert sent.status_code == status


# --- another client -------------------------------------------------------------------------------


def test_the_llm_command(server: Served, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: pack\n  model_name: {MODEL}\n  api_base: {server.url}/v1\n  api_key_name: "
        "pack\n"
    )
    (tmp_path / "keys.json").write_text(json.dumps({"pack": TOKEN}))
    environment = {**os.environ, "LLM_USER_PATH": str(tmp_path), "HOME": str(tmp_path)}
    for options in ([], ["--no-stream"]):
        command = [sys.executable, "-m", "llm", "-m", "pack", *options, QUESTION]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
    wrong = subprocess.run(
        [*command, "x" * 501], env=environment, capture_output=True, text=True, timeout=120
    )
    assert wrong.returncode != 0


def test_the_key_is_wanted_there_too(server: Served) -> None:
    body = {"model": MODEL, "messages": ASK}
    sent = httpx.post(f"{server.url}/v1/chat/completions", json=body, trust_env=False, timeout=60)
    assert sent.status_code == 401


# --- responses ------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {"fee": {"type": "string", "enum": ["low", "high"]}},
    "required": ["fee"],
    "additionalProperties": False,
}
FORMAT: Any = {"format": {"type": "json_schema", "name": "fee", "schema": SCHEMA}}


def test_a_response(client: openai.OpenAI, expert: fieldpack.Expert) -> None:
    done = client.responses.create(model=MODEL, input=QUESTION, instructions="Be brief.")
    same = expert.ask(QUESTION)
    assert done.output_text == same.text and done.object == "response"
    assert (done.status, done.incomplete_details and done.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )  # 24 of 24 tokens
    assert done.usage and done.usage.output_tokens == same.timings.tokens
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens
    found = ours(done)
    assert found["ignored"] == ["instructions"]
    assert [one["quote"] for one in found["citations"]] == [c.quote for c in same.citations]
    (item,) = done.output
    assert item.type == "message" and item.content[0].type == "output_text"
    assert [one.filename for one in item.content[0].annotations] == [  # type: ignore[union-attr]
        c.document for c in same.citations
    ]


def test_a_streamed_response_ends_as_the_whole_one(client: openai.OpenAI) -> None:
    whole = client.responses.create(model=MODEL, input=QUESTION)
    events = list(client.responses.create(model=MODEL, input=QUESTION, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    last: Any = events[-1]
    assert len(pieces) > 5 and "".join(pieces).split()[0] == whole.output_text.split()[0]
    assert last.response.output_text == whole.output_text
    assert ours(last.response)["citations"] == ours(whole)["citations"]
    with client.responses.stream(model=MODEL, input="東京") as stream:  # it takes whole ones alone
        assert stream.get_final_response().output_text.startswith("I cannot answer")


def test_a_response_goes_on_from_another(client: openai.OpenAI) -> None:
    """By its id, or by the messages that a client sends back."""
    first = client.responses.create(model=MODEL, input=QUESTION)
    then = "And the I class?"
    by_id = client.responses.create(model=MODEL, input=then, previous_response_id=first.id)
    assert ours(by_id)["asked"] == f"{QUESTION} {then}"
    said: Any = [item.model_dump(exclude_none=True) for item in first.output]
    items: Any = [{"role": "user", "content": QUESTION}, *said, {"role": "user", "content": then}]
    by_items = client.responses.create(model=MODEL, input=items)
    assert ours(by_items)["asked"] == f"{QUESTION} {then}"
    assert by_items.output_text == by_id.output_text
    kept = client.responses.create(model=MODEL, input=QUESTION, store=False)
    for unknown in (kept.id, "resp_0"):
        with pytest.raises(openai.NotFoundError, match="not remembered here"):
            client.responses.create(model=MODEL, input=then, previous_response_id=unknown)


def test_a_response_follows_a_schema_and_a_refusal_is_none(client: openai.OpenAI) -> None:
    done = client.responses.create(model=MODEL, input=QUESTION, text=FORMAT)
    assert json.loads(done.output_text)["fee"] in ("low", "high")
    streamed = list(client.responses.create(model=MODEL, input=QUESTION, text=FORMAT, stream=True))
    pieces = [event.delta for event in streamed if event.type == "response.output_text.delta"]
    assert json.loads("".join(pieces)) == json.loads(done.output_text)
    refused = client.responses.create(model=MODEL, input="東京", text=FORMAT)
    assert refused.output_text == "" and refused.status == "completed"
    part: Any = refused.output[0].content[0]  # type: ignore[union-attr]
    assert part.type == "refusal" and part.refusal.startswith("I cannot answer")
    events = list(client.responses.create(model=MODEL, input="東京", text=FORMAT, stream=True))
    kinds = [event.type for event in events]
    assert "response.refusal.done" in kinds and "response.output_text.delta" not in kinds


def _tool_item(kind: str) -> list[Any]:
    return [{"type": kind, "call_id": "c", "output": "1"}, {"role": "user", "content": QUESTION}]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tools": [{"type": "web_search"}]}, "this model calls no tools"),
        ({"tool_choice": "required"}, "this model calls no tools"),
        ({"input": _tool_item("function_call_output")}, "this model calls no tools"),
        ({"input": _tool_item("item_reference")}, "messages alone"),
        ({"input": []}, "want a string, or a list"),
        ({"input": 3}, "want a string, or a list"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "parts of text"),
        ({"input": [{"role": "assistant", "content": "a"}]}, "the last one must be the user's"),
        ({"background": True}, "background"),
        ({"conversation": "c"}, "conversation"),
        ({"prompt": {"id": "p"}}, "the prompt is the bundle's"),
        ({"top_logprobs": 2}, "log-probabilities"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"metadata": {str(n): "" for n in range(17)}}, "at most 16 pairs"),
    ],
    ids=str,
)
def test_what_a_response_cannot_be_is_said(
    client: openai.OpenAI, change: dict[str, Any], says: str
) -> None:
    body: Any = {"input": QUESTION, **change}
    with pytest.raises(openai.BadRequestError, match=says):
        client.responses.create(model=MODEL, **body)


def test_tools_that_are_not_to_be_called_are_named_as_ignored(client: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", "name": "f", "parameters": {}}]
    done = client.responses.create(model=MODEL, input=QUESTION, tools=tools, tool_choice="none")
    assert ours(done)["ignored"] == ["tools"]


def test_a_response_that_takes_too_long_ends_with_an_error(sealed: Path, tmp_path: Path) -> None:
    limits = Limits(answer_seconds=0.5)
    with (
        served([sealed], tmp_path / "state", limits=limits, opener=paced(250)) as running,
        openai_client(running) as slow,
    ):
        events: list[Any] = list(slow.responses.create(model=MODEL, input=QUESTION, stream=True))
        assert (events[-1].type, events[-1].code) == ("error", "too_slow")
