"""A JSON schema is bounded before a grammar is compiled from it: small ones pass, and the largest
that pass compile at once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import serving
from fieldpack import Expert, QuestionError
from fieldpack.child import python
from fieldpack.generation.json_schemas import check_schema, pattern_size

NUMBER = {"type": "integer"}


def rows(count: float, items: Any = NUMBER, key: str = "minItems") -> dict[str, Any]:
    return {"type": "array", key: count, "items": items}


def chain(length: int) -> dict[str, Any]:
    """Lists of lists, each by a reference to the next."""
    parts = {f"d{i}": rows(100, {"$ref": f"#/$defs/d{i + 1}"}) for i in range(length)}
    return {"$defs": parts, "$ref": "#/$defs/d0"}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = NUMBER
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


TOO_LARGE = {
    "minItems": rows(10**9),
    "maxItems": rows(10**9, key="maxItems"),
    "infinite": rows(float("inf")),
    "a list of lists of lists": rows(100, rows(100, rows(100))),
    "references": chain(9),
    "a pattern's repetitions": {"type": "string", "pattern": "((a{1000}){1000}){1000}"},
    "a pattern of property names": {
        "type": "object",
        "patternProperties": {"(a{1000}){1000}": NUMBER},
    },
    "maxLength": {"type": "string", "maxLength": 10**9},
    "minProperties": {"type": "object", "minProperties": 10**9},
    "depth": deep(40),
    "deeper than Python": deep(100_000),
    "size": {"enum": ["x" * 40_000]},
}
ALLOWED = {
    "an object": {"type": "object"},
    "rows of rows": rows(50, rows(50)),
    "a date": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
    "recursive": {"$defs": {"n": rows(1, {"$ref": "#/$defs/n"})}, "$ref": "#/$defs/n"},
    "itself": {"type": "array", "items": {"$ref": "#"}},
}
# The largest of their kind that are let through.
LARGEST = [
    rows(6_600),
    rows(6_600, key="maxItems"),
    {"type": "string", "minLength": 100_000, "maxLength": 100_000},
    {"type": "string", "pattern": "(([a-z]?b){1,99}){1,99}"},
    {"type": "object", "minProperties": 19_000},
    {"enum": [f"x{i}" for i in range(3_000)]},
]


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_schema_that_grows_when_it_is_written_out_is_refused(name: str) -> None:
    with pytest.raises(
        QuestionError,
        match=r"the JSON schema (is too large|is nested too deeply|cannot be followed)",
    ):
        check_schema(TOO_LARGE[name])


@pytest.mark.parametrize("name", ALLOWED)
def test_an_ordinary_schema_is_let_through(name: str) -> None:
    check_schema(ALLOWED[name])


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        ("abc", 3),
        ("(ab{3}){10}", 40),
        (r"\d{4}-\d{2}", 7),
        ("[a{9}]{3}", 3),
        (r"\p{Lu}{5}", 5),
        (r"\{9}", 3),
        ("a{2,}", 2),
        ("a{0}", 1),
        ("(a|b)*c+", 4),
        ("((", 0),
        ("a{999999}", 999_999),
    ],
)
def test_a_pattern_is_counted_with_its_repetitions_written_out(pattern: str, size: int) -> None:
    assert pattern_size(pattern) == size


def test_what_is_let_through_compiles_within_a_second_and_200_mb(exported_llama: Path) -> None:
    """In a process with so much memory and time more than one without a schema took."""
    code = """if True:
        import json, sys, time
        import fieldpack, onnxruntime_genai as og
        model = og.Model(sys.argv[1])
        def compile(schema):
            params = og.GeneratorParams(model)
            params.set_search_options(max_length=64, do_sample=False)
            params.set_guidance("json_schema", json.dumps(schema))
            og.Generator(model, params).append_tokens([1, 2])
        def peak():
            return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1000
        compile({"type": "object"})
        before, seconds = peak(), []
        for schema in json.loads(sys.argv[2]):
            started = time.process_time()
            compile(schema)
            seconds.append(time.process_time() - started)
        print(max(seconds), peak() - before)
    """
    for schema in LARGEST:
        check_schema(schema)
    command = python("-c", code, exported_llama, json.dumps(LARGEST))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds < 1 and megabytes < 200


def test_the_server_and_the_library_refuse_it_with_a_sentence(
    sealed: Path, expert: Expert, tmp_path: Path
) -> None:
    schema = TOO_LARGE["minItems"]
    with pytest.raises(QuestionError, match="too large"):
        expert.ask("What does the A class cost a year?", schema=schema)
    body = {
        "model": "tiny-1.0.0",
        "messages": [{"role": "user", "content": "What does it cost?"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "rows", "schema": schema},
        },
    }
    with serving.served([sealed], tmp_path) as server, server.client() as client:
        for stream in (False, True):
            answer = client.post("/v1/chat/completions", json={**body, "stream": stream})
            assert answer.status_code == 422
            assert answer.json()["error"]["message"].startswith("the JSON schema is too large")
        assert client.get("/health").status_code == 200
