"""Fieldpack beside what a user would put together (sentence-transformers, faiss, llama-cpp-python) and beside bare
onnxruntime-genai: the same model, documents, questions and threads, in one run on one machine.

Each side runs in a fresh process each round and answers the same questions in the same order; rounds alternate. The files
lie in the page cache. The peer's index is made of the bundle's own chunks before the clock starts. The questions are those
of FILE whose answer, as the bundle gives it, cites the documents; each is followed by one over the same passages. "read
ahead": as on the page, where passages are searched and read while the last word is still being typed.

The GGUF is made once, of the merge stage's model, with llama.cpp's own tools:

    python convert_hf_to_gguf.py CACHE/stages/merge/KEY/model --outfile tuned-f16.gguf --outtype f16
    llama-quantize tuned-f16.gguf tuned.gguf Q4_K_M

    python benchmarks/peers.py dist/finance-1.0.0 --questions recipes/finance/questions.jsonl --gguf tuned.gguf \\
        --embedder MINILM_FOLDER --peer-python peer/bin/python --device-site device/lib --peer-site peer/lib --json peers.json
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from measuring import machine, machine_line, median, table, write_json

_SIDES = Path(__file__).with_name("peers_sides.py")
_FOLLOW_UP = "And where is that written?"
_AIMS = {
    "whole answer": ("fieldpack", "llama", "total_ms", 0.35, "<="),
    "prefill": ("fieldpack", "llama", "prefill_tokens_per_s", 2.0, ">="),
    "decode, no drafts": ("no drafts", "llama", "decode_tokens_per_s", 1.1, ">="),
    "decode, drafts": ("fieldpack", "llama", "decode_tokens_per_s", 1.6, ">="),
    "peak RSS": ("fieldpack", "llama", "peak_rss_mb", 1.0, "<="),
    "cold start": ("fieldpack", "llama", "cold_s", 0.3, "<="),
    "install": ("fieldpack", "llama", "install_mb", 0.25, "<="),
}
_FIGURES = {
    "cold start to first word, s": "cold_s",
    "first question, first word, ms": "own_first_ms",
    "second question, first word, ms": "second_first_ms",
    "follow-up, first word, ms": "follow_first_ms",
    "prefill, tokens/s": "prefill_tokens_per_s",
    "decode, tokens/s": "decode_tokens_per_s",
    "whole answer, ms": "total_ms",
    "tokens of an answer": "tokens",
    "retrieval, ms": "retrieval_ms",
    "peak RSS, MB": "peak_rss_mb",
    "installed, MB": "install_mb",
}


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--questions",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="JSON Lines with `question`.",
)
@click.option(
    "--gguf", type=click.Path(path_type=Path, exists=True), help="The same model for llama.cpp."
)
@click.option("--embedder", help="The same embedder as a sentence-transformers folder.")
@click.option(
    "--peer-python",
    type=click.Path(path_type=Path),
    help="Has llama-cpp-python, sentence-transformers, faiss.",
)
@click.option(
    "--peer-site", type=click.Path(path_type=Path), help="The peer's installed packages, to weigh."
)
@click.option(
    "--device-site",
    type=click.Path(path_type=Path),
    help="A device's installed packages, to weigh.",
)
@click.option("--count", default=10, show_default=True, help="Questions a round.")
@click.option("--rounds", default=3, show_default=True)
@click.option(
    "--threads", type=int, help="For all sides [default: the cores this process may use]."
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    bundle: Path,
    questions: Path,
    gguf: Path | None,
    embedder: str | None,
    peer_python: Path | None,
    peer_site: Path | None,
    device_site: Path | None,
    count: int,
    rounds: int,
    threads: int | None,
    json_path: Path | None,
) -> None:
    """First word, whole answer, speeds, memory, cold start and size of BUNDLE beside its peers'."""
    facts = machine(("onnxruntime", "onnxruntime-genai", "usearch", "tokenizers"))
    with tempfile.TemporaryDirectory(prefix="fieldpack-peers-") as name:
        folder = Path(name)
        spec = _spec(bundle, questions, count, threads or facts["cores"], folder)
        sides: dict[str, Any] = {
            "fieldpack": (sys.executable, "fieldpack", {}),
            "no drafts": (sys.executable, "fieldpack", {"speculate": False}),
            "read ahead": (sys.executable, "fieldpack", {"typed": True}),
            "bare genai": (sys.executable, "bare", {}),
        }
        if gguf and embedder and peer_python:
            spec |= {"gguf": str(gguf.resolve()), "embedder": embedder}
            _run(str(peer_python), "index", spec, folder)
            sides["llama"] = (str(peer_python), "llama", {})
        runs = _alternate(spec, sides, rounds, folder)
    sizes = {"fieldpack": _megabytes(device_site), "llama": _megabytes(peer_site)}
    figures = {
        side: _figures(found) | {"install_mb": sizes.get(side)} for side, found in runs.items()
    }
    data = {
        "benchmark": "peers",
        "machine": facts,
        "rounds": rounds,
        "questions": [q["question"] for q in spec["questions"]],
        "figures": figures,
        "ratios": _ratios(figures, runs),
        "runs": runs,
    }
    _show(data)
    write_json(json_path, data)


def _spec(bundle: Path, questions: Path, count: int, threads: int, folder: Path) -> dict[str, Any]:
    """What every side is given; the chunks as a file for the peer."""
    import fieldpack
    from fieldpack.index.reader import KnowledgeIndex

    with fieldpack.open(bundle, threads=threads) as expert:
        rows = [
            json.loads(line)
            for line in questions.read_text(encoding="utf-8").splitlines()
            if line.strip()
        ]
        chosen = _that_quote(expert, [row["question"] for row in rows if row.get("answer")], count)
        settings, chat = expert.settings, expert._chat
        chunks = [
            {"context": c.context, "text": c.text}
            for _, c in KnowledgeIndex(bundle / "knowledge").chunks()
        ]
    (folder / "chunks.json").write_text(json.dumps(chunks), encoding="utf-8")
    return {
        "bundle": str(bundle.resolve()),
        "threads": threads,
        "questions": chosen,
        "speculate": True,
        "context": settings.max_context,
        "new_tokens": settings.max_answer_tokens,
        "passages": settings.passages,
        "system": settings.system,
        "chat": {"start": chat.start, "to_user": chat.to_user, "to_answer": chat.to_answer},
        "chunks": str(folder / "chunks.json"),
        "index": str(folder / "peer.faiss"),
    }


def _that_quote(expert: Any, asked: Sequence[str], count: int) -> list[dict[str, Any]]:
    chosen: list[dict[str, Any]] = []
    for question in asked:
        answer = expert.ask(question)
        if answer.citations and not answer.refused:
            prompt = expert._open_rag().builder.build(question, answer.passages).text
            chosen.append({"question": question, "follow_up": _FOLLOW_UP, "prompt": prompt})
            if len(chosen) == count:
                break
    return chosen


def _alternate(
    spec: dict[str, Any], sides: dict[str, Any], rounds: int, folder: Path
) -> dict[str, list[dict[str, Any]]]:
    """Every side once a round; the order turns round each time."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for number in range(rounds):
        turned = (
            spec["questions"][number:] + spec["questions"][:number]
        )  # another first question each time
        for name in list(sides)[:: -1 if number % 2 else 1]:
            python, side, changes = sides[name]
            click.echo(f"round {number + 1} of {rounds}: {name}", err=True)
            runs[name].append(_run(python, side, {**spec, **changes, "questions": turned}, folder))
    return runs


def _run(python: str, side: str, spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = folder / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    started = time.monotonic()
    done = subprocess.run([python, str(_SIDES), side, str(path)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{side} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if "rows" in found:
        found["cold_s"] = found["rows"][0]["first_at"] - started
    return found


def _figures(runs: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Medians; speeds and whole answers over all questions but each process's first, which also
    warms up."""
    later = [row for run in runs for row in run["rows"][1:]]
    follow = [row["follow_up"] for run in runs for row in run["rows"] if "follow_up" in row]
    return {
        "cold_s": median(run["cold_s"] for run in runs),
        "own_first_ms": median(run["rows"][0]["first_token_ms"] for run in runs),
        "second_first_ms": median(run["rows"][1]["first_token_ms"] for run in runs),
        "follow_first_ms": median(row["first_token_ms"] for row in follow),
        **{
            name: median(row[name] for row in later)
            for name in (
                "prefill_tokens_per_s",
                "decode_tokens_per_s",
                "total_ms",
                "tokens",
                "retrieval_ms",
            )
        },
        "peak_rss_mb": median(run["peak_rss_mb"] for run in runs),
    }


def _ratios(figures: dict[str, Any], runs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for name, (ours, theirs, figure, aim, how) in _AIMS.items():
        pair = [figures.get(side, {}).get(figure) for side in (ours, theirs)]
        if all(pair):
            found[name] = _held(pair[0] / pair[1], aim, how)
    own = figures["fieldpack"]
    found["second question to own first"] = _held(
        own["second_first_ms"] / own["own_first_ms"], 0.6, "<="
    )
    found["follow-up to own first"] = _held(own["follow_first_ms"] / own["own_first_ms"], 0.1, "<=")
    same = [
        a["text"] == b["text"]
        for one, other in zip(runs["fieldpack"], runs["no drafts"], strict=True)
        for a, b in zip(one["rows"], other["rows"], strict=True)
    ]
    found["same text without drafts"] = _held(sum(same) / len(same), 1.0, ">=")
    return found


def _held(value: float, aim: float, how: str) -> dict[str, Any]:
    return {
        "value": value,
        "aim": f"{how} {aim}",
        "met": value <= aim if how == "<=" else value >= aim,
    }


def _megabytes(folder: Path | None) -> float | None:
    if folder is None:
        return None
    return round(
        sum(
            f.lstat().st_size
            for f in folder.rglob("*")
            if f.is_file() and "__pycache__" not in f.parts
        )
        / 1e6,
        1,
    )


def _show(data: dict[str, Any]) -> None:
    print(machine_line(data["machine"]))
    sides = list(data["figures"])
    print(f"{len(data['questions'])} questions, {data['rounds']} rounds; medians\n")
    print(
        table(
            ["", *sides],
            [
                [label, *(data["figures"][s].get(key) for s in sides)]
                for label, key in _FIGURES.items()
            ],
        )
    )
    print()
    print(
        table(
            ["ratio", "value", "aim", "met"],
            [[n, r["value"], r["aim"], r["met"]] for n, r in data["ratios"].items()],
        )
    )


if __name__ == "__main__":
    main()
