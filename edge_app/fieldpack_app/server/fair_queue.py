"""A queue that serves one request at a time, fair among clients, so that one with many questions
does not hold up the others. For one event loop. Knows nothing of HTTP, bundles or models.

This is start-time fair queueing (Goyal, Vin, Cheng 1996) in which every request costs one: a
request's tag is the later of the tag now being served and one after its client's last; the lowest
tag is next, the earlier of two equal ones. So a client's first question goes before another's
second. The tag being served also grows with every request, so that not even an endless row of new
clients keeps anyone waiting for ever.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field

_FIRST = float("-inf")


class QueueFull(Exception):
    """The queue takes no more. `waiting`: how many wait already, of this client (`own`) or of
    all."""

    def __init__(self, waiting: int, *, own: bool) -> None:
        super().__init__(waiting)
        self.waiting = waiting
        self.own = own


@dataclass(eq=False, slots=True)
class Ticket:
    """One request's place in the queue. Give it back with `leave`, whatever happened."""

    queue: FairQueue
    client: str
    tag: float
    number: int
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def position(self) -> int:
        """How many are served before it; 0 when it is being served."""
        return self.queue.position(self)

    async def moved(self) -> None:
        """Wait until the position may have changed, or `wake` was called."""
        await self._moved.wait()
        self._moved.clear()

    def wake(self) -> None:
        """End the wait in `moved`."""
        self._moved.set()

    def leave(self) -> None:
        """Give the place back: the request was served, or waits no longer. Once is enough, twice
        does no harm."""
        self.queue.leave(self)


class FairQueue:
    """A queue of tickets, of which the first is being served."""

    def __init__(self, max_waiting: int) -> None:
        """At most `max_waiting` may wait; one client at most half of them (and at least one), so
        that it cannot fill the queue alone."""
        self._max_waiting = max_waiting
        self._max_own = max(1, max_waiting // 2)
        self._served: Ticket | None = None
        self._waiting: list[Ticket] = []
        self._now = 0.0
        self._next: dict[str, float] = {}  # client -> the earliest tag of its next request
        self._count = itertools.count()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nobody is served or waits."""
        return self._served is None

    def enter(self, client: str) -> Ticket:
        """Return a ticket behind the client's own. Raises QueueFull."""
        own = sum(ticket.client == client for ticket in self._waiting)
        if self._served and own >= self._max_own:
            raise QueueFull(own, own=True)
        if self._served and self.waiting >= self._max_waiting:
            raise QueueFull(self.waiting, own=False)
        tag = max(self._now, self._next.get(client, self._now))
        self._next[client] = tag + 1
        return self._add(Ticket(self, client, tag, next(self._count)))

    def enter_first(self, client: str) -> Ticket:
        """Return a ticket before all that wait, however many they are."""
        return self._add(Ticket(self, client, _FIRST, next(self._count)))

    def position(self, ticket: Ticket) -> int:
        """Return how many are served before `ticket`."""
        return 0 if ticket is self._served else self._waiting.index(ticket) + 1

    def leave(self, ticket: Ticket) -> None:
        """Take a ticket out of the queue, and serve the next one if it was being served."""
        if ticket is self._served:
            self._serve(self._waiting.pop(0) if self._waiting else None)
        elif ticket in self._waiting:
            self._waiting.remove(ticket)
            if ticket.tag != _FIRST:
                # Who leaves unserved has cost nothing: the client's later requests move up.
                client = ticket.client
                self._next[client] = self._next.get(client, self._now + 1) - 1
                for other in self._waiting:
                    if other.client == client and other.tag > ticket.tag:
                        other.tag -= 1
            self._changed()

    def _add(self, ticket: Ticket) -> Ticket:
        if self._served is None:
            self._serve(ticket)
        else:
            self._waiting.append(ticket)
            self._changed()
        return ticket

    def _serve(self, ticket: Ticket | None) -> None:
        self._served = ticket
        if ticket:
            self._now = max(self._now, ticket.tag) + 1 / self._max_waiting
        self._next = {client: tag for client, tag in self._next.items() if tag > self._now}
        self._changed()

    def _changed(self) -> None:
        self._waiting.sort(key=lambda ticket: (ticket.tag, ticket.number))
        for ticket in (*self._waiting, *([self._served] if self._served else [])):
            ticket.wake()
