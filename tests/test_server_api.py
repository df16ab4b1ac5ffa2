"""The page's API through a real server: what is answered, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import Served, events_of, served

QUESTION = "What does the A class of the Global Equity Fund cost a year?"


@pytest.fixture(scope="module")
def server(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served([sealed], tmp_path_factory.mktemp("state")) as running:
        yield running


def test_an_answer_comes_in_order(server: Served) -> None:
    with server.client() as client, client.stream("POST", "/api/ask", json={"question": QUESTION}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        events = list(events_of(response))
    names = [name for name, _ in events]
    assert names[:2] == ["queued", "passages"] and names[-1] == "done"
    assert set(names[2:-1]) == {"text"}
    assert events[0][1] == {"position": 0}
    passages, done = events[1][1], events[-1][1]
    assert passages[0]["place"] == "fees.pdf, page 1"
    assert done["passages"] == passages and done["question"] == QUESTION
    assert "".join(data["text"] for name, data in events if name == "text").strip()
