"""What was read for an answer, kept by question and answer: OpenAI's clients send a conversation as
words alone, and a follow-up goes on from the passages. In memory only, the latest few hundred. For
one event loop."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from fieldpack import Previous

_MOST = 256

_Key = tuple[str, str, str]


class FollowUpCache:
    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, Previous] = OrderedDict()

    def keep(self, bundle: str, question: str, answers: Iterable[str], previous: Previous) -> None:
        """`answers`: the same one as it was streamed and as it was finished; a client has either."""
        for answer in answers:
            self._kept[_key(bundle, question, answer)] = previous
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)

    def find(self, bundle: str, question: str, answer: str) -> Previous:
        """What that answer was made from; of an answer of another server, or of long ago, its
        question alone is known."""
        key = _key(bundle, question, answer)
        if key not in self._kept:
            return Previous(question, ())
        self._kept.move_to_end(key)
        return self._kept[key]


def _key(bundle: str, question: str, answer: str) -> _Key:
    return bundle, " ".join(question.split()), " ".join(answer.split())
