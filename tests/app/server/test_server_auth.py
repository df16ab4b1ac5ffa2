"""Who gets in: hosts, origins, keys; what every answer's head says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from serving import TICKET, TOKEN, Served, served

KEY = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def server(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served([sealed], tmp_path_factory.mktemp("state")) as running:
        yield running


def get(server: Served, path: str, **headers: str) -> httpx.Response:
    return httpx.get(
        server.url + path,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        trust_env=False,
        timeout=60,
    )


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_a_browser_gets_its_cookie_once_and_then_the_page(server: Served) -> None:
    first = get(server, f"/?token={TOKEN}")
    assert (first.status_code, first.headers["location"]) == (303, "/")
    cookie = first.headers["set-cookie"]
    assert cookie.startswith(f"fieldpack_{server.port}={TOKEN}.")
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie
    assert (
        get(server, "/api/bundles", cookie=cookie.partition(";")[0]).json()["current"]
        == "tiny-1.0.0"
    )
    assert (
        get(server, f"/?token={TOKEN}").headers["set-cookie"] != cookie
    )  # another browser, another name in the queue


def test_a_ticket_opens_the_page_once_and_nothing_else(server: Served) -> None:
    assert get(server, "/api/bundles", authorization=f"Bearer {TICKET}").status_code == 401
    assert (
        get(server, "/api/bundles", cookie=f"fieldpack_{server.port}={TICKET}.x").status_code == 401
    )
    first, second = get(server, f"/?token={TICKET}"), get(server, f"/?token={TICKET}")
    assert (first.status_code, second.status_code) == (303, 401)
    cookie = first.headers["set-cookie"].partition(";")[0]
    assert TICKET not in cookie and get(server, "/api/bundles", cookie=cookie).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?token=wrong",
        "/report",
        "/api/about",
        "/api/bundles",
        "/metrics",
        "/v1/models",
        "/static/js/app.js",
    ],
)
def test_without_the_key_there_is_nothing(server: Served, path: str) -> None:
    response = get(server, path)
    assert response.status_code == 401
    html = path.startswith(("/?", "/report")) or path == "/"
    assert response.headers["content-type"].startswith("text/html" if html else "application/json")
    assert html or code(response) == (401, "no_token")


def test_the_page_without_the_key_has_a_box_and_needs_nothing_else(server: Served) -> None:
    page = get(server, "/", accept_language="xx, de-CH;q=0.9, en")
    assert '<html lang="de" dir="ltr">' in page.text
    assert "Diese Seite braucht ihren Schlüssel" in page.text
    assert re.findall(r"(?:src|href)=", page.text) == []
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy
    assert "script" not in policy and "unsafe" not in policy
    assert "Das ist nicht der Schlüssel" not in page.text
    wrong = get(server, "/?token=wrong", accept_language="de")
    assert wrong.status_code == 401 and "Das ist nicht der Schlüssel" in wrong.text
    whole = quote(f" {server.url}/?token={TOKEN} ")
    assert get(server, f"/?token={whole}").status_code == 303, "the whole address, put into the box"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"cookie": "fieldpack_1=" + TOKEN},
        {"cookie": "=;;=\x01"},
        {"authorization": "Bearer é".encode().decode("latin-1")},
    ],
)
def test_wrong_keys(server: Served, headers: dict[str, str]) -> None:
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    assert httpx.get(
        server.url + "/api/bundles", headers=sent, trust_env=False, timeout=60
    ).status_code in (
        400,
        401,
    )


@pytest.mark.parametrize(
    "others",
    [
        'prefs={"a":1}; {ours}',
        "{ours}; name=John Smith",
        'a="; {ours}',
        "=;;=\x01; {ours}",
        "{name}=stale.x; {ours}",
        "na\xefve=\xe9; {ours}; x[1]=2",
        "session=a b c\\; {ours}",
    ],
)
def test_a_cookie_of_another_server_locks_nobody_out(server: Served, others: str) -> None:
    name = f"fieldpack_{server.port}"
    sent = others.replace("{ours}", f"{name}={TOKEN}.me").replace("{name}", name).encode("latin-1")
    answer = httpx.get(
        server.url + "/api/bundles", headers={"cookie": sent}, trust_env=False, timeout=60
    )
    assert answer.status_code == 200, answer.text
    wrong = sent.replace(TOKEN.encode(), b"wrong")
    assert (
        httpx.get(
            server.url + "/api/bundles", headers={"cookie": wrong}, trust_env=False
        ).status_code
        == 401
    )


def test_health_alone_needs_no_key(server: Served) -> None:
    assert get(server, "/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.evil.example:{p}",
        "evil.example:{p}",
        "127.0.0.1:{p}.evil",
        "user@127.0.0.1:{p}",
    ],
)
def test_another_host_is_refused(server: Served, host: str) -> None:
    assert code(get(server, "/health", host=host.replace("{p}", str(server.port)))) == (
        421,
        "wrong_host",
    )


def test_our_names_are_answered(server: Served) -> None:
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        assert get(server, "/health", host=f"{host}:{server.port}").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:{p}"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:{p}"}, 403),
        ({"origin": "http://127.0.0.1:3000"}, 403),
        ({"origin": "http://127.0.0.1:{p}.evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
    ],
)
def test_writes_come_from_our_page_or_from_no_page(
    server: Served, headers: dict[str, str], status: int
) -> None:
    headers = {name: value.replace("{p}", str(server.port)) for name, value in headers.items()}
    sent = httpx.post(
        server.url + "/api/search", headers={**KEY, **headers}, trust_env=False, timeout=60
    )
    assert sent.status_code == (
        405 if status == 200 else status
    )  # through the guard, and no such method there
    assert status == 200 or code(sent) == (403, "wrong_origin")


@pytest.mark.parametrize(
    ("site", "status"),
    [("none", 200), ("same-origin", 200), ("same-site", 403), ("cross-site", 403)],
)
def test_reads_by_another_page_are_refused(server: Served, site: str, status: int) -> None:
    assert get(server, "/api/bundles", **KEY, sec_fetch_site=site).status_code == status


def test_a_preflight_gets_no_permission(server: Served) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    response = httpx.options(server.url + "/api/ask", headers=headers, trust_env=False, timeout=60)
    assert response.status_code == 403
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/api/bundles",
        "/api/nothing",
        "/static/none.js",
        f"/?token={TOKEN}",
        "/report",
    ],
)
def test_every_head_is_strict(server: Served, path: str) -> None:
    for headers in ({}, KEY):
        found = get(server, path, **headers).headers
        assert "default-src 'none'" in found["content-security-policy"]
        assert (
            found["x-content-type-options"] == "nosniff"
            and found["referrer-policy"] == "no-referrer"
        )
        assert (
            found["cross-origin-resource-policy"]
            == found["cross-origin-opener-policy"]
            == "same-origin"
        )
        assert found["cache-control"] == "no-store" and "server" not in found


@pytest.mark.parametrize(
    "path",
    [
        "../app.py",
        "..%2f..%2fcli.py",
        "%2e%2e/%2e%2e/pyproject.toml",
        "/etc/passwd",
        "",
        ".",
        "a\0b",
        "../page/index.html",
    ],
)
def test_no_path_leads_out_of_the_page_s_folder(server: Served, path: str) -> None:
    raw = f"/static/{path}".replace("\0", "%00").encode()
    url = httpx.URL(server.url).copy_with(raw_path=raw)
    response = httpx.get(url, headers=KEY, trust_env=False, timeout=60)
    assert response.status_code == 404 and "import" not in response.text
