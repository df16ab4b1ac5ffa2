"""`fieldpack serve --lan`: phones of the local network, and those who would be one."""

from __future__ import annotations

import hashlib
import html
import http.client
import json
import re
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from fieldpack import InputError
from fieldpack_app.cli import cli
from fieldpack_app.lan import pairing
from fieldpack_app.lan.addresses import local_name, own_addresses
from fieldpack_app.lan.announce import qr_code
from fieldpack_app.lan.certificate import own_certificate
from fieldpack_app.lan.device_keys import DeviceKeys
from fieldpack_app.lan.pairing import PairingRefused, open_pairing, redeem
from fieldpack_app.server.routes.static import PAGE
from terminal import COMMAND

QUESTION = {"question": "What does the A class cost?"}


@dataclass
class Lan:
    """A server for the local network, here on the loopback, with what its terminal said."""

    port: int
    state: Path
    said: str

    @property
    def folder(self) -> Path:
        return self.state / "lan"

    @property
    def code(self) -> str:
        return re.search(r"type (\d{4}-\d{4})", self.said)[1]  # type: ignore[index]

    def client(self, **headers: str) -> httpx.Client:
        """A client that trusts this server's certificate alone."""
        trust = ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}",
            verify=trust,
            headers=headers,
            timeout=60,
            trust_env=False,
        )

    def keys(self, *arguments: str) -> str:
        done = CliRunner().invoke(cli, ["keys", *arguments, "--state", str(self.state)])
        assert done.exit_code == 0, done.output
        return done.output


@contextmanager
def lan_server(bundle: Path, state: Path, *options: str) -> Iterator[Lan]:
    command = [*COMMAND, "serve", str(bundle), "--quick", "--threads", "1", "--lan"]
    with subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", "0", "--state", str(state), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            said = ""
            while "Ctrl-C ends." not in said:
                line = process.stdout.readline()
                assert line, process.stderr and process.stderr.read()
                said += line
            found = re.search(r"https://127\.0\.0\.1:(\d+)", said)
            assert found, said
            yield Lan(int(found[1]), state, said)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def lan(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    with lan_server(sealed, tmp_path_factory.mktemp("lan") / "state") as running:
        yield running


def pair(client: httpx.Client, code: str, name: str = "Ana's phone") -> httpx.Response:
    return client.post("/pair", data={"code": code, "name": name})


def new_code(lan: Lan) -> str:
    """A code that another command makes while the server runs."""
    return str(json.loads(lan.keys("pair", "--json"))["code"])


# --- a phone --------------------------------------------------------------------------------------


def test_a_phone_is_let_in_once_by_its_code_and_out_by_its_key(
    sealed: Path, tmp_path: Path
) -> None:
    with lan_server(sealed, tmp_path / "state") as lan, lan.client() as phone:
        assert phone.get("/api/bundles").status_code == 401
        sent_on = phone.get("/")
        assert (sent_on.status_code, sent_on.headers["location"]) == (303, "/pair")
        form = phone.get("/pair", params={"code": lan.code})
        assert form.status_code == 200 and f'value="{lan.code}"' in form.text
        assert "form-action 'self'" in form.headers["content-security-policy"]
        assert "script" not in form.headers["content-security-policy"]

        paired = pair(phone, lan.code)
        assert (paired.status_code, paired.headers["location"]) == (303, "/")
        cookie = paired.headers["set-cookie"]
        assert "HttpOnly" in cookie and "Secure" in cookie and "samesite=strict" in cookie.lower()
        assert phone.get("/").status_code == 200
        assert phone.get("/api/bundles").json()["bundles"][0]["id"] == "tiny-1.0.0"
        assert "event: done" in phone.post("/api/ask", json=QUESTION).text

        (row,) = json.loads(lan.keys("list", "--json"))
        assert row["name"] == "Ana's phone"
        secret = phone.cookies[f"fieldpack_{lan.port}"].partition(".")[0]
        for file in lan.folder.iterdir():
            assert secret.encode() not in file.read_bytes(), "the key itself is kept nowhere"
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(lan.folder.stat().st_mode) == 0o700

        with lan.client() as second:
            again = pair(second, lan.code)
            assert again.status_code == 403 and "no code is open" in again.text.lower()
            assert pair(second, new_code(lan), "Ben").status_code == 303
            lan.keys("revoke", row["id"])
            assert phone.get("/api/bundles").status_code == 401
            assert second.get("/api/bundles").status_code == 200, "one key, not all"


def test_a_program_has_a_key_of_its_own(lan: Lan) -> None:
    secret = lan.keys("add", "script").strip()
    with lan.client(Authorization=f"Bearer {secret}") as client:
        assert client.get("/v1/models").json()["data"][0]["id"] == "tiny-1.0.0"
        # A key of a device is no `token=`: the cookie made of that would outlive it.
        with lan.client() as other:
            assert other.get("/", params={"token": secret}).status_code == 401
        lan.keys("revoke", "script")
        assert client.get("/v1/models").status_code == 401


def test_the_terminal_says_address_code_and_fingerprint(lan: Lan) -> None:
    der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", lan.port)))
    shown = hashlib.sha256(der).hexdigest().upper()
    assert shown in re.sub(r"[\s:]", "", lan.said)
    assert f"https://127.0.0.1:{lan.port}/pair" in lan.said and "token=" not in lan.said


def test_a_browser_pairs_by_the_form_and_then_has_the_page(sealed: Path, tmp_path: Path) -> None:
    """What a browser says of where a form is from is not what a program would write."""
    import browsing

    with lan_server(sealed, tmp_path / "state") as lan, browsing.chromium() as browser:
        phone = browser.new_context(
            ignore_https_errors=True, viewport={"width": 390, "height": 800}, locale="en-GB"
        )
        phone.set_default_timeout(60_000)
        page = phone.new_page()
        page.goto(f"https://127.0.0.1:{lan.port}/")
        assert page.url.endswith("/pair")
        page.get_by_label("The code").fill("0000-0001")
        page.get_by_label("A name").fill("Ben's tablet")
        page.get_by_role("button", name="Pair").click()
        page.get_by_role("alert").get_by_text("That is not the code").wait_for()
        assert page.get_by_label("The code").input_value() == ""
        assert page.get_by_label("A name").input_value() == "Ben's tablet"
        page.goto(f"https://127.0.0.1:{lan.port}/pair?code={lan.code}")
        page.get_by_label("A name").fill("Ben's tablet")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, "it fits a phone"
        page.get_by_role("button", name="Pair").click()
        page.locator("#welcome h2").wait_for()
        page.reload()
        page.locator("#welcome h2").wait_for()
        lan.keys("revoke", "Ben's tablet")
        page.goto(f"https://127.0.0.1:{lan.port}/")
        assert page.url.endswith("/pair")
        phone.close()


def test_without_minutes_no_code_is_made_until_it_is_asked_for(
    sealed: Path, tmp_path: Path
) -> None:
    """As a service starts: what it prints is kept in a journal."""
    with lan_server(sealed, tmp_path / "state", "--pair-minutes", "0") as lan:
        assert "type " not in lan.said and not (lan.folder / "pairing.json").exists()
        with lan.client() as phone:
            assert pair(phone, "").status_code == 403
            assert pair(phone, new_code(lan)).status_code == 303


# --- who would be one -----------------------------------------------------------------------------


def test_guessing_uses_a_code_up_and_then_waits(sealed: Path, tmp_path: Path) -> None:
    """Five tries a code, ten a minute of all together; a right one after them lets nobody in."""
    with lan_server(sealed, tmp_path / "state") as lan, lan.client() as guesser:
        wrong = "0000-0000" if lan.code != "0000-0000" else "1111-1111"
        answers = [pair(guesser, wrong) for _ in range(pairing.TRIES)]
        assert [one.status_code for one in answers] == [403] * 5
        assert "4 tries are left" in answers[0].text and "used up" in answers[-1].text
        assert "1 try is left" in answers[-2].text
        assert pair(guesser, lan.code).status_code == 403
        odd = ("", "1" * 900, "１２３４５６７８", "%00", lan.code)
        statuses = [pair(guesser, code).status_code for code in odd]
        assert statuses == [403, 403, 403, 403, 429]
        limited = pair(guesser, new_code(lan))
        assert limited.status_code == 429 and int(limited.headers["retry-after"]) <= 60
        assert not DeviceKeys(lan.folder).all()


def test_foreign_pages_and_oversized_forms_are_refused(lan: Lan) -> None:
    with lan.client() as client:
        code = new_code(lan)
        form = {"code": code, "name": "x"}
        own = f"https://127.0.0.1:{lan.port}"
        for origin in ("https://evil.example", f"http://127.0.0.1:{lan.port}", "null"):
            assert client.post("/pair", data=form, headers={"Origin": origin}).status_code == 403
        for site in ("cross-site", "same-site", "none"):
            sent = client.post("/pair", data=form, headers={"Sec-Fetch-Site": site})
            assert sent.status_code == 403
        assert client.post("/pair", json=form).status_code == 415
        assert client.post("/pair", data={**form, "name": "x" * 5000}).status_code == 413
        assert client.get("/pair", headers={"Host": "evil.example"}).status_code == 421
        named = client.get("/pair", params={"code": '"><script>alert(1)</script>'})
        assert "<script>" not in named.text
        sent = client.post("/pair", data=form, headers={"Origin": own})
        assert sent.status_code == 303, "none of these used the code up"


def test_the_form_is_in_the_browser_s_language_and_nothing_else_is_given(lan: Lan) -> None:
    with lan.client(**{"Accept-Language": "uk-UA,uk;q=0.9,en;q=0.8"}) as phone:
        form = phone.get("/pair", params={"code": "1234-5678"})
        assert '<html lang="uk" dir="ltr">' in form.text
        assert "Підключити цей пристрій" in form.text and 'value="1234-5678"' in form.text
        assert form.headers["referrer-policy"] == "same-origin"
        assert re.findall("src=|href=|<script|nonce", form.text) == []
        for path in ("css/keyless.css", "pair.html", "locales/uk.json", "js/app.js", "icon.svg"):
            assert phone.get(f"/static/{path}").status_code == 401, path
        for path in ("/", "/report"):
            sent_on = phone.get(path)
            assert (sent_on.status_code, sent_on.headers["location"]) == (303, "/pair")
        assert phone.put("/pair").status_code == phone.delete("/pair").status_code == 405


def test_each_refusal_is_said_in_the_browser_s_language(sealed: Path, tmp_path: Path) -> None:
    """Ten tries, as many as a minute lets through, and the eleventh."""
    words = json.loads((PAGE / "locales" / "uk.json").read_text(encoding="utf-8"))
    with (
        lan_server(sealed, tmp_path / "state", "--pair-minutes", "0") as lan,
        lan.client(**{"Accept-Language": "uk"}) as phone,
    ):
        file = lan.folder / "pairing.json"

        def refusal(code: str, status: int = 403) -> str:
            answer = pair(phone, code, "Телефон <Олени>")
            assert answer.status_code == status, answer.text
            assert 'value="Телефон &lt;Олени&gt;"' in answer.text
            assert answer.headers["referrer-policy"] == "same-origin"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            (alert,) = re.findall(r'role="alert">(.*?)</p>', answer.text)
            return html.unescape(str(alert))

        assert refusal("1") == words["pair_none_open"]
        file.write_text("{")
        file.chmod(0o600)
        assert refusal("2") == words["pair_damaged"]
        code = new_code(lan)
        made = json.loads(file.read_text())
        file.write_text(json.dumps({**made, "opened": made["opened"] - 3600}))
        assert refusal(code) == words["pair_expired"]
        new_code(lan)
        for left in (4, 3, 2, 1):
            form = words["pair_wrong"]["one" if left == 1 else "few"]
            assert refusal("") == form.replace("{n}", str(left))
        assert refusal("") == words["pair_used_up"]
        keys = DeviceKeys(lan.folder)
        for number in range(100):
            keys.add(f"device {number}")
        assert refusal(new_code(lan)) == words["pair_full"]
        assert refusal("") == words["pair_none_open"]
        assert refusal("", 429) == words["pair_too_many"]


def test_who_does_not_speak_tls_gets_nothing(lan: Lan) -> None:
    with closing(socket.create_connection(("127.0.0.1", lan.port), timeout=120)) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"HTTP/1." not in plain.recv(4096)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    raw = socket.create_connection(("127.0.0.1", lan.port), timeout=120)
    with closing(raw), pytest.raises(OSError):
        old.wrap_socket(raw)


def test_many_who_say_nothing_keep_nobody_out(lan: Lan) -> None:
    """Connections that never shake hands end after ten seconds, and are no limit's business."""
    silent = [socket.create_connection(("127.0.0.1", lan.port), timeout=120) for _ in range(300)]
    try:
        with lan.client() as client:
            assert client.get("/health").status_code == 200
        assert silent[0].recv(1) == b"", "the server closes it"
    finally:
        for one in silent:
            one.close()


# --- codes, keys, certificates --------------------------------------------------------------------


def test_a_code_expires_also_where_the_clock_was_set_back(tmp_path: Path) -> None:
    code = open_pairing(tmp_path, seconds=300)
    data = json.loads((tmp_path / "pairing.json").read_text())
    for opened in (int(time.time()) - 301, int(time.time()) + 3600):
        (tmp_path / "pairing.json").write_text(json.dumps({**data, "opened": opened}))
        with pytest.raises(PairingRefused, match="has expired"):
            redeem(tmp_path, code)
        with pytest.raises(PairingRefused, match="no code is open"):
            redeem(tmp_path, code)


def test_a_code_is_taken_as_people_type_it_and_a_new_one_voids_it(tmp_path: Path) -> None:
    first, second = (open_pairing(tmp_path, seconds=60) for _ in range(2))
    assert re.fullmatch(r"\d{4}-\d{4}", first)
    with pytest.raises(PairingRefused):
        redeem(tmp_path, first) if first != second else redeem(tmp_path, "")
    redeem(tmp_path, f" {second.replace('-', ' - ')} ")
    assert not (tmp_path / "pairing.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"code": 1}', '{"code": "1"}'])
def test_a_damaged_code_lets_nobody_in(tmp_path: Path, text: str) -> None:
    (tmp_path / "pairing.json").write_text(text)
    with pytest.raises(PairingRefused, match="damaged"):
        redeem(tmp_path, "")


@pytest.mark.parametrize("text", ["", "{", '[{"id": 1}]', "[[]]", '{"a": 1}', "\0" * 50])
def test_damaged_keys_let_nobody_in_and_are_named(tmp_path: Path, text: str) -> None:
    keys = DeviceKeys(tmp_path)
    _, secret = keys.add("phone")
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(InputError, match=r"keys\.json"):
        keys.find(secret)


def test_a_damaged_file_of_keys_shuts_out_and_ends_nothing(sealed: Path, tmp_path: Path) -> None:
    with lan_server(sealed, tmp_path / "state") as lan, lan.client() as phone:
        assert pair(phone, lan.code).status_code == 303
        good = (lan.folder / "keys.json").read_bytes()
        (lan.folder / "keys.json").write_bytes(good[:40])
        assert phone.get("/api/bundles").status_code == 401
        (lan.folder / "keys.json").write_bytes(good)
        assert phone.get("/api/bundles").status_code == 200


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_a_damaged_file_of_keys_at_pairing_is_said_on_the_form(
    language: str, sealed: Path, tmp_path: Path
) -> None:
    """The phone got JSON in English, and its code was used up."""
    words = json.loads((PAGE / "locales" / f"{language}.json").read_text("utf-8"))
    with (
        lan_server(sealed, tmp_path / "state") as lan,
        lan.client(**{"Accept-Language": language}) as phone,
    ):
        keys = lan.folder / "keys.json"
        keys.write_text("[{")
        failed = pair(phone, lan.code, "Ana")
        assert failed.status_code == 500 and failed.headers["content-type"].startswith("text/html")
        assert html.escape(words["pair_failed"]) in failed.text
        assert f'lang="{language}"' in failed.text and f'value="{lan.code}"' in failed.text
        keys.unlink()
        assert pair(phone, lan.code, "Ana").status_code == 303, "the code is still good"


def test_there_is_a_most_of_keys_and_names_are_short(tmp_path: Path) -> None:
    keys = DeviceKeys(tmp_path)
    made = [keys.add("x" * 500)[0] for _ in range(100)]
    assert len({key.id for key in made}) == 100 and len(made[0].name) == 40
    with pytest.raises(InputError, match="100 devices have keys"):
        keys.add("one more")
    assert len(keys.revoke(made[0].id)) == 1
    with pytest.raises(InputError, match="no such key"):
        keys.revoke(made[0].id)


def test_the_certificate_stays_until_its_names_change_or_it_is_damaged(tmp_path: Path) -> None:
    names = ["192.168.1.7", "kitchen.local"]
    first = own_certificate(tmp_path, names)
    assert first.is_new and stat.S_IMODE(first.key.stat().st_mode) == 0o600
    assert re.fullmatch(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", first.fingerprint)
    assert own_certificate(tmp_path, names).fingerprint == first.fingerprint
    other = own_certificate(tmp_path, [*names, "192.168.1.8"])
    assert other.is_new and other.fingerprint != first.fingerprint
    other.key.write_bytes(b"")
    mended = own_certificate(tmp_path, [*names, "192.168.1.8"])
    assert mended.is_new and mended.fingerprint != other.fingerprint


def test_own_addresses_are_of_this_machine() -> None:
    for address in own_addresses():
        with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as listening:
            listening.bind((str(address), 0))
        assert not address.is_loopback
    assert local_name().endswith(".local")


def test_without_the_packages_it_says_what_to_install(sealed: Path, tmp_path: Path) -> None:
    """A device without the extra: cryptography cannot be imported."""
    (tmp_path / "cryptography.py").write_text("raise ImportError('not installed')\n")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from fieldpack_app.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "serve", str(sealed), "--lan", "--quick"]
    done = subprocess.run(
        [*command, "--host", "127.0.0.1", "--port", "0", "--state", str(tmp_path / "state")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 4 and 'pip install "fieldpack[lan]"' in done.stderr


def test_a_qr_code_is_read_back() -> None:
    """Its modules, as the half blocks show them, are those that segno made."""
    segno = pytest.importorskip("segno", reason="segno is not installed")
    text = "https://192.168.1.7:8420/pair?code=1234-5678"
    lines = re.sub(r"\x1b\[[0-9;]*m", "", qr_code(text)).splitlines()
    read = []
    for line in lines:
        read.append([letter in "\u2580\u2588" for letter in line])
        read.append([letter in "\u2584\u2588" for letter in line])
    made = [
        [bool(dark) for dark in row]
        for row in segno.make(text, error="m", micro=False).matrix_iter(border=4)
    ]
    assert read[: len(made)] == made and not any(map(any, read[len(made) :]))


def test_lan_is_off_unless_it_is_asked_for(sealed: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "serve", str(sealed), "--quick", "--port", "0", "--state", str(tmp_path / "s")],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", process.stdout.readline())
            assert found
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=120)
            with closing(connection):
                headers = {"Authorization": f"Bearer {found[2]}"}
                connection.request("GET", "/pair", headers=headers)
                assert connection.getresponse().status == 404
            assert not (tmp_path / "s").exists()
        finally:
            process.kill()
