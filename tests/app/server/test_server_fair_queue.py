"""The queue serves in order, fairly among clients, and within its limits."""

from __future__ import annotations

import asyncio

import pytest

from fieldpack_app.server.fair_queue import FairQueue, QueueFull, Ticket


def order(queue: FairQueue, tickets: dict[str, Ticket]) -> list[str]:
    """Serve all; the names in the order they were served."""
    served = []
    while tickets:
        name = next(name for name, ticket in tickets.items() if ticket.position == 0)
        served.append(name)
        tickets.pop(name).leave()
    return served


def test_one_client_is_served_in_its_order() -> None:
    queue = FairQueue(8)
    assert order(queue, {name: queue.enter("a") for name in ("a1", "a2", "a3", "a4")}) == [
        "a1",
        "a2",
        "a3",
        "a4",
    ]


def test_a_client_with_many_requests_holds_nobody_up() -> None:
    queue = FairQueue(16)
    tickets = {f"a{i}": queue.enter("a") for i in range(5)}
    tickets |= {"b0": queue.enter("b"), "c0": queue.enter("c"), "b1": queue.enter("b")}
    assert (
        tickets["b0"].position == 1 and tickets["c0"].position == 2 and tickets["a1"].position == 3
    )
    assert order(queue, tickets) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4"]


def test_an_endless_row_of_new_clients_starves_nobody() -> None:
    queue = FairQueue(8)
    served, old = queue.enter("old"), queue.enter("old")
    waiting = [queue.enter(f"new{number}") for number in range(7)]
    for number in range(7, 30):
        served.leave()
        if old.position == 0:
            break
        served = next(ticket for ticket in waiting if ticket.position == 0)
        waiting.remove(served)
        waiting.append(queue.enter(f"new{number}"))
    assert old.position == 0 and number < 24  # two queues and what came first


def test_who_leaves_the_queue_has_used_no_turn() -> None:
    queue = FairQueue(16)
    tickets = {
        "a0": queue.enter("a"),
        "a1": queue.enter("a"),
        "a2": queue.enter("a"),
        "b0": queue.enter("b"),
        "b1": queue.enter("b"),
    }
    tickets.pop("a1").leave()
    assert order(queue, tickets) == ["a0", "b0", "a2", "b1"]


def test_limits() -> None:
    queue = FairQueue(4)
    running = queue.enter("a")
    queue.enter("a"), queue.enter("a")
    with pytest.raises(QueueFull) as caught:
        queue.enter("a")
    assert (caught.value.own, caught.value.waiting) == (True, 2)
    queue.enter("b"), queue.enter("c")
    with pytest.raises(QueueFull) as caught:
        queue.enter("d")
    assert (caught.value.own, caught.value.waiting) == (False, 4)
    running.leave()
    queue.enter("d")


def test_a_place_that_goes_first_and_one_that_leaves_twice() -> None:
    queue = FairQueue(4)
    running, waiting = queue.enter("a"), queue.enter("b")
    first = queue.enter_first("c")
    assert (first.position, waiting.position) == (1, 2)
    running.leave(), running.leave()
    assert (first.position, waiting.position) == (0, 1)
    first.leave()
    waiting.leave()
    assert queue.enter("a").position == 0


def test_a_place_tells_when_it_moves() -> None:
    async def go() -> list[int]:
        queue, seen = FairQueue(4), []
        running, between, last = queue.enter("a"), queue.enter("b"), queue.enter("c")
        seen.append(last.position)
        for gone in (between, running):
            asyncio.get_running_loop().call_later(0.01, gone.leave)
            before = last.position
            while last.position == before:
                await asyncio.wait_for(last.moved(), 5)
            seen.append(last.position)
        return seen

    assert asyncio.run(go()) == [2, 1, 0]
