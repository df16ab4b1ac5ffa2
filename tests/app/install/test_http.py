"""Over HTTP: the same folder on a static server, in ranges, going on where it was cut off."""

from __future__ import annotations

from pathlib import Path

import hostile_http
import shipping


def blobs(server: hostile_http.Server) -> list[tuple[str, str]]:
    return [(path, wanted) for path, wanted in server.asked if "/blobs/" in path]


def test_a_cut_copy_goes_on_with_a_range(yard: shipping.Yard, device: shipping.Device) -> None:
    with hostile_http.serving(yard.stick) as server:
        server.cut_after = 4000
        cut = device.install(server.url)
        assert cut.code == 4 and "run the same command again to go on" in cut.err, cut.err
        (half,) = [
            path for path in (device.store / "partial").iterdir() if path.stat().st_size == 4000
        ]
        asked = len(server.asked)
        done = device.install(server.url, "--json")
        assert done.code == 0, done.err
        assert (f"/blobs/sha256/{half.name}", "bytes=4000-") in server.asked[asked:]
        assert done.json[0]["copied"] < done.json[0]["size"]
    assert not list((device.store / "partial").iterdir())
    assert "400 hours" in device.run("ask", "toy", shipping.QUESTION).out


def test_a_server_without_ranges_is_read_from_the_start(
    yard: shipping.Yard, device: shipping.Device
) -> None:
    with hostile_http.serving(yard.stick) as server:
        server.cut_after, server.ranges = 4000, False
        assert device.install(server.url).code == 4
        assert device.install(server.url).code == 0
    assert device.run("verify", "--deep").code == 0


def test_what_was_left_half_and_is_wrong_is_copied_anew(
    yard: shipping.Yard, device: shipping.Device
) -> None:
    """A power cut may leave a file of the right length and the wrong bytes."""
    with hostile_http.serving(yard.stick) as server:
        server.cut_after = 4000
        assert device.install(server.url).code == 4
        (half,) = [
            path for path in (device.store / "partial").iterdir() if path.stat().st_size == 4000
        ]
        half.write_bytes(bytes(4000))
        assert device.install(server.url).code == 0
    assert device.run("verify", "--deep").code == 0


def test_an_update_asks_for_what_changed_alone(
    toy: Path, yard: shipping.Yard, device: shipping.Device, tmp_path: Path
) -> None:
    with hostile_http.serving(yard.stick) as server:
        assert device.install(server.url).code == 0
        yard.ship(
            shipping.next_version(
                toy, tmp_path / "toy-1.1.0", "1.1.0", said="Change it after 900 hours."
            )
        )
        server.asked.clear()
        done = device.run("update", "--json")
        assert done.code == 0 and done.json[0]["action"] == "updated", done.err
        new = tmp_path / "toy-1.1.0"
        changed = [
            path
            for path in new.rglob("*")
            if path.is_file() and path.read_bytes() != (toy / path.relative_to(new)).read_bytes()
        ]
        assert len(blobs(server)) == len(changed)
