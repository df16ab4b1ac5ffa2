"""What comes back on the sticks: who runs what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import shipping
from fieldpack_build.errors import DataError
from fieldpack_build.ship.fleet import read_statuses, rows, table


def test_two_devices_of_which_one_is_behind(tmp_path: Path) -> None:
    toy = shipping.write_quoting_bundle(tmp_path / "toy-1.0.0")
    yard = shipping.make_yard(tmp_path)
    yard.ship(toy)
    one, other = shipping.Device(tmp_path / "one"), shipping.Device(tmp_path / "other")
    for device in (one, other):
        assert device.install(yard.stick).code == 0
    collected = tmp_path / "collected"
    collected.mkdir()
    assert other.run("status", "--json", "-o", collected / "other-old.json").code == 0
    yard.ship(shipping.next_version(toy, tmp_path / "toy-1.1.0", "1.1.0"))
    assert other.run("update").code == 0
    assert one.run("status", "--json", "-o", collected / "one.json").code == 0
    assert other.run("status", "--json", "-o", collected / "other-new.json").code == 0
    (collected / "something-else.json").write_text("{}")
    found = read_statuses([collected])
    assert {row[0]: (row[4], row[8]) for row in rows(found)} == {
        one.state()["device"]: ("1.0.0", "1 behind"),
        other.state()["device"]: ("1.1.0", ""),
    }
    assert len(table(found)) == 3
    with pytest.raises(DataError, match="no status of a device"):
        read_statuses([collected / "something-else.json"])


@pytest.mark.parametrize(
    "damage",
    [{"bundles": [{}]}, {"bundles": 3}, {"device": 7}, {"kind": "other"}],
    ids=lambda damage: str(damage),
)
def test_a_status_that_is_none(tmp_path: Path, damage: dict[str, object]) -> None:
    whole = {
        "kind": "fieldpack-status",
        "device": "a",
        "fieldpack": "1",
        "system": "s",
        "signed": "",
        "bundles": [],
    }
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    assert len(read_statuses([tmp_path / "whole.json"])) == 1
    (tmp_path / "bad.json").write_text(json.dumps({**whole, **damage}))
    with pytest.raises(DataError):
        read_statuses([tmp_path / "bad.json"])
