"""Drafts from the passages, question by question: the same text with and without, and how much faster it comes.

For every question of FILE the bundle's prompt is built once. Then its answer is decoded on the same machine, alternating:
with drafts, without (steps of two tokens, the same rounding), and by genai's own search, a token a step, which rounds
otherwise. Only decoding is timed.

    python benchmarks/speculation.py dist/finance-1.0.0 --questions recipes/finance/questions.jsonl \\
        --plot docs/speculation.svg --json benchmarks/results/speculation.json
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
from measuring import machine, machine_line, median, table, write_json


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--questions",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="JSON Lines with `question`.",
)
@click.option("--count", type=int, help="The first so many [default: all].")
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Write the gain by question here, as SVG."
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    bundle: Path, questions: Path, count: int | None, plot: Path | None, json_path: Path | None
) -> None:
    """How much drafts gain in answers of BUNDLE, and that they change no word."""
    facts = machine(("onnxruntime", "onnxruntime-genai"))
    rows = [
        json.loads(line)
        for line in questions.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    found = _ask_all(bundle, [row["question"] for row in rows][:count])
    data = {"benchmark": "speculation", "machine": facts, "summary": _summary(found), "rows": found}
    print(machine_line(facts))
    print(table(["", "value"], [[name, value] for name, value in data["summary"].items()]))
    if plot:
        plot.write_text(_svg(found), encoding="utf-8")
    write_json(json_path, data)


def _ask_all(bundle: Path, asked: list[str]) -> list[dict[str, Any]]:
    import fieldpack
    from fieldpack.generation.generator import TextGenerator

    with fieldpack.open(bundle) as expert:
        rag, settings = expert._open_rag(), expert.settings
        engines = {
            name: TextGenerator.open(
                bundle / "model", skip_tokens=expert._chat.skip_tokens, speculate=speculate
            )
            for name, speculate in (("drafts", True), ("without", False))
        }
        assert rag.retriever
        found = []
        with click.progressbar(asked, label="questions", file=sys.stderr) as bar:
            for number, question in enumerate(bar):
                passages = rag.retriever.search(question, settings.passages)
                prompt = rag.builder.build(question, passages).text
                names = [*engines, "genai"][:: -1 if number % 2 else 1]
                runs = {
                    name: _decode(engines.get(name), engines["drafts"], prompt, settings)
                    for name in names
                }
                found.append(
                    {
                        "question": question,
                        **{name: runs[name] for name in ("drafts", "without", "genai")},
                    }
                )
    return found


def _decode(engine: Any, tokenizer: Any, prompt: str, settings: Any) -> dict[str, Any]:
    if engine is None:
        return _by_genai(tokenizer, prompt, settings)
    from fieldpack.generation.engine import GenerationStats

    stats = GenerationStats()
    text = "".join(
        engine.stream(
            prompt,
            max_new_tokens=settings.max_answer_tokens,
            max_context=settings.max_context,
            repetition_penalty=settings.repetition_penalty,
            stats=stats,
        )
    )
    return {
        "text": text,
        "tokens": stats.tokens,
        "ms": stats.total_ms - stats.first_token_ms,
        "drafted": stats.drafts.drafted,
        "accepted": stats.drafts.accepted,
    }


def _by_genai(engine: Any, prompt: str, settings: Any) -> dict[str, Any]:
    import onnxruntime_genai as og

    from fieldpack.generation.longrope import new_generator

    ids = engine.encode(prompt)
    params = og.GeneratorParams(engine._model)
    length = min(len(ids) + settings.max_answer_tokens, settings.max_context)
    params.set_search_options(
        max_length=length, do_sample=False, repetition_penalty=settings.repetition_penalty
    )
    generator, decoder = (
        new_generator(engine._model, params, engine._rope, length),
        engine._tokenizer.create_stream(),
    )
    generator.append_tokens(ids)
    text, tokens, started = "", 0, 0.0
    while not generator.is_done():
        generator.generate_next_token()
        text += decoder.decode(generator.get_next_tokens()[0])
        tokens += 1
        started = started or time.perf_counter()
    return {"text": text, "tokens": tokens, "ms": (time.perf_counter() - started) * 1000}


def gain(row: dict[str, Any], against: str) -> float | None:
    """Times as many tokens a second; None for answers too short to time."""
    ours, theirs = row["drafts"], row[against]
    if min(ours["tokens"], theirs["tokens"]) < 4:
        return None
    return (ours["tokens"] - 1) / ours["ms"] / ((theirs["tokens"] - 1) / theirs["ms"])


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    against = {name: [gain(row, name) for row in rows] for name in ("without", "genai")}
    drafted, accepted = (
        sum(row["drafts"][name] for row in rows) for name in ("drafted", "accepted")
    )
    known = sorted(g for g in against["without"] if g)
    return {
        "questions": len(rows),
        "same text as without drafts": sum(
            r["drafts"]["text"] == r["without"]["text"] for r in rows
        ),
        "same text as genai's search": sum(r["drafts"]["text"] == r["genai"]["text"] for r in rows),
        "gain over without, median": median(against["without"]),
        "gain over genai's search, median": median(against["genai"]),
        "gain over genai's search, all tokens": _speed(rows, "drafts") / _speed(rows, "genai"),
        "least and most over without": f"{known[0]:.2f} to {known[-1]:.2f}" if known else None,
        "drafted tokens that were right": accepted / max(drafted, 1),
    }


def _speed(rows: list[dict[str, Any]], name: str) -> float:
    timed = [row[name] for row in rows if row[name]["tokens"] > 1]
    return float(sum(r["tokens"] - 1 for r in timed) / sum(r["ms"] for r in timed))


def _svg(rows: list[dict[str, Any]]) -> str:
    """A bar a question, sorted: decoding with drafts over genai's own search; the line is 1."""
    gains = sorted((g for row in rows if (g := gain(row, "genai"))), reverse=True)
    top, wide, high = max([2.0, *gains]), 720, 240
    step = wide / max(len(gains), 1)

    def y(value: float) -> float:
        return round(20 + high * (1 - value / top), 1)

    bars = "".join(
        f'<rect x="{50 + n * step:.1f}" y="{y(g)}" width="{max(step - 1, 0.5):.1f}" '
        f'height="{20 + high - y(g):.1f}" '
        f'fill="{"#2a7f62" if g >= 1 else "#c2703d"}"/>'
        for n, g in enumerate(gains)
    )
    ticks = "".join(
        f'<text x="42" y="{y(v) + 4}" text-anchor="end">{v:g}</text>'
        f'<line x1="50" x2="{50 + wide}" y1="{y(v)}" y2="{y(v)}" '
        f'stroke="{"#333" if v == 1 else "#ddd"}"/>'
        for v in (0, 0.5, 1, 1.5, 2, 2.5, 3)
        if v <= top
    )
    caption = (
        f"Decoding speed with drafts over genai's own search, by question ({len(gains)}, sorted)"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide + 70} {high + 60}" '
        'font-family="sans-serif" '
        f'font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/>{ticks}{bars}<text x="50" '
        f'y="{high + 45}">{caption}</text></svg>\n'
    )


if __name__ == "__main__":
    main()
