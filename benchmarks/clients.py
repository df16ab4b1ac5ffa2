"""Clients at once on `fieldpack serve`, some hanging up in the middle: who waits how long, and
whether memory stays flat.

    python benchmarks/clients.py dist/finance-1.0.0 --minutes 10 --json clients.json

Each client asks its next question as soon as it has its answer. "Wait" is from the request to the
`passages` event, when the turn has come and the search is done. A client that hangs up closes its
connection after a few words, or while it waits. Memory is the server's resident memory; it counts
as flat if after the warm-up (a tenth of the time, at most two minutes) no sample is more than 5%
above the first.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import click
from measuring import machine, machine_line, table, write_json
from serve_process import Target, events_of, serving

_PACKAGES = ("fieldpack", "starlette", "uvicorn", "onnxruntime", "onnxruntime-genai")
_SAMPLE_SECONDS = 30.0
_FLAT = 1.05
_FAIR = 3.0
_WORDS = (1, 12)  # after how many a client hangs up


@dataclass
class Client:
    """One of the clients; what happened to it."""

    name: str
    target: Target
    questions: list[str]
    hang_up: float
    chance: random.Random
    waits: list[float] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def run(self, until: float) -> None:
        while time.monotonic() < until:
            try:
                self.ask(self.chance.choice(self.questions))
            except OSError as error:
                self.counts["errors"] += 1
                print(f"{self.name}: {error}")

    def ask(self, question: str) -> None:
        patience = self.chance.randint(*_WORDS) if self.chance.random() < self.hang_up else None
        started = time.monotonic()
        connection, response = self.target.send(
            "POST", "/api/ask", {"question": question}, X_Fieldpack_Client=self.name
        )
        with closing(connection):
            if response.status == 429:
                self.counts["429"] += 1
                time.sleep(min(float(response.headers["Retry-After"]), 5))
                return
            if response.status != 200:
                self.counts["errors"] += 1
                return
            for name, data in events_of(response):
                if name == "queued" and patience == _WORDS[0] and data["position"]:
                    self.counts["hung up waiting"] += 1
                    return
                if name == "passages":
                    self.waits.append(time.monotonic() - started)
                elif name == "text" and patience is not None:
                    patience -= 1
                    if patience <= 0:
                        self.counts["hung up"] += 1
                        return
                elif name in ("done", "error"):
                    self.counts["answers" if name == "done" else "errors"] += 1
            self.totals.append(time.monotonic() - started)

    def row(self) -> dict[str, Any]:
        waits = self.waits or [0.0]
        counts = {
            name: self.counts[name]
            for name in ("answers", "hung up", "hung up waiting", "429", "errors")
        }
        return {
            "client": self.name,
            **counts,
            "mean wait s": mean(waits),
            "longest wait s": max(waits),
            "mean answer s": mean(self.totals) if self.totals else None,
        }


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--clients", default=8, show_default=True)
@click.option(
    "--hang-up",
    default=0.2,
    show_default=True,
    help="Share of the questions whose client hangs up.",
)
@click.option("--threads", type=int, help="Of the server.")
@click.option(
    "--questions",
    type=click.Path(path_type=Path, exists=True),
    help='JSON Lines with a "question" each.',
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    bundle: Path,
    minutes: float,
    clients: int,
    hang_up: float,
    threads: int | None,
    questions: Path | None,
    json_path: Path | None,
) -> None:
    """Ask the page's API of BUNDLE from several clients at once."""
    facts = machine(_PACKAGES)
    asked = _read(questions) if questions else _made(bundle)
    with serving(bundle, ["--threads", str(threads)] if threads else []) as target:
        every = [
            Client(f"client{n}", target, asked, hang_up, random.Random(n)) for n in range(clients)
        ]
        memory = _run(every, target, minutes * 60)
        metrics = target.get("/metrics")[1]
    rows = [client.row() for client in every]
    verdict = _verdict(every, memory, minutes * 60)
    data = {
        "benchmark": "clients",
        "machine": facts,
        "bundle": bundle.name,
        "minutes": minutes,
        "hang_up": hang_up,
        "clients": rows,
        "rss_mb": memory,
        "verdict": verdict,
        "metrics": _plain(metrics),
    }
    _show(data)
    write_json(json_path, data)


def _run(every: list[Client], target: Target, seconds: float) -> list[list[float]]:
    """[[second, MiB], ...] of the server's resident memory, at the start, every 30 s and at the
    end."""
    began = time.monotonic()
    until = began + seconds
    memory = [[0.0, target.rss_mb()]]
    threads = [threading.Thread(target=client.run, args=(until,)) for client in every]
    for thread in threads:
        thread.start()
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _SAMPLE_SECONDS))
        memory.append([round(time.monotonic() - began, 1), target.rss_mb()])
    for thread in threads:
        thread.join()
    return [*memory, [round(time.monotonic() - began, 1), target.rss_mb()]]


def _verdict(every: list[Client], memory: list[list[float]], seconds: float) -> dict[str, Any]:
    waits = [wait for client in every for wait in client.waits]
    warm = [mb for at, mb in memory if at >= min(seconds / 10, 120)]
    ratio = max(waits) / mean(waits) if waits else None
    growth = max(warm) / warm[0]
    return {
        "answers": sum(client.counts["answers"] for client in every),
        "errors": sum(c.counts["errors"] for c in every),
        "longest wait over mean": ratio,
        "fair": ratio is not None and ratio < _FAIR,
        "growth after warm-up": growth,
        "flat": growth <= _FLAT,
    }


def _read(path: Path) -> list[str]:
    return [
        json.loads(line)["question"]
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]


def _made(bundle: Path) -> list[str]:
    """A question about the beginning of each of fifty chunks, spread over the library."""
    from fieldpack.index.reader import KnowledgeIndex

    chunks = [chunk for _, chunk in KnowledgeIndex(bundle / "knowledge").chunks()]
    picked = chunks[:: max(len(chunks) // 50, 1)]
    return [
        f"What is said in {chunk.title[:60]} about {' '.join(chunk.text.split()[:8])}?"[:400]
        for chunk in picked
    ]


def _plain(metrics: str) -> dict[str, float]:
    lines = [
        line.rpartition(" ")
        for line in metrics.splitlines()
        if line.startswith("fieldpack_") and "bucket" not in line
    ]
    return {name: float(value) for name, _, value in lines}


def _show(data: dict[str, Any]) -> None:
    print(machine_line(data["machine"]))
    print(
        f"{data['bundle']}, {len(data['clients'])} clients, {data['minutes']:g} minutes, "
        f"{data['hang_up']:.0%} of the questions hung up on\n"
    )
    print(table(list(data["clients"][0]), [list(row.values()) for row in data["clients"]]), "\n")
    print(
        table(["server at, s", "RSS, MB"], [[f"{at:.0f}", mb] for at, mb in data["rss_mb"]]), "\n"
    )
    print(table(["verdict", ""], [[name, value] for name, value in data["verdict"].items()]))


if __name__ == "__main__":
    main()
