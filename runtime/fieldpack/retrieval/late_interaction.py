"""A question as texts are compared with it: its content words, how much each counts in a library,
and how near a text's tokens come to each (late interaction: Khattab & Zaharia 2020,
arXiv:2004.12832). Takes any embedder; knows nothing of passages or quotes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..index.query_terms import word_spans
from .word_forms import words_to_match

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .embedder import TokenVectors


class Embeds(Protocol):
    """What is needed of `fieldpack.retrieval.embedder.Embedder`."""

    def embed_tokens(self, texts: Sequence[str], *, query: bool = False) -> list[TokenVectors]:
        """Return the vectors of n texts and of their tokens."""
        ...


@dataclass(frozen=True, slots=True)
class QuestionWords:
    """A question as its candidates are compared with it. `spans`: the [start, end) of each of its
    content words in `text`; `weights`: how much each counts, [spans], by its rarity in the library, 1
    together. `words`: the content words as texts have them, see `word_forms`;
    `languages`: those of the library's documents."""

    text: str
    words: tuple[frozenset[str], ...]
    languages: tuple[str, ...]
    vectors: TokenVectors
    spans: tuple[tuple[int, int], ...]
    weights: NDArray[np.float64]

    def nearness(self, tokens: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how near a text comes to each word, [words]: the mean over the word's tokens of
        the cosine to the nearest token of the text; 0 where there is none. `tokens`: the text's
        unit vectors, [n, hidden]."""
        import numpy as np

        near = np.zeros(len(self.spans))
        if not len(tokens):
            return near
        best = (self.vectors.tokens @ tokens.T).max(axis=1)  # [tokens of the question]
        for number, (start, end) in enumerate(self.spans):
            own = [
                i
                for i, (first, last) in enumerate(self.vectors.spans)
                if first < end and last > start
            ]
            near[number] = best[own].mean() if own else 0.0
        return near


def question_words(
    question: str,
    embedder: Embeds,
    rarity: Callable[[Sequence[str]], Sequence[float]],
    languages: Sequence[str] = (),
) -> QuestionWords:
    """Return a question's words with their vectors and weights. `rarity`: how rare words are in the
    library, 0 and up (`retriever.Retriever.rarity`); `languages`: those of its documents."""
    import numpy as np

    (vectors,) = embedder.embed_tokens([question], query=True)
    spans = word_spans(question, languages)
    rare = np.array(rarity([question[start:end].lower() for start, end in spans]), dtype=float)
    if rare.sum() <= 0:
        rare = np.ones(len(spans))
    return QuestionWords(
        question,
        tuple(words_to_match(question, languages)),
        tuple(languages),
        vectors,
        tuple(spans),
        rare / max(rare.sum(), 1.0e-12),
    )
