"""Whose turn it is: in order, fair among clients, within limits."""

from __future__ import annotations

import asyncio

import pytest

from fieldpack_app.server.fair_queue import FairQueue, QueueFull, Ticket


def order(turns: FairQueue, places: dict[str, Ticket]) -> list[str]:
    """Serve all; the names in the order they were served."""
    served = []
    while places:
        name = next(name for name, place in places.items() if place.position == 0)
        served.append(name)
        places.pop(name).leave()
    return served


def test_one_client_is_served_in_its_order() -> None:
    turns = FairQueue(8)
    assert order(turns, {name: turns.enter("a") for name in ("a1", "a2", "a3", "a4")}) == [
        "a1",
        "a2",
        "a3",
        "a4",
    ]


def test_a_client_with_many_requests_holds_nobody_up() -> None:
    turns = FairQueue(16)
    places = {f"a{i}": turns.enter("a") for i in range(5)}
    places |= {"b0": turns.enter("b"), "c0": turns.enter("c"), "b1": turns.enter("b")}
    assert places["b0"].position == 1 and places["c0"].position == 2 and places["a1"].position == 3
    assert order(turns, places) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4"]


def test_an_endless_row_of_new_clients_starves_nobody() -> None:
    turns = FairQueue(8)
    served, old = turns.enter("old"), turns.enter("old")
    queue = [turns.enter(f"new{number}") for number in range(7)]
    for number in range(7, 30):
        served.leave()
        if old.position == 0:
            break
        served = next(place for place in queue if place.position == 0)
        queue.remove(served)
        queue.append(turns.enter(f"new{number}"))
    assert old.position == 0 and number < 24  # two queues and what came first


def test_who_leaves_the_queue_has_used_no_turn() -> None:
    turns = FairQueue(16)
    places = {
        "a0": turns.enter("a"),
        "a1": turns.enter("a"),
        "a2": turns.enter("a"),
        "b0": turns.enter("b"),
        "b1": turns.enter("b"),
    }
    places.pop("a1").leave()
    assert order(turns, places) == ["a0", "b0", "a2", "b1"]


def test_limits() -> None:
    turns = FairQueue(4)
    running = turns.enter("a")
    turns.enter("a"), turns.enter("a")
    with pytest.raises(QueueFull) as caught:
        turns.enter("a")
    assert (caught.value.own, caught.value.waiting) == (True, 2)
    turns.enter("b"), turns.enter("c")
    with pytest.raises(QueueFull) as caught:
        turns.enter("d")
    assert (caught.value.own, caught.value.waiting) == (False, 4)
    running.leave()
    turns.enter("d")


def test_a_place_that_goes_first_and_one_that_leaves_twice() -> None:
    turns = FairQueue(4)
    running, waiting = turns.enter("a"), turns.enter("b")
    first = turns.enter_first("c")
    assert (first.position, waiting.position) == (1, 2)
    running.leave(), running.leave()
    assert (first.position, waiting.position) == (0, 1)
    first.leave()
    waiting.leave()
    assert turns.enter("a").position == 0


def test_a_place_tells_when_it_moves() -> None:
    async def go() -> list[int]:
        turns, seen = FairQueue(4), []
        running, between, last = turns.enter("a"), turns.enter("b"), turns.enter("c")
        seen.append(last.position)
        for gone in (between, running):
            asyncio.get_running_loop().call_later(0.01, gone.leave)
            before = last.position
            while last.position == before:
                await asyncio.wait_for(last.moved(), 5)
            seen.append(last.position)
        return seen

    assert asyncio.run(go()) == [2, 1, 0]
