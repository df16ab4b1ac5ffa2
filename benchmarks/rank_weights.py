"""Which rank weights carry over to documents that they were not chosen on.

    python benchmarks/rank_weights.py --financebench FOLDER --tatqa FOLDER [--work FOLDER]
        [--json results.json] [--rows 200]

Three libraries: the finance recipe's (its training rows; its test questions are only measured on),
FinanceBench (docs/ and eval.jsonl, with pages) and TAT-QA (docs/ and train.jsonl). The index is
asked once for each question; what it says is kept in the work folder, and every combination of
weights ranks from that. A combination is judged by the mean reciprocal rank of the right page (of
the right document, where the rows name no page) among ten passages, the mean of the libraries.

Three ways to choose are compared on questions about documents that they have not seen (five folds
over documents, drawn ten times): today's weights as they are; the best combination on the other
folds; the plainest that is within one standard error of that best one. And each library is judged
with weights chosen on the other two. Last, what `phrases` brings, which is part of what the index
says: today's weights with it and without.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import pickle
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring import machine, machine_line, table, write_json
from retrieval import PACKAGES, build_library

from fieldpack.passages import Place
from fieldpack.retrieval.fusion import (
    RetrievalSettings,
    diversify_pages,
    drop_duplicates,
    group_neighbours,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fieldpack.retrieval.hybrid import Evidence
    from fieldpack_build.data import TestQuestion

PASSAGES, FOLDS, DRAWS, SEED = 10, 5, 10, 20261129
_SPARE = 3  # chunks a passage, as the search takes them
RECIPE = Path(__file__).parents[1] / "recipes" / "finance"
# until this measurement
OLD = RetrievalSettings(vector_weight=0.5, name_boost=1.25, page_boost=0.1, page_penalty=0.2)
GRID = {
    "weight": (0.3, 0.4, 0.5, 0.6),
    "names": (0.0, 0.5, 1.0),
    "page": (0.0, 0.1),
    "mix": (0.0, 0.1),
    "blend": (0.0, 0.5),
}
PHRASES = (0.0, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Weights:
    """A combination. `blend`: the share of the page's mean cosine in a chunk's; the others as in
    RetrievalSettings."""

    weight: float
    names: float
    page: float
    mix: float
    blend: float

    @property
    def plainness(self) -> tuple[int, float]:
        """Fewer weights first, then those nearer to the middle of their range."""
        used = sum(map(bool, (self.names, self.page, self.mix, self.blend)))
        return used, abs(self.weight - 0.5) + abs(self.names - 1.0) * bool(self.names)

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:g}" for name, value in asdict(self).items())


def _weights_of(settings: RetrievalSettings) -> Weights:
    """Return the combination that the search uses under these settings."""
    return Weights(
        weight=settings.vector_weight,
        names=settings.name_boost,
        page=settings.page_boost,
        mix=settings.page_penalty,
        blend=0.5 if settings.page_boost else 0.0,
    )


class Case:
    """A question with its candidates as arrays, in the order in which equal scores are ranked."""

    def __init__(self, evidence: Evidence, right: Mapping[str, Any], *, parity: bool) -> None:
        import numpy as np

        from fieldpack.retrieval.fusion import blend_page_vectors, fuse

        self.evidence = evidence
        self.places = evidence.places
        ids = sorted(self.places, key=lambda i: (self.places[i].document, self.places[i].ordinal))
        self.ids = ids
        self.document: str = right["document"]
        self.pages: frozenset[int] = frozenset(right["pages"])
        count = RetrievalSettings().candidates
        own = {i: evidence.cosines[i] for i in ids}
        page = blend_page_vectors(own, evidence.pages, evidence.cosines)
        mixed = {
            share: {i: own[i] + 2 * share * (page[i] - own[i]) for i in ids} for share in (0.0, 0.5)
        }
        floors = {share: _floor(near, count) for share, near in mixed.items()}

        def column(values: Mapping[int, float]) -> NDArray[np.float64]:
            return np.array([values.get(i, 0.0) for i in ids])

        self.vectors = {
            share: column(fuse(near, {}, floors=(floors[share], 0.0)))
            for share, near in mixed.items()
        }
        alone = fuse({}, evidence.words, vector_weight=0.0, floors=(0.0, evidence.word_floor))
        self.words = column(alone) if evidence.words else None
        gains, figures = np.zeros(len(ids)), np.zeros(len(ids))
        for term, saying in evidence.naming:
            named = set(term.documents)
            said = saying if parity and not term.figure else ()
            hit = [self.places[i].document_id in named or i in said for i in ids]
            (figures if term.figure else gains)[hit] += term.weight
        self.names = gains + figures * np.minimum(gains, 1.0)
        self.codes = column(evidence.codes)
        keys = [
            (p.document_id, -p.ordinal - 1 if p.page is None else p.page)
            for p in (self.places[i] for i in ids)
        ]
        _, self.page = np.unique(np.array(keys), axis=0, return_inverse=True)
        self.page = self.page.reshape(-1)

    def ranks(self, weights: Weights, *, join: bool) -> tuple[int | None, int | None]:
        """Return the ranks of the right document and of the right page (of the document again where
        no page is known) among the passages."""
        import numpy as np

        scores = self.vectors[weights.blend]
        if self.words is not None:
            scores = weights.weight * scores + (1 - weights.weight) * self.words
        if weights.page:
            order = np.lexsort((-scores, self.page))
            pages = self.page[order]
            first = np.r_[True, pages[1:] != pages[:-1]]
            place = np.arange(len(order)) - np.maximum.accumulate(
                np.where(first, np.arange(len(order)), 0)
            )
            sums = np.bincount(pages, scores[order] * (place < 4))
            scores = scores + weights.page * np.maximum(sums[self.page] - scores, 0.0)
        scores = scores + weights.names * self.names
        scores = scores + self.codes * (scores.max() + 1.0)
        best = np.argsort(-scores, kind="stable")[: 6 * _SPARE * PASSAGES]
        top = [self.ids[j] for j in best]
        values = dict(zip(top, scores[best].tolist(), strict=True))
        order_ = drop_duplicates(top, self.places)
        if join:
            order_ = diversify_pages(order_, values, self.places, _SPARE * PASSAGES, weights.mix)
            groups = group_neighbours(order_, self.places, PASSAGES)
        else:
            groups = [
                [i] for i in diversify_pages(order_, values, self.places, PASSAGES, weights.mix)
            ]
        return _ranks([self.places[group[0]] for group in groups], self.document, self.pages)


@dataclass(frozen=True)
class Library:
    """A library's questions. `join`: as its recipe has it; `paged`: whether pages are judged."""

    name: str
    cases: Sequence[Case]
    join: bool
    paged: bool
    _ranks: dict[Weights, list[tuple[int | None, int | None]]] = field(default_factory=dict)

    def ranks(self, weights: Weights) -> list[tuple[int | None, int | None]]:
        """Return the ranks of the right document and page for each question."""
        if all(place.page is None for case in self.cases for place in case.places.values()):
            weights = replace(weights, page=0.0, mix=0.0, blend=0.0)  # which say nothing there
        if not any(case.names.any() for case in self.cases):
            weights = replace(weights, names=0.0)
        if weights not in self._ranks:
            self._ranks[weights] = [case.ranks(weights, join=self.join) for case in self.cases]
        return self._ranks[weights]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--financebench", type=Path, required=True)
    parser.add_argument("--tatqa", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/out/rank_weights"))
    parser.add_argument("--rows", type=int, default=200, help="of the training rows of a library")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    facts = machine(PACKAGES)
    libraries, tests = read_libraries(arguments, parity=True)
    for library in (*libraries, *tests):
        compare_with_search(library)
    print(machine_line(facts))
    print(", ".join(f"{library.name}: {len(library.cases)} questions" for library in libraries))
    results = fit(libraries, tests)
    phrases = compare_phrases(arguments)
    write_json(arguments.json, {"machine": facts, **results, "phrases": phrases})


# --- what the index says --------------------------------------------------------------------------


def read_libraries(
    arguments: argparse.Namespace, *, parity: bool, phrases: float | None = None
) -> tuple[list[Library], list[Library]]:
    """Return the libraries to choose on, and those that are only measured on. `parity`: whether a
    text that says a word counts like a name that has it; `phrases`: their weight, today's where none
    is given."""
    from fieldpack_build.data import read_questions

    work, rows = arguments.work, arguments.rows
    bench = arguments.financebench
    finance = RECIPE / "documents"
    sources = [
        ("FinanceBench", bench / "docs", read_questions(bench / "eval.jsonl"), 220, True),
        ("finance", finance, _sample(read_rows(RECIPE / "train.jsonl"), rows), 128, False),
        ("TAT-QA", arguments.tatqa / "docs", _sample(read_rows(arguments.tatqa / "train.jsonl"), rows), 220, True),
        ("finance, test", finance, read_questions(RECIPE / "questions.jsonl"), 128, False),
    ]  # fmt: skip
    libraries = []
    for name, documents, questions, tokens, join in sources:
        folder = work / name.split(",")[0].lower()
        said = gather(folder, documents, questions, tokens, name, phrases)
        cases = [Case(evidence, right, parity=parity) for evidence, right in said]
        libraries.append(Library(name, cases, join, any(case.pages for case in cases)))
    return libraries[:3], libraries[3:]


def read_rows(path: Path) -> list[TestQuestion]:
    """Return the training rows that a document answers, as questions."""
    from fieldpack_build.data import read_questions

    return [q for q in read_questions(path) if q.document is not None]


def _sample(rows: Sequence[TestQuestion], count: int) -> list[TestQuestion]:
    drawn = random.Random(SEED).sample(range(len(rows)), min(count, len(rows)))
    return [rows[i] for i in sorted(drawn)]


def gather(
    folder: Path,
    documents: Path,
    questions: Sequence[TestQuestion],
    tokens: int,
    name: str,
    phrases: float | None,
) -> list[tuple[Evidence, dict[str, Any]]]:
    """Return what the index says of each question, and what is right. Kept in `folder`; asked anew
    where the library, the questions or the code that asks have changed."""
    from fieldpack.index import bm25, code_lookup, compound_terms, document_names, query_terms
    from fieldpack.retrieval import codes, hybrid
    from fieldpack.retrieval.retriever import open_retriever

    folders, _ = build_library(documents, folder, tokens=tokens)
    asked = [q for q in questions if q.document is not None]
    code = [
        Path(module.__file__ or "").read_bytes()
        for module in (
            hybrid,
            codes,
            bm25,
            code_lookup,
            compound_terms,
            document_names,
            query_terms,
        )
    ]
    settings = RetrievalSettings(page_boost=0.1)  # any: so that pages' other chunks are looked at
    if phrases is not None:
        settings = replace(settings, phrase_weight=phrases)
    of = repr([(q.question, q.document, q.pages) for q in asked]) + folders["knowledge"].name
    of += repr(settings.phrase_weight)
    key = hashlib.sha256(b"".join(code) + of.encode()).hexdigest()[:16]
    kept = folder / f"evidence-{key}.pickle"
    if kept.is_file():
        found: list[tuple[Evidence, dict[str, Any]]] = pickle.loads(kept.read_bytes())
        return found
    retriever = open_retriever(folders["embedder"], folders["knowledge"], settings)
    found = []
    for number, question in enumerate(asked, 1):
        evidence, _ = retriever.evidence(question.question, PASSAGES)
        found.append((evidence, {"document": question.document, "pages": question.pages}))
        if sys.stderr.isatty():
            print(f"\r{name}: {number}/{len(asked)} asked", end="", file=sys.stderr)
    kept.write_bytes(pickle.dumps(found))
    return found


def compare_with_search(library: Library) -> None:
    """Raise RuntimeError unless the arrays rank every question as the search itself does."""
    from fieldpack.retrieval.hybrid import choose_groups, score_candidates

    settings = replace(RetrievalSettings(), merge_adjacent=library.join)
    weights = _weights_of(settings)
    for case in library.cases:
        groups = choose_groups(
            score_candidates(case.evidence, settings), case.places, PASSAGES, settings
        )
        places = [case.places[group[0]] for group in groups]
        if _ranks(places, case.document, case.pages) != case.ranks(weights, join=library.join):
            raise RuntimeError(f"{library.name}: the benchmark ranks otherwise than the search")


# --- choosing -------------------------------------------------------------------------------------


def grid() -> list[Weights]:
    """Return all combinations."""
    return [Weights(*values) for values in itertools.product(*GRID.values())]


def fit(libraries: Sequence[Library], tests: Sequence[Library]) -> dict[str, Any]:
    """Judge every combination on every question, choose by folds, print and return the figures."""
    import numpy as np

    combinations = grid()
    old = _weights_of(OLD)
    if old not in combinations:
        combinations.append(old)
    gains = {
        library.name: np.array([list(map(_gain, library.ranks(w))) for w in combinations])
        for library in libraries
    }
    documents = {library.name: [case.document for case in library.cases] for library in libraries}
    everything = {name: np.ones(values.shape[1], bool) for name, values in gains.items()}
    best = choose(gains, everything, documents, combinations, plain=False)
    plain = choose(gains, everything, documents, combinations, plain=True)
    print(
        f"\nbest on all questions:  {combinations[best]}\nplainest within one SE: {combinations[plain]}"
    )
    ways = {
        "as it was": lambda kept: combinations.index(old),
        "best": lambda kept: choose(gains, kept, documents, combinations, plain=False),
        "plainest within one SE": lambda kept: choose(
            gains, kept, documents, combinations, plain=True
        ),
    }
    rows: list[dict[str, Any]] = []
    for way, chooser in ways.items():
        rows += out_of_fold(way, chooser, gains, libraries, documents, combinations)
    for library in libraries:
        kept = {name: np.full(v.shape[1], name != library.name) for name, v in gains.items()}
        others = {name: v for name, v in gains.items() if name != library.name}
        for way, is_plain in (("best", False), ("plainest within one SE", True)):
            chosen = choose(others, kept, documents, combinations, plain=is_plain)
            rows.append(
                {"way": f"{way} on the two others", "library": library.name, "chosen": str(combinations[chosen]),
                 **figures(library, combinations[chosen])}
            )  # fmt: skip
    chosen_on_all = {
        "as it was": old,
        "best": combinations[best],
        "plainest within one SE": combinations[plain],
    }
    for way, w in chosen_on_all.items():
        for library in (*libraries, *tests):
            label = f"{way}, in sight" if library in libraries else way
            rows.append({"way": label, "library": library.name, **figures(library, w)})
    head = ("weights", "library", "page@1", "page@5", "doc@1", "doc@5", "MRR")
    print("\n" + table(head, [_row(row) for row in rows]))
    shipped = _weights_of(RetrievalSettings())
    shipped_rows = [
        {"way": "today's defaults", "library": library.name, **figures(library, shipped)}
        for library in (*libraries, *tests)
    ]
    print("\n" + table(head, [_row(row) for row in shipped_rows]))
    return {
        "best": asdict(combinations[best]),
        "plain": asdict(combinations[plain]),
        "rows": rows + shipped_rows,
        "one_change": compare_one_by_one(libraries, shipped),
    }


def choose(
    gains: Mapping[str, NDArray[np.float64]],
    kept: Mapping[str, NDArray[np.bool_]],
    documents: Mapping[str, Sequence[str]],
    combinations: Sequence[Weights],
    *,
    plain: bool,
) -> int:
    """Return the combination with the best mean over libraries on the questions that are `kept`;
    `plain`: the plainest one whose distance to that is within one standard error of the distance,
    over documents."""
    import numpy as np

    means = np.mean([gains[n][:, kept[n]].mean(axis=1) for n in gains], axis=0)
    best = int(means.argmax())
    if not plain:
        return best
    variance = np.zeros(len(combinations))
    for name, values in gains.items():
        behind = (values[best] - values)[:, kept[name]]
        behind = behind - behind.mean(axis=1, keepdims=True)
        own = np.array(documents[name])[kept[name]]
        clusters = np.stack([behind[:, own == d].sum(axis=1) for d in sorted(set(own))], axis=1)
        variance += (clusters**2).sum(axis=1) / (kept[name].sum() * len(gains)) ** 2
    near = [i for i in range(len(combinations)) if means[best] - means[i] <= np.sqrt(variance[i])]
    return min(near, key=lambda i: (combinations[i].plainness, -means[i]))


def out_of_fold(
    way: str,
    chooser: Any,
    gains: Mapping[str, NDArray[np.float64]],
    libraries: Sequence[Library],
    documents: Mapping[str, Sequence[str]],
    combinations: Sequence[Weights],
) -> list[dict[str, Any]]:
    """Return each library's figures on documents that the weights were not chosen on, the mean of
    all draws of folds."""
    import numpy as np

    ranks: dict[str, list[tuple[int | None, int | None]]] = {
        library.name: [] for library in libraries
    }
    for draw in range(DRAWS):
        folds = {
            name: _folds(names, random.Random(f"{SEED} {draw} {name}"))
            for name, names in documents.items()
        }
        for fold in range(FOLDS):
            kept = {name: np.array([f != fold for f in own]) for name, own in folds.items()}
            weights = combinations[chooser(kept)]
            for library in libraries:
                seen = zip(library.ranks(weights), kept[library.name], strict=True)
                ranks[library.name] += [rank for rank, keep in seen if not keep]
    return [
        {
            "way": f"{way}, out of fold",
            "library": library.name,
            **_figures(ranks[library.name], library),
        }
        for library in libraries
    ]


def compare_one_by_one(libraries: Sequence[Library], weights: Weights) -> list[dict[str, Any]]:
    """Print and return what each change of one weight brings: the difference of the mean reciprocal
    rank, and its standard error."""
    import numpy as np

    values = {
        "weight": (0.3, 0.5, 0.6),
        "names": (0.0, 0.5, 1.25),
        "page": (0.1,),
        "mix": (0.0, 0.1, 0.2),
        "blend": (0.5,),
    }
    found: list[dict[str, Any]] = []
    for name, others in values.items():
        for value in others:
            if value == getattr(weights, name):
                continue
            row: dict[str, Any] = {"change": f"{name} {value:g}"}
            for library in libraries:
                own, other = (
                    library.ranks(weights),
                    library.ranks(replace(weights, **{name: value})),
                )
                gain = np.array(list(map(_gain, other))) - np.array(list(map(_gain, own)))
                error = gain.std(ddof=1) / np.sqrt(len(gain))
                row[library.name] = [round(float(gain.mean()), 4), round(float(error), 4)]
            found.append(row)
    rows = [
        (row["change"], *(f"{row[n.name][0]:+.3f} ± {row[n.name][1]:.3f}" for n in libraries))
        for row in found
    ]
    print(f"\ndifference of MRR to {weights}:")
    print(table(("one change", *(library.name for library in libraries)), rows))
    return found


def compare_phrases(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Print and return what each weight of phrases brings beside none: the difference of the mean
    reciprocal rank, and its standard error."""
    import numpy as np

    weights = _weights_of(RetrievalSettings())
    without: dict[str, Any] = {}
    found: list[dict[str, Any]] = []
    for value in PHRASES:
        libraries, tests = read_libraries(arguments, parity=True, phrases=value)
        row: dict[str, Any] = {"phrases": value}
        for library in (*libraries, *tests):
            gains = np.array(list(map(_gain, library.ranks(weights))))
            gain = gains - without.setdefault(library.name, gains)
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            row[library.name] = [round(float(gain.mean()), 4), round(float(error), 4)]
        found.append(row)
    names = list(without)
    rows = [
        (f"phrases {row['phrases']:g}", *(f"{row[n][0]:+.3f} ± {row[n][1]:.3f}" for n in names))
        for row in found[1:]
    ]
    print("\ndifference of MRR to phrases 0:")
    print(table(("one change", *names), rows))
    return found


# --- figures --------------------------------------------------------------------------------------


def figures(library: Library, weights: Weights) -> dict[str, Any]:
    """Return a library's figures under one combination."""
    return _figures(library.ranks(weights), library)


def _figures(ranks: Sequence[tuple[int | None, int | None]], library: Library) -> dict[str, Any]:
    def share(which: int, k: int) -> float:
        hits = sum((rank[which] or k + 1) <= k for rank in ranks)
        return round(hits / len(ranks), 4)

    pages = {"page_at_1": share(1, 1), "page_at_5": share(1, 5)} if library.paged else {}
    mrr = round(sum(map(_gain, ranks)) / len(ranks), 4)
    return {**pages, "document_at_1": share(0, 1), "document_at_5": share(0, 5), "mrr": mrr}


def _row(row: Mapping[str, Any]) -> tuple[object, ...]:
    shares = [
        f"{row[name]:.1%}" if name in row else None
        for name in ("page_at_1", "page_at_5", "document_at_1", "document_at_5")
    ]
    return row["way"], row["library"], *shares, row["mrr"]


def _gain(ranks: tuple[int | None, int | None]) -> float:
    return 1 / ranks[1] if ranks[1] else 0.0


def _ranks(
    order: Iterable[Place], document: str, pages: frozenset[int]
) -> tuple[int | None, int | None]:
    by_document = by_page = None
    for rank, place in enumerate(order, 1):
        if place.document == document:
            by_document = by_document or rank
            if not pages or place.page in pages:
                return by_document, rank
    return by_document, by_page


def _folds(documents: Sequence[str], draw: random.Random) -> list[int]:
    """Return a fold for each question, the same for all of a document."""
    names = sorted(set(documents))
    draw.shuffle(names)
    fold = {name: i % FOLDS for i, name in enumerate(names)}
    return [fold[name] for name in documents]


def _floor(scores: Mapping[int, float], count: int) -> float:
    return sorted(scores.values(), reverse=True)[count - 1] if len(scores) >= count else 0.0


if __name__ == "__main__":
    main()
