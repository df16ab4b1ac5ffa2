"""`fieldpack mcp`: spoken to line by line, as any program may, and by the official client."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

import fakes
import fieldpack
from fieldpack.passages import Chunk
from fieldpack_app.mcp import json_rpc
from fieldpack_app.mcp.server import HANDSHAKE_VERSIONS, STATELESS_VERSIONS, UNSUPPORTED_VERSION
from fieldpack_app.mcp.tools import tools_of
from terminal import COMMAND

QUESTION = "What does the A class of the Global Equity Fund cost a year?"
META = "io.modelcontextprotocol/"
STATELESS = {
    "_meta": {
        f"{META}protocolVersion": STATELESS_VERSIONS[-1],
        f"{META}clientCapabilities": {},
    }
}
INITIALIZE = {
    "protocolVersion": HANDSHAKE_VERSIONS[-1],
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


class Spoken:
    """A server process, and its next message."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._id = 0

    def send(self, *messages: object) -> None:
        """Several in one write: the server cannot answer the first before it has the last, however
        late this process is let run."""
        self.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def write(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.endswith(b"\n"), "the server ended"
        return json.loads(line)

    def body(self, method: str, params: object = None) -> dict[str, Any]:
        """A request with an id of its own."""
        self._id += 1
        body = {"jsonrpc": "2.0", "id": self._id, "method": method}
        return body if params is None else {**body, "params": params}

    def begin(self, method: str, params: object = None) -> int:
        self.send(self.body(method, params))
        return self._id

    def request(self, method: str, params: object = None) -> Any:
        """The result of a request, or its error."""
        request_id = self.begin(method, params)
        answer = self.read()
        assert (answer["jsonrpc"], answer["id"]) == ("2.0", request_id)
        return answer.get("result", answer.get("error"))

    def call(self, tool: str, **arguments: Any) -> Any:
        return self.request("tools/call", {"name": tool, "arguments": arguments})


@contextmanager
def started(bundle: Path, *options: str) -> Iterator[Spoken]:
    with subprocess.Popen(
        [*COMMAND, "mcp", str(bundle), "--quick", "--threads", "1", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield Spoken(process)
            assert process.stdin and process.stdout and process.stderr
            process.stdin.close()
            assert process.stdout.read() == b"", "something was said that nobody asked"
            assert process.wait(120) == 0, process.stderr.read()
        finally:
            process.kill()


@pytest.fixture
def server(sealed: Path) -> Iterator[Spoken]:
    """A server whose handshake is done."""
    with started(sealed) as spoken:
        assert spoken.request("initialize", INITIALIZE)["protocolVersion"] == HANDSHAKE_VERSIONS[-1]
        spoken.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        yield spoken


# --- the versions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "agreed"),
    [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2024-11-05"),
        ("2025-11-25", "2025-11-25"),
        ("2031-01-01", "2025-11-25"),
        ("1", "2025-11-25"),
    ],
)
def test_a_version_is_agreed_on(sealed: Path, wanted: str, agreed: str) -> None:
    with started(sealed) as server:
        assert server.request("ping") == {}
        early = server.request("tools/list")
        assert early["code"] == json_rpc.INVALID_REQUEST and "initialize first" in early["message"]
        about = server.request("initialize", {**INITIALIZE, "protocolVersion": wanted})
        assert about["protocolVersion"] == agreed
        assert about["capabilities"] == {"tools": {}}
        assert about["serverInfo"]["name"] == "fieldpack"
        assert about["instructions"] == "Library tiny 1.0.0: A toy for tests"


def test_requests_that_bring_their_version_want_no_handshake(sealed: Path) -> None:
    with started(sealed) as server:
        found = server.request("server/discover", STATELESS)
        assert STATELESS_VERSIONS[-1] in found["supportedVersions"]
        assert found["resultType"] == "complete" and found["ttlMs"] > 0
        assert found["_meta"][f"{META}serverInfo"]["name"] == "fieldpack"
        listed = server.request("tools/list", STATELESS)
        assert len(listed["tools"]) == 3 and listed["cacheScope"] == "public"
        call = {"name": "search", "arguments": {"query": QUESTION}, **STATELESS}
        assert server.request("tools/call", call)["resultType"] == "complete"
        assert server.request("ping", STATELESS)["code"] == json_rpc.METHOD_NOT_FOUND
        other = {"_meta": {**STATELESS["_meta"], f"{META}protocolVersion": "2031-01-01"}}
        refused = server.request("tools/list", other)
        assert refused["code"] == UNSUPPORTED_VERSION
        assert refused["data"]["requested"] == "2031-01-01"
        assert STATELESS_VERSIONS[-1] in refused["data"]["supported"]
        bare = {"_meta": {f"{META}protocolVersion": STATELESS_VERSIONS[-1]}}
        assert server.request("tools/list", bare)["code"] == json_rpc.INVALID_PARAMS


# --- the tools ------------------------------------------------------------------------------------


def test_the_three_tools(server: Spoken) -> None:
    tools = server.request("tools/list")["tools"]
    assert [tool["name"] for tool in tools] == ["ask", "search", "passage"]
    assert all(tool["annotations"]["readOnlyHint"] for tool in tools)

    searched = server.call("search", query=QUESTION, count=2)
    assert searched["isError"] is False and len(searched["structuredContent"]["passages"]) == 2
    first = searched["structuredContent"]["passages"][0]
    assert f"passage id {first['chunk_id']}\n" in searched["content"][0]["text"]

    answer = server.call("ask", question=QUESTION)
    assert answer["structuredContent"]["passages"][0]["document"] == "fees.pdf"
    assert answer["structuredContent"]["refused"] is False
    refused = server.call("ask", question="東京")
    assert refused["structuredContent"]["refused"] is True and refused["isError"] is False

    read = server.call("passage", id=first["chunk_id"])
    assert read["structuredContent"]["text"] == first["text"]
    assert first["text"] in read["content"][0]["text"]

    some = server.call("search", query=QUESTION, documents=["pump*"])
    assert {one["document"] for one in some["structuredContent"]["passages"]} == {"pump.md"}


def test_an_answer_names_words_that_no_document_has_and_its_headings(
    expert: fieldpack.Expert,
) -> None:
    class Knowing:
        """An expert that finds a word unknown."""

        settings, manifest = expert.settings, expert.manifest

        def stream(self, question: str, **options: Any) -> Iterator[fieldpack.Event]:
            answer = expert.ask(question)
            passage = answer.passages[0]
            cited = fieldpack.Citation(passage.document, passage.page, passage.text, 1)
            yield fieldpack.Done(
                replace(answer, text="It is. [1]", citations=(cited,), unknown_words=("digoxin",))
            )

    knowing = cast(fieldpack.Expert, Knowing())
    ask = tools_of(knowing)[0]
    output = ask.run(knowing, {"question": QUESTION}, threading.Event(), lambda words: None)
    assert 'No document contains "digoxin".' in output.text
    assert "[1] fees.pdf, page 1 > Global Equity Fund, passage id" in output.text
    assert output.data["unknown_words"] == ["digoxin"]
    assert set(output.data) == set(ask.outputs["required"])


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("ask", {}, "question: want a string"),
        ("ask", {"question": "  "}, "empty"),
        ("ask", {"question": "x" * 5000}, "this bundle takes 500"),
        ("ask", {"question": QUESTION, "previous": 1}, "previous: unknown argument"),
        ("ask", {"question": QUESTION, "documents": [1]}, "documents: want"),
        ("search", {"query": QUESTION, "count": 0}, "count: want 1 to 20"),
        ("search", {"query": QUESTION, "count": True}, "count: want a whole number"),
        ("passage", {"id": 10**40}, "id: want a passage's id"),
        ("passage", {"id": 4000}, "no passage 4000"),
        ("passage", {"id": 0, "characters": 10**9}, "characters: want 0 to"),
    ],
)
def test_what_a_caller_can_mend_is_said_in_the_result(
    server: Spoken, tool: str, arguments: dict[str, Any], says: str
) -> None:
    result = server.call(tool, **arguments)
    assert result["isError"] is True and says in result["content"][0]["text"]


def test_hidden_letters_leave_a_tool_as_visible_escapes(sealed: Path, tmp_path: Path) -> None:
    """Tag characters spell words that a person does not see and a language model reads."""
    text = "The ferry leaves at noon\U000e0069\U000e0067\u202e."
    bundle = fakes.write_bundle(
        tmp_path / "hidden",
        model=sealed / "model",
        chunks=[Chunk("ferry.md", "Ferry", None, (), 0, len(text), text)],
    )
    with started(bundle) as server:
        server.request("initialize", INITIALIZE)
        found = server.call("search", query="When does the ferry leave?")
    said = json.dumps(found, ensure_ascii=False)
    assert "\\U000e0069" in found["content"][0]["text"]
    assert "\\U000e0069" in found["structuredContent"]["passages"][0]["text"]
    assert not re.search("[\U000e0000-\U000e0fff\u202e]", said)


def test_a_bundle_without_documents_has_one_tool(exported_llama: Path, tmp_path: Path) -> None:
    bundle = fakes.write_bundle(tmp_path / "bare", model=exported_llama, knowledge=False)
    with started(bundle) as server:
        server.request("initialize", INITIALIZE)
        assert [tool["name"] for tool in server.request("tools/list")["tools"]] == ["ask"]
        assert server.call("ask", question=QUESTION)["structuredContent"]["passages"] == []


# --- errors, cancelling, silence ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code", "request_id"),
    [
        (b"{", json_rpc.PARSE_ERROR, None),
        (b"\xff\xfe", json_rpc.PARSE_ERROR, None),
        (b"[" * 100_000, json_rpc.PARSE_ERROR, None),
        (b'{"jsonrpc": "2.0", "id": 1, "method": NaN}', json_rpc.PARSE_ERROR, None),
        (b"[]", json_rpc.INVALID_REQUEST, None),
        (b'"ping"', json_rpc.INVALID_REQUEST, None),
        (b'{"id": 7, "method": "ping"}', json_rpc.INVALID_REQUEST, 7),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', json_rpc.INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', json_rpc.INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": "a", "method": 3}', json_rpc.INVALID_REQUEST, "a"),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": []}', -32602, 7),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "shutdown"}', json_rpc.METHOD_NOT_FOUND, 7),
        (b'{"x": "' + b"x" * (3 << 20) + b'"}', json_rpc.INVALID_REQUEST, None),
        (
            b'{"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {"cursor": "2"}}',
            json_rpc.INVALID_PARAMS,
            7,
        ),
        (
            b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "rm"}}',
            json_rpc.INVALID_PARAMS,
            7,
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_message_that_cannot_be_obeyed_is_answered_with_its_code(
    server: Spoken, line: bytes, code: int, request_id: Any
) -> None:
    server.write(line + b"\n")
    answer = server.read()
    assert (answer["error"]["code"], answer["id"]) == (code, request_id), answer
    assert server.request("ping") == {}, "and the next one is obeyed"


def test_notifications_and_responses_are_not_answered(server: Spoken) -> None:
    server.write(b"\n\n")
    server.send({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})
    server.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}})
    server.send({"jsonrpc": "2.0", "id": 3, "result": {}})
    assert server.request("ping") == {}


def test_a_cancelled_call_is_not_answered_and_those_behind_it_are(server: Spoken) -> None:
    server.call("ask", question=QUESTION)  # the models are open
    ask = {"name": "ask", "arguments": {"question": QUESTION}}
    running, waiting, last = (server.body("tools/call", ask) for _ in range(3))
    cancelled = [
        {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": one["id"], "reason": "changed my mind"},
        }
        for one in (running, waiting)
    ]
    server.send(running, waiting, *cancelled, last)
    answered = []
    while not answered or answered[-1]["id"] != last["id"]:
        answered.append(server.read())
    assert waiting["id"] not in [answer["id"] for answer in answered]
    assert answered[-1]["result"]["isError"] is False


def test_an_id_is_used_by_one_call_at_a_time_and_a_flood_is_refused(server: Spoken) -> None:
    ask = {"name": "ask", "arguments": {"question": QUESTION}}
    twice = {"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": ask}
    server.send(twice, twice)
    first = server.read()
    assert first["id"] == "a" and first["error"]["code"] == json_rpc.INVALID_REQUEST
    assert server.read()["result"]["isError"] is False
    flood = [server.body("tools/call", ask) for _ in range(200)]
    server.send(*flood)
    answers = {answer["id"]: answer for answer in (server.read() for _ in flood)}
    refused = [one for one in answers.values() if "error" in one]
    assert len(answers) == 200 and len(refused) >= 100
    assert {one["error"]["code"] for one in refused} == {json_rpc.BUSY}


def test_who_asks_for_progress_gets_it(server: Spoken) -> None:
    call = {"name": "ask", "arguments": {"question": QUESTION}, "_meta": {"progressToken": "p"}}
    server.begin("tools/call", call)
    told = server.read()
    assert told["method"] == "notifications/progress"
    assert (
        told["params"]["progressToken"] == "p" and "reading 3 passages" in told["params"]["message"]
    )
    while "result" not in told:
        told = server.read()
    assert told["result"]["isError"] is False


def test_a_client_that_goes_away_ends_the_server(sealed: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "mcp", str(sealed), "--quick"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        spoken = Spoken(process)
        spoken.request("initialize", INITIALIZE)
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        spoken.begin("tools/call", {"name": "search", "arguments": {"query": QUESTION}})
        spoken.begin("ping")  # is answered at once, into the closed pipe
        process.stdin.close()
        assert process.wait(120) == 0 and process.stderr.read() == b""


def test_a_damaged_bundle_ends_it_before_the_first_word(bundle: Path) -> None:
    (bundle / "prompt.json").write_text("{}")
    done = subprocess.run([*COMMAND, "mcp", str(bundle)], input=b"", capture_output=True)
    assert (done.returncode, done.stdout) == (3, b"") and done.stderr.startswith(b"fieldpack: ")


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace here")
def test_no_socket_is_opened(sealed: Path, tmp_path: Path) -> None:
    lines: Sequence[object] = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE},
        *(
            {
                "jsonrpc": "2.0",
                "id": name,
                "method": "tools/call",
                "params": {"name": name, "arguments": arguments},
            }
            for name, arguments in (("search", {"query": QUESTION}), ("passage", {"id": 0}))
        ),
    ]
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-qq", "-e", "trace=network,openat", "-o", str(trace), *COMMAND]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    with subprocess.Popen(
        [*command, "mcp", str(sealed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(text)
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in lines]
        ask = {"name": "ask", "arguments": {"question": QUESTION}}
        process.stdin.write(
            json.dumps({"jsonrpc": "2.0", "id": "ask", "method": "tools/call", "params": ask})
            + "\n"
        )
        process.stdin.flush()
        answers.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        assert process.wait(120) == 0
    assert all("result" in answer for answer in answers)
    calls = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    assert sum("openat(" in call for call in calls) > 100, "the trace saw nothing at all"
    assert not [call for call in calls if re.search(r"\b(socket|bind|listen|connect)\(", call)]


# --- the official client --------------------------------------------------------------------------


@pytest.mark.skipif(
    importlib.util.find_spec("mcp") is None, reason="the mcp package is not installed"
)
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_lists_and_calls_the_tools(sealed: Path, mode: str) -> None:
    """It checks each result against the tool's schema, too."""
    import anyio
    from mcp.client.client import Client
    from mcp.client.stdio import StdioServerParameters
    from mcp.shared.exceptions import MCPError

    parameters = StdioServerParameters(
        command=COMMAND[0],
        args=[*COMMAND[1:], "mcp", str(sealed), "--quick"],
        env=dict(os.environ),
    )

    async def talk() -> None:
        async with Client(parameters, mode=mode) as client:
            assert client.server_info and client.server_info.name == "fieldpack"
            listed = await client.list_tools()
            assert [tool.name for tool in listed.tools] == ["ask", "search", "passage"]
            found = await client.call_tool("search", {"query": QUESTION, "count": 2})
            passages = found.structured_content["passages"]
            assert not found.is_error and len(passages) == 2
            answer = await client.call_tool("ask", {"question": QUESTION})
            assert not answer.is_error and answer.structured_content["refused"] is False
            read = await client.call_tool("passage", {"id": passages[0]["chunk_id"]})
            assert read.structured_content["text"] == passages[0]["text"]
            wrong = await client.call_tool("passage", {"id": 4000})
            assert wrong.is_error
            with pytest.raises(MCPError, match="unknown tool"):
                await client.call_tool("rm", {})

    anyio.run(talk)
