"""What an update changed, as its readers see it: by the server, in `status`, and on the start page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fieldpack
import serving
import shipping
from browsing import chromium, visit
from fieldpack_app.install.changes import Changes
from fieldpack_app.server.bundles import find_bundles
from fieldpack_app.server.loaded_bundle import LoadedBundle
from fieldpack_app.server.routes.changes import ChangesRoute

SAID = "Change the filter after 900 hours of use."


@pytest.fixture
def updated(toy: Path, yard: shipping.Yard, device: shipping.Device) -> shipping.Device:
    """A device that has had an update in which one document says something else."""
    assert device.install(yard.stick).code == 0
    newer = shipping.next_version(toy, yard.stick.parent / "toy-1.1.0", "1.1.0", said=SAID)
    yard.ship(newer)
    assert device.run("update").code == 0
    return device


def current(device: shipping.Device) -> Path:
    return device.store / "slots" / device.entry()["current"]["digest"] / "bundle"


def opened(path: Path) -> fieldpack.Expert:
    return fieldpack.open(path, threads=1)


def changes_at(bundle: Path, state: Path) -> Any:
    with serving.served([bundle], state, opener=opened) as served, served.client() as client:
        return client.get("/api/changes").json()


def test_the_server_and_status_say_what_changed(
    toy: Path, updated: shipping.Device, tmp_path: Path
) -> None:
    told = changes_at(current(updated), tmp_path / "state")
    assert (told["before"], told["version"]) == ("1.0.0", "1.1.0")
    assert told["changed"] == {"count": 1, "documents": ["pump.md"]}
    assert told["added"] == told["removed"] == {"count": 0, "documents": []}
    assert told["release"] == updated.entry()["current"]["digest"]
    status = updated.run("status", "--json")
    assert status.json["bundles"][0]["changes"] == {
        "before": "1.0.0",
        "added": 0,
        "changed": 1,
        "removed": 0,
        "figures": {},
    }
    assert "pump.md" not in status.out  # it names no documents
    one = Changes("1.0.0", added=("a",), changed=("b", "c"), removed=(), figures={})
    assert one.lines() == ["1 document added: a", "2 documents changed: b, c"]
    plain = updated.run("status").out
    assert "documents since 1.0.0: 0 added, 1 changed, 0 removed" in plain
    # After a roll back the page says nothing, nor does a bundle that was never installed.
    assert updated.run("rollback").code == 0
    assert changes_at(current(updated), tmp_path / "state") is None
    assert changes_at(toy, tmp_path / "state") is None


def test_the_page_shows_it_until_it_is_put_away(updated: shipping.Device, tmp_path: Path) -> None:
    with (
        chromium() as browser,
        serving.served([current(updated)], tmp_path / "state", opener=opened) as served,
        visit(browser, served) as visitor,
    ):
        page = visitor.page
        card = page.locator(".changes")
        card.get_by_text("What changed since 1.0.0").wait_for()
        card.get_by_text("1 document changed").click()
        assert card.get_by_text("pump.md").is_visible()
        assert card.locator("details").count() == 1  # no line for what did not change
        card.get_by_role("button", name="Close").click()
        card.wait_for(state="hidden")
        page.reload()
        page.locator(".documents li").first.wait_for()
        page.wait_for_load_state("networkidle")
        assert not card.is_visible()


def test_of_two_readers_at_once_each_is_told_of_its_own_bundle(updated: shipping.Device) -> None:
    """What the route keeps of the last comparison may be another thread's by the time it answers."""

    class Overtaken(ChangesRoute):
        @property
        def _last(self) -> Any:
            return self.__dict__.get("kept")

        @_last.setter
        def _last(self, ours: Any) -> None:
            self.__dict__["kept"] = ours and ("another thread's", None)

    [bundle] = find_bundles([current(updated)])
    route = Overtaken(object.__new__(LoadedBundle), None)  # type: ignore[arg-type]
    changed = route._compare(bundle)
    assert changed is not None and changed["changed"]["documents"] == ["pump.md"]
