"""Chunks by the words of a question, ranked by FTS5's own bm25 (Robertson & Zaragoza 2009; k1 1.2,
b 0.75, heading and text as one). Knows nothing of vectors or of questions.

A question of ten words is met by 90% of the rows, and FTS5 ranks a row in 0.6 us, 80 ms at 100,000
chunks; it passes over a row in 0.1 us and counts one in 0.016. So the rarest words choose
candidates, and then nearly all words rank these. docs/decisions/words.md says what that costs in
pages found, and what else was tried.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Mapping, Sequence

from .vectors import Ranges

# Rows of all words that are used, by what is done with a row: 10 to 20 ms each.
_RANKED_ROWS = 20_000
_PASSED_ROWS = 150_000
_COUNTED_ROWS = 1_000_000
# Rows of the rarer words of all phrases that are looked for: a phrase takes as long as that has rows.
_PHRASE_ROWS = 20_000
_CANDIDATES = 4  # times as many as wanted; ten times find no further page
_SEPARATE = 16  # ranges of a filter that are searched one by one
_WHOLE = ((0, 1 << 62),)
_RANKED = "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ?"


def best_by_words(
    database: sqlite3.Connection,
    words: Sequence[str],
    count: int,
    ranges: Ranges | None = None,
    *,
    chunks: int,
    phrases: Sequence[str] = (),
    phrase_weight: float = 0.0,
    ranked_rows: int = _RANKED_ROWS,
) -> dict[int, float]:
    """Return the bm25 of the `count` best chunks by id, higher is better; of those in `ranges`
    where there are some. `chunks`: of the whole library; in a large one a word that more than half
    of them have says nothing, and counts only where there is no other word of the question.
    `phrases`: words side by side, which count `phrase_weight` times as much as one word would."""
    ranges = _WHOLE if ranges is None else ranges
    limit = max(chunks // 2, ranked_rows)
    rarest = _by_rarity(database, words, limit=limit)
    rows_of = {word: rows for rows, word in rarest}
    if not rarest or not ranges:
        return {}
    starts, ends = [first for first, _ in ranges], [end for _, end in ranges]
    if few := sum(ends) - sum(starts) <= ranked_rows and len(ranges) <= _SEPARATE:
        # All words may rank so few rows. FTS5 counts each word's rows anew for every range.
        chosen = _rarest_within(rarest, _COUNTED_ROWS // len(ranges))
    else:
        chosen = _rarest_within(rarest, ranked_rows)
    best: list[tuple[int, float]] = []
    if len(ranges) <= _SEPARATE:
        query = f"{_RANKED} AND rowid >= ? AND rowid < ? ORDER BY 2 DESC LIMIT ?"
        for first, end in ranges:
            best += database.execute(query, (_any_of(chosen), first, end, _CANDIDATES * count))
    else:
        query = f"{_RANKED} AND rowid >= ? AND rowid < ?"
        rows = database.execute(query, (_any_of(chosen), starts[0], ends[-1]))
        best += (row for row in rows if row[0] < ends[bisect_right(starts, row[0]) - 1])
    best = sorted(best, key=lambda row: -row[1])[: _CANDIDATES * count]
    ranking = _rarest_within(rarest, _PASSED_ROWS)
    if best and not few and len(ranking) > len(chosen):
        # The plus keeps SQLite from asking FTS5 for each candidate apart.
        query = f"{_RANKED} AND +rowid IN (SELECT value FROM json_each(?)) ORDER BY 2 DESC"
        candidates = json.dumps([i for i, _ in best])
        best = database.execute(query, (_any_of(ranking), candidates)).fetchall()
    if best and phrase_weight and (near := phrases_within(phrases, rows_of, limit)):
        ids = sorted(i for i, _ in best)
        # FTS5 skips to the first row; the candidates inside one document are soon ranked.
        query = (
            f"{_RANKED} AND rowid >= ? AND rowid <= ? "
            "AND +rowid IN (SELECT value FROM json_each(?))"
        )
        rows = database.execute(query, (_any_of(near), ids[0], ids[-1], json.dumps(ids)))
        gains = dict(rows.fetchall())
        best = [(i, score + phrase_weight * gains.get(i, 0.0)) for i, score in best]
        best.sort(key=lambda row: -row[1])
    return dict(best[:count])


def _by_rarity(
    database: sqlite3.Connection, words: Sequence[str], *, limit: int
) -> list[tuple[int, str]]:
    """Return words with the number of rows that have them, the rarest first, without those that no
    row or more than `limit` rows have; only the rarest one where all have more."""
    query = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
    counted = [
        (int(database.execute(query, (f'"{word}"', limit + 1)).fetchone()[0]), word)
        for word in words
    ]
    there = sorted(((rows, word) for rows, word in counted if rows), key=lambda pair: pair[0])
    return [pair for pair in there if pair[0] <= limit] or there[:1]


def _rarest_within(rarest: Sequence[tuple[int, str]], rows: int) -> list[str]:
    """Return the first words, one at least, that have no more than so many rows together."""
    chosen: list[str] = []
    for count, word in rarest:
        rows -= count
        if chosen and rows < 0:
            break
        chosen.append(word)
    return chosen


def phrases_within(phrases: Sequence[str], rows: Mapping[str, int], limit: int) -> list[str]:
    """Return the phrases to look for, the cheapest first, as far as their rarer words have
    `_PHRASE_ROWS` rows together. `rows`: of the words that are looked for; another word has none, or
    more than `limit`."""
    costs = sorted((min(rows.get(w, limit) for w in phrase.split()), phrase) for phrase in phrases)
    budget = _PHRASE_ROWS
    chosen = []
    for cost, phrase in costs:
        budget -= cost
        if budget < 0:
            break
        chosen.append(phrase)
    return chosen


def _any_of(words: Sequence[str]) -> str:
    return " OR ".join(f'"{word}"' for word in words)
