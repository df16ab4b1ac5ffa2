"""A server that runs while releases come and go: no question is dropped, and a withdrawn release
answers no more."""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fieldpack
import serving
import shipping
from fieldpack_app.install.opening import open_installed
from fieldpack_build.ship.ship import recall


def current(device: shipping.Device) -> Path:
    return device.store / "slots" / device.entry()["current"]["digest"] / "bundle"


def opener(path: Path) -> fieldpack.Expert:
    return open_installed(path, lambda slot: fieldpack.open(slot, threads=1))


def follower(path: Path, before: fieldpack.Expert) -> fieldpack.Expert:
    """As `fieldpack serve` opens a newer release."""

    def opened(slot: Path) -> fieldpack.Expert:
        expert = fieldpack.open(slot, threads=1)
        expert.borrow_models(before)
        return expert

    return open_installed(path, opened)


def ask(served: serving.Served) -> tuple[int, str, float]:
    started = time.monotonic()
    with (
        served.client() as client,
        client.stream("POST", "/api/ask", json={"question": shipping.QUESTION}) as answer,
    ):
        events = dict(serving.events_of(answer)) if answer.status_code == 200 else {}
    return (
        answer.status_code,
        str(events.get("done", events.get("error", {}))),
        time.monotonic() - started,
    )


def test_an_update_under_a_client_that_asks_all_the_while(
    toy: Path, yard: shipping.Yard, device: shipping.Device, tmp_path: Path
) -> None:
    assert device.install(yard.stick).code == 0
    with serving.served(
        [current(device)], tmp_path / "state", opener=opener, follower=follower
    ) as served:
        first = served.expert
        asked: list[tuple[int, str, float]] = []
        stop = threading.Event()

        def client() -> None:
            while not stop.is_set():
                asked.append(ask(served))

        thread = threading.Thread(target=client)
        thread.start()
        try:
            serving.wait_for(lambda: len(asked) > 3)
            yard.ship(
                shipping.next_version(
                    toy,
                    tmp_path / "toy-1.1.0",
                    "1.1.0",
                    said="Change the filter after 900 hours of use.",
                )
            )
            assert device.run("update").code == 0
            serving.wait_for(lambda: "900 hours" in asked[-1][1], 60)
            updated = len(asked)
            # Only documents changed: the encoder that was open answers on, and the old rest is gone.
            sessions = served.expert._retriever.embedder._sessions
            assert served.expert is not first and len(sessions) == 1
            serving.wait_for(lambda: first._retriever is None)
            assert device.run("rollback").code == 0
            serving.wait_for(lambda: "400 hours" in asked[-1][1], 60)
        finally:
            stop.set()
            thread.join()
        assert {code for code, _, _ in asked} == {200}
        assert all("400 hours" in said or "900 hours" in said for _, said, _ in asked), asked
        assert updated > 4
        with served.client() as other:
            listed: Any = other.get("/api/bundles").json()
        assert listed["current"] == "toy-1.0.0"
        print(
            f"longest {max(s for *_, s in asked):.3f} s, median"
            f" {statistics.median(s for *_, s in asked):.3f} s"
        )
        assert device.entry()["tries"] is None


def test_a_recall_reaches_a_running_server(
    yard: shipping.Yard, device: shipping.Device, tmp_path: Path
) -> None:
    assert device.install(yard.stick).code == 0
    with serving.served([current(device)], tmp_path / "state", opener=opener) as served:
        assert "400 hours" in ask(served)[1]
        recall(yard.stick, yard.keys, "toy", "1.0.0", "wrong dosage in table 3")
        assert device.run("update").code == 0
        serving.wait_for(lambda: "wrong dosage in table 3" in ask(served)[1])
        with served.client() as client:
            assert client.get("/health").json() == {"status": "damaged"}


def test_a_recall_reaches_a_bundle_that_is_just_being_opened(
    yard: shipping.Yard, device: shipping.Device, sealed: Path, tmp_path: Path
) -> None:
    """It was looked for in the list of recalls before the recall came, and is open only after."""
    assert device.install(yard.stick).code == 0
    opened, go = threading.Event(), threading.Event()

    def slow(path: Path) -> fieldpack.Expert:
        expert = opener(path)
        if path != sealed:
            opened.set()
            assert go.wait(60)
        return expert

    bundles = [sealed, current(device)]
    with (
        serving.served(bundles, tmp_path / "state", opener=slow) as served,
        served.client() as client,
        ThreadPoolExecutor(1) as pool,
    ):
        chosen = pool.submit(client.post, "/api/bundles/current", json={"id": "toy-1.0.0"})
        serving.wait_for(opened.is_set)
        recall(yard.stick, yard.keys, "toy", "1.0.0", "wrong dosage in table 3")
        assert device.run("update").code == 0
        written = (device.store / "state.json").stat().st_mtime_ns
        serving.wait_for(lambda: written in [seen for _, seen in served.following._seen.values()])
        go.set()
        assert chosen.result().json()["current"] == "toy-1.0.0"
        serving.wait_for(lambda: "wrong dosage in table 3" in ask(served)[1])


def test_a_disk_that_fails_once_leaves_the_server_following(
    toy: Path, yard: shipping.Yard, device: shipping.Device, tmp_path: Path
) -> None:
    assert device.install(yard.stick).code == 0
    failed = threading.Event()

    def follow(path: Path, before: fieldpack.Expert) -> fieldpack.Expert:
        if not failed.is_set():
            failed.set()
            raise OSError(5, "Input/output error", str(path))
        return follower(path, before)

    with serving.served(
        [current(device)], tmp_path / "state", opener=opener, follower=follow
    ) as served:
        assert "400 hours" in ask(served)[1]
        for version, hours in (("1.1.0", "800 hours"), ("1.2.0", "900 hours")):
            said = f"Change the filter after {hours} of use."
            yard.ship(shipping.next_version(toy, tmp_path / version, version, said=said))
            assert device.run("update").code == 0
            serving.wait_for(failed.is_set)
        serving.wait_for(lambda: "900 hours" in ask(served)[1])
