"""Whose turn it is: one at a time, fair among clients, so that one with many questions does not
hold up the others. For one event loop. Knows nothing of HTTP, bundles or models.

Start-time fair queueing (Goyal, Vin, Cheng 1996) with a cost of one a turn: a request's tag is the
later of the tag now being served and one after its client's last; the lowest tag is next, the
earlier of two equal ones. So a client that asks for the first time goes before another's second
question. The tag now being served grows with every turn besides, so that not even an endless row of
new clients keeps anyone waiting for ever.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field

_FIRST = float("-inf")


class QueueFull(Exception):
    """`waiting`: how many wait already, of this client or of all."""

    def __init__(self, waiting: int, *, own: bool) -> None:
        super().__init__(waiting)
        self.waiting = waiting
        self.own = own


@dataclass(eq=False, slots=True)
class Ticket:
    """One request's place. Give it back with `leave`, whatever happened."""

    turns: FairQueue
    client: str
    tag: float
    number: int
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def position(self) -> int:
        """How many come before it; 0: its turn."""
        return self.turns.position(self)

    async def moved(self) -> None:
        """Returns when the position may have changed, or `wake` was called."""
        await self._moved.wait()
        self._moved.clear()

    def wake(self) -> None:
        self._moved.set()

    def leave(self) -> None:
        """Its turn is over, or it waits no longer. Once is enough, twice does no harm."""
        self.turns.leave(self)


class FairQueue:
    """`most` may wait; one client at most half of them (and at least one), so that it cannot fill
    the queue alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._own = max(1, most // 2)
        self._served: Ticket | None = None
        self._waiting: list[Ticket] = []
        self._now = 0.0
        self._next: dict[str, float] = {}  # client -> the earliest tag of its next request
        self._count = itertools.count()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Nobody is served or waits."""
        return self._served is None

    def enter(self, client: str) -> Ticket:
        """At the end of the client's own. Raises QueueFull."""
        own = sum(place.client == client for place in self._waiting)
        if self._served and own >= self._own:
            raise QueueFull(own, own=True)
        if self._served and self.waiting >= self._most:
            raise QueueFull(self.waiting, own=False)
        tag = max(self._now, self._next.get(client, self._now))
        self._next[client] = tag + 1
        return self._take(Ticket(self, client, tag, next(self._count)))

    def enter_first(self, client: str) -> Ticket:
        """Before all who wait, however many they are."""
        return self._take(Ticket(self, client, _FIRST, next(self._count)))

    def position(self, place: Ticket) -> int:
        return 0 if place is self._served else self._waiting.index(place) + 1

    def leave(self, place: Ticket) -> None:
        if place is self._served:
            self._serve(self._waiting.pop(0) if self._waiting else None)
        elif place in self._waiting:
            self._waiting.remove(place)
            self._refund(place)
            self._changed()

    def _take(self, place: Ticket) -> Ticket:
        if self._served is None:
            self._serve(place)
        else:
            self._waiting.append(place)
            self._changed()
        return place

    def _serve(self, place: Ticket | None) -> None:
        self._served = place
        if place:
            self._now = max(self._now, place.tag) + 1 / self._most
        self._next = {client: tag for client, tag in self._next.items() if tag > self._now}
        self._changed()

    def _refund(self, gone: Ticket) -> None:
        """Who leaves unserved has used no turn: the client's later requests move up."""
        if gone.tag == _FIRST:
            return
        self._next[gone.client] = self._next.get(gone.client, self._now + 1) - 1
        for place in self._waiting:
            if place.client == gone.client and place.tag > gone.tag:
                place.tag -= 1

    def _changed(self) -> None:
        self._waiting.sort(key=lambda place: (place.tag, place.number))
        for place in (*self._waiting, *([self._served] if self._served else [])):
            place.wake()
