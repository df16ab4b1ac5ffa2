"""Quotes: what counts as a sentence or a row, which one is picked, what a bundle without a language
model says, and what stands above a model's answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fakes
import fieldpack
from fieldpack import QuestionError, QuoteFound
from fieldpack.answers import QUOTED, RELATED, UNSURE, WRITTEN, TextPiece
from fieldpack.passages import Chunk, Citation, Passage
from fieldpack.prompt import read_prompt
from fieldpack.rag import AnswerOptions, sureness_of
from fieldpack.retrieval.embedder import TokenVectors
from fieldpack.retrieval.late_interaction import QuestionWords
from fieldpack.retrieval.quote_text import with_heads
from fieldpack.retrieval.quoting import (
    Candidate,
    Quote,
    QuoteSettings,
    candidates,
    is_direct,
    near_passages,
    near_words,
    rank,
)

TABLE = (
    "Limits of the funds.\n\n| Fund | Amber | Red |\n|---|---|---|\n| CGEF | 14% | 17% |\n| CSBF | "
    "2% | 3% |"
)
QUOTING = replace(fakes.SETTINGS, quoting=QuoteSettings())


def passage(text: str, heading: tuple[str, ...] = ()) -> Passage:
    return Passage(1, "a.md", "A", None, heading, text, 1.0, 0.5)


def quotes(text: str, heading: tuple[str, ...] = ()) -> list[str]:
    return [candidate.quote for candidate in candidates([passage(text, heading)])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "One is 1.5 metres. Two is e.g. small there. Three!",
            ["One is 1.5 metres.", "Two is e.g. small there."],
        ),
        (
            "Signed by J. Smith of Leith. He left in May.",
            ["Signed by J. Smith of Leith.", "He left in May."],
        ),
        (
            (
                "It holds private stakes and listed\ncompanies that own harbours, and wind\nfarms too. "
                "It began in 2012."
            ),
            [
                (
                    "It holds private stakes and listed\ncompanies that own harbours, and wind\nfarms "
                    "too."
                ),
                "It began in 2012.",
            ],
        ),
        (
            (
                "Opening hours of the desk\nThe desk in Edinburgh is open from nine to five on every "
                "working day."
            ),
            [
                "Opening hours of the desk",
                "The desk in Edinburgh is open from nine to five on every working day.",
            ],
        ),
        (
            "- first item of three\n- second item of three",
            ["- first item of three", "- second item of three"],
        ),
    ],
)
def test_pieces_are_sentences_whole_over_wrapped_lines(text: str, expected: list[str]) -> None:
    found = quotes(text)
    assert found == expected
    assert all(quote in text for quote in found)


PRINTED = (
    "Votes are decided by the responsible investment team together with the fund\nmanager. Where "
    "the two disagree, the chief investment officer decides, and the\nreasons are kept for six "
    "years, as the auditors of the fund and of the firm may ask.\nFor orders up to GBP 3 "
    "million and for those of the Short-Dated Bond\nFund two dealers are asked."
)


def test_a_sentence_goes_on_over_lines_of_uneven_lengths() -> None:
    """The longest line would have held the first word of each next one."""
    found = [" ".join(quote.split()) for quote in quotes(PRINTED)]
    assert found == [
        "Votes are decided by the responsible investment team together with the fund manager.",
        (
            "Where the two disagree, the chief investment officer decides, and the reasons are kept "
            "for six years, as the auditors of the fund and of the firm may ask."
        ),
        (
            "For orders up to GBP 3 million and for those of the Short-Dated Bond Fund two dealers "
            "are asked."
        ),
    ]
    assert all(quote in PRINTED for quote in quotes(PRINTED))
    before = [c.quote for c in candidates([passage(PRINTED)], complete=False)]
    assert (
        before[0] == "Votes are decided by the responsible investment team together with the fund"
    )


@pytest.mark.parametrize(
    "text",
    [
        (
            "Guidelines on the knowledge of older staff\nGuidelines on complex and risky products\n"
            "Opinion on the costs that were paid in all of the funds"
        ),
        "The desk opens at nine:\nthe hall of Leith is closed until ten on Sundays",
        "Guidelines on the knowledge of staff\n- the hall of Leith is closed",
    ],
)
def test_lines_that_are_titles_items_or_end_with_a_mark_stay_apart(text: str) -> None:
    assert quotes(text) == text.split("\n")


def test_a_row_has_its_heads_and_is_an_exact_slice() -> None:
    found = candidates([passage(TABLE)])
    assert [c.quote for c in found] == [
        "Limits of the funds.",
        "| CGEF | 14% | 17% |",
        "| CSBF | 2% | 3% |",
    ]
    assert found[1].text == "Fund: CGEF; Amber: 14%; Red: 17%"
    later = candidates([passage("CGEF | 14% | 17%", ("Limits", "Columns: Fund | Amber | Red"))])
    assert [(c.quote, c.text) for c in later] == [
        ("CGEF | 14% | 17%", "Fund: CGEF; Amber: 14%; Red: 17%")
    ]
    blank = passage("| Fund CGEF | 14% |\n| Fund CSBF | 2% |", ("Limits", "Columns:  | Amber"))
    assert [c.text for c in candidates([blank])] == [
        "Fund CGEF; Amber: 14%",
        "Fund CSBF; Amber: 2%",
    ]
    before = candidates([blank], complete=False)
    assert [c.text for c in before] == ["Fund CGEF | 14%", "Fund CSBF | 2%"]
    assert with_heads("Fund | Amber", "CGEF | 14% | 17%") == "CGEF | 14% | 17%", (
        "a row of another width stands as it is"
    )


@pytest.mark.parametrize(
    ("heads", "row", "said"),
    [
        ("Item | Small | Large", "Adult | 2 |", "Item: Adult; Small: 2"),
        ("Item | Small | Large", "| 2 | 3", "Small: 2; Large: 3"),
        ("Item | Small | Large", "| 2 |", "Small: 2"),
        ("| Small | Large", "Adult | 2 |", "Adult; Small: 2"),
        ("| Small |", "Adult | 2 | 3", "Adult; Small: 2; 3"),
        ("| Item | Small |", "| Adult | 2 |", "Item: Adult; Small: 2"),
        ("| Item | Small |", "| Adult | |", "Item: Adult"),
        ("| Item | Small |", "| Adult | 2", "Item: Adult; Small: 2"),
        ("| Item | Small |", "Adult | 2", "Item: Adult; Small: 2"),
        ("| Item | Small | Large | Huge |", "| Adult | 2 |", "Adult | 2"),
    ],
)
def test_an_empty_cell_at_an_end_keeps_its_place(heads: str, row: str, said: str) -> None:
    """And a row of Markdown that is too short gets no heads: the wrong one would change what a
    figure is."""
    assert with_heads(heads, row) == said


@pytest.mark.parametrize(
    ("question", "direct"),
    [
        ("What does the A class cost a year?", True),
        ("How much is the dinner allowance in London?", True),
        ("What is the total expense ratio?", True),
        ("Is VaR used for the fund?", False),
        ("A host offers to pay my hotel. May I say yes?", False),
        ("How much more does the A class cost than the I class?", False),
        ("What is the difference between the two charges?", False),
        ("Darf ich das annehmen?", False),
        ("Wie viel kostet die A-Klasse?", True),
    ],
)
def test_a_question_for_yes_or_no_or_a_sum_is_told_apart(question: str, direct: bool) -> None:
    assert is_direct(question) is direct


def alike(words: Sequence[str]) -> list[float]:
    return [1.0] * len(words)


def read(*tokens: tuple[float, float], spans: tuple[tuple[int, int], ...] = ()) -> TokenVectors:
    return TokenVectors(np.ones(2), np.array(tokens).reshape(-1, 2), spans)


def test_a_passage_is_as_near_to_a_word_as_the_nearest_of_its_sentences_and_title() -> None:
    spans = ((0, 6), (10, 15))
    question = QuestionWords(
        "Apples in Leith?",
        words=(frozenset(("apples",)), frozenset(("leith",))),
        languages=(),
        vectors=read((1, 0), (0, 1), spans=spans),
        spans=spans,
        weights=np.array([0.5, 0.5]),
    )
    near = near_words(
        question,
        [read((1, 0)), read((0.6, 0.8)), read((0.6, 0.8))],
        [read(), read((0, 1))],
        [Candidate("a", "", 1), Candidate("b", "", 1), Candidate("c", "", 2)],
    )
    assert near == pytest.approx(np.array([[1, 0], [0.6, 0.8], [0.6, 1]]))
    by_passage = near_passages(
        question, near, [Candidate("a", "", 1), Candidate("b", "", 1), Candidate("c", "", 2)]
    )
    assert by_passage == {
        1: pytest.approx({"apples": 1.0, "leith": 0.8}),
        2: pytest.approx({"apples": 0.6, "leith": 1.0}),
    }


def test_candidates_are_ranked_by_their_scores() -> None:
    class Digits:
        """Embeds a text as its first digit."""

        def embed_tokens(self, texts: Sequence[str], *, query: bool = False) -> list[TokenVectors]:
            digits = [next((int(c) for c in text if c.isdigit()), 0) for text in texts]
            return [TokenVectors(np.array([d / 9.0]), np.zeros((0, 1)), ()) for d in digits]

    passages = [passage("Of them 2 are red.\nOf them 8 are red."), passage("Of them 5 are red.")]
    ranking = rank(
        "9",
        passages,
        Digits(),
        QuoteSettings(cosine=1.0, words=0.0, words_in_context=0.0, rank=0.0, tokens=0.0),
        rarity=alike,
    )
    assert [(c.quote[8], c.passage) for c in ranking.candidates] == [("8", 1), ("5", 2), ("2", 1)]
    assert ranking.scores == pytest.approx([8 / 9, 5 / 9, 2 / 9])


@pytest.fixture(scope="module")
def both(exported_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a language model that shows quotes."""
    return fakes.write_bundle(
        tmp_path_factory.mktemp("both") / "bundle", model=exported_llama, settings=QUOTING
    )


@pytest.fixture(scope="module")
def quoting(both: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without its language model."""
    folder = tmp_path_factory.mktemp("quoting") / "bundle"
    shutil.copytree(both, folder, ignore=shutil.ignore_patterns("model"))
    fakes.reseal(folder)
    return folder


def test_without_a_model_the_answer_is_a_passage_s_words(quoting: Path) -> None:
    with fieldpack.open(quoting) as expert:
        expert.load()
        events = list(expert.stream("After how many hours of use is the filter changed?"))
        answer = expert.ask("After how many hours of use is the filter changed?")
        assert expert.count_tokens("two words") > 0
    assert [type(event).__name__ for event in events] == [
        "PassagesFound",
        "TextPiece",
        "CitationsFound",
        "Done",
    ]
    number = answer.citations[0].passage
    assert answer.text == f"Change the filter after 400 hours of use. [{number}]"
    assert (answer.kind, answer.refused) == (QUOTED, False)
    assert answer.citations[0].quote == "Change the filter after 400 hours of use."
    assert answer.citations[0].quote in answer.passages[number - 1].text
    assert answer.timings.tokens == 0 and answer.timings.quote_ms == answer.timings.total_ms > 0
    assert (
        answer.to_dict()["quote"]["document"] == "pump.md" and answer.to_dict()["kind"] == "quote"
    )


def test_yes_or_no_gets_the_words_as_such(quoting: Path) -> None:
    with fieldpack.open(quoting) as expert:
        answer = expert.ask("Is the filter changed after 400 hours of use?")
    assert answer.kind == RELATED and answer.text.startswith("Change the filter after 400 hours")


def with_risk(source: Path, folder: Path, sure_from: float) -> Path:
    """The bundle, which answers from a sureness on; `says_it` makes every quote as sure as 0.88."""
    shutil.copytree(source, folder)
    data = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
    data["quoting"]["says_it"] = [0.0, 0.0, 0.0, 0.0, 0.0, 2.0]
    data["settings"] |= {"sure_from": sure_from, "unsure": "Not sure: see the passages."}
    (folder / "prompt.json").write_text(json.dumps(data), encoding="utf-8")
    fakes.reseal(folder)
    return folder


HOURS = "After how many hours of use is the filter changed?"


def test_a_quote_is_given_from_the_sureness_on_that_the_risk_wants(
    quoting: Path, tmp_path: Path
) -> None:
    with fieldpack.open(with_risk(quoting, tmp_path / "sure", 0.85)) as expert:
        answer = expert.ask(HOURS)
    assert answer.sureness == pytest.approx(0.8808) and answer.kind == QUOTED
    with fieldpack.open(with_risk(quoting, tmp_path / "unsure", 0.9)) as expert:
        events = list(expert.stream(HOURS))
        as_evaluated = expert.ask(HOURS, options=AnswerOptions(threshold=False))
    answer = events[-1].answer  # type: ignore[union-attr]
    assert (answer.kind, answer.refused, answer.text) == (
        UNSURE,
        True,
        "Not sure: see the passages.",
    )
    assert answer.passages and not answer.citations and answer.quote is None
    assert answer.to_dict()["kind"] == "unsure" and answer.to_dict()["sureness"] == 0.8808
    assert [e.text for e in events if isinstance(e, TextPiece)] == [answer.text]
    assert as_evaluated.kind == QUOTED, "without thresholds it says what it has"


def test_a_written_answer_is_held_back_until_it_is_sure(both: Path, tmp_path: Path) -> None:
    """The toy model writes noise, which its quote does not have: it is never shown."""
    with fieldpack.open(with_risk(both, tmp_path / "some", 0.5)) as expert:
        events = list(expert.stream(HOURS))
        with pytest.raises(QuestionError, match=r"answer\.risk"):
            expert.ask(HOURS, schema={"type": "object"})
    answer = events[-1].answer  # type: ignore[union-attr]
    assert answer.kind == UNSURE and answer.timings.tokens > 0
    assert answer.sureness is not None and answer.sureness < 0.5
    assert [type(e).__name__ for e in events] == [
        "PassagesFound",
        "TextPiece",
        "CitationsFound",
        "Done",
    ]
    with fieldpack.open(with_risk(both, tmp_path / "none", 2.0)) as expert:
        answer = expert.ask(HOURS)
    assert answer.kind == UNSURE and answer.timings.tokens == 0, "nothing is written in vain"
    with fieldpack.open(with_risk(both, tmp_path / "all", 0.0)) as expert:
        answer = expert.ask(HOURS)
    assert answer.kind == WRITTEN and answer.text


def test_a_written_answer_is_as_sure_as_its_quote_has_its_words() -> None:
    read = passage("The fee is 40 pounds a year.")
    quote = Quote(read.text, Citation("a.md", None, read.text, 1), 1.0, 0.8, True, True)

    def sureness(text: str) -> float | None:
        return sureness_of(text, "What is the fee?", quote, (read,))

    assert sureness("The fee is 40 pounds. [1]") == 0.8
    assert sureness("The fee is 50 pounds.") == 0.4
    assert sureness("") == 0.0
    assert sureness_of("40 pounds", "What is the fee?", None, (read,)) is None


def test_an_insufficient_quote_is_a_refusal_and_no_quote_above_an_answer(
    both: Path, quoting: Path, tmp_path: Path
) -> None:
    for name, source in (("a", both), ("b", quoting)):
        folder = tmp_path / name
        shutil.copytree(source, folder)
        data = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
        data["quoting"]["refuse_below"] = 99.0  # log odds that no quote has
        (folder / "prompt.json").write_text(json.dumps(data), encoding="utf-8")
        fakes.reseal(folder)
    with fieldpack.open(tmp_path / "b") as expert:
        answer = expert.ask("After how many hours of use is the filter changed?")
        assert (
            answer.refused
            and answer.text == QUOTING.refusal
            and answer.citations == ()
            and answer.quote is None
        )
    with fieldpack.open(tmp_path / "a") as expert:
        events = list(expert.stream("After how many hours of use is the filter changed?"))
    assert not any(isinstance(event, QuoteFound) for event in events)


def test_a_model_s_answer_comes_below_a_quote_that_stands_at_once(both: Path) -> None:
    with fieldpack.open(both) as expert:
        events = list(expert.stream("After how many hours of use is the filter changed?"))
    names = [type(event).__name__ for event in events]
    assert names[:2] == ["PassagesFound", "QuoteFound"] and names.count("QuoteFound") == 1
    answer = events[-1].answer  # type: ignore[union-attr]
    assert answer.kind == WRITTEN and answer.timings.tokens > 0
    assert (
        answer.quote == events[1].quote
        and answer.quote.text == "Change the filter after 400 hours of use."
    )  # type: ignore[union-attr]
    assert 0 < answer.timings.quote_ms < answer.timings.first_token_ms <= answer.timings.total_ms


def test_texts_read_by_token_have_the_vectors_of_passages_and_questions(quoting: Path) -> None:
    from fieldpack.retrieval.embedder import Embedder

    embedder = Embedder.open(quoting / "embedder")
    texts = ["Change the filter.", "Quiet hours begin at ten."]
    read = embedder.embed_tokens(texts)
    exact = 64 * np.finfo(np.float32).eps
    assert np.allclose([one.vector for one in read], embedder.embed_passages(texts), atol=exact)
    (question,) = embedder.embed_tokens(texts[:1], query=True)
    assert np.allclose(question.vector, embedder.embed_query(texts[0]), atol=exact)
    for text, one in zip(texts, read, strict=True):
        assert len(one.tokens) == len(one.spans)
        lengths = np.linalg.norm(one.tokens, axis=1)
        letters = [text[start:end].isalpha() for start, end in one.spans]
        assert np.allclose(lengths, letters, atol=exact), "the toy's other vectors are zeros"
        words = "".join(text[start:end] for start, end in one.spans)
        assert words.replace(" ", "") == text.replace(" ", "")
    assert embedder.embed_tokens([]) == []


def test_a_schema_wants_a_model(quoting: Path) -> None:
    with (
        fieldpack.open(quoting) as expert,
        pytest.raises(QuestionError, match="has no language model"),
    ):
        expert.ask("After how many hours?", schema={"type": "object"})


def test_a_bundle_from_before_quotes_shows_none_and_needs_its_model(
    exported_llama: Path, tmp_path: Path
) -> None:
    folder = fakes.write_bundle(tmp_path / "old", model=exported_llama)
    assert "quoting" not in json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
    assert read_prompt(folder)[1].quoting is None
    with fieldpack.open(folder) as expert:
        assert expert.ask("After how many hours of use is the filter changed?").quote is None
    shutil.rmtree(folder / "model")
    fakes.reseal(folder)
    with pytest.raises(fieldpack.BundleCorrupt, match="no model in the bundle"):
        fieldpack.open(folder)


def test_older_runtimes_read_the_settings_of_a_bundle_that_quotes(both: Path) -> None:
    """They take `settings` by name and refuse what they do not know; `quoting` stands beside it."""
    data = json.loads((both / "prompt.json").read_text(encoding="utf-8"))
    assert "quoting" not in data["settings"] and data["quoting"]["tokens"] == 1.0


def test_a_bundle_from_before_tokens_were_compared_quotes_as_it_did(
    quoting: Path, tmp_path: Path
) -> None:
    """Its threshold is on the score plus twice the margin; tokens count nothing."""
    folder = tmp_path / "older"
    shutil.copytree(quoting, folder)
    data = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
    data["quoting"] = {
        "cosine": 1.0,
        "words": 0.2,
        "words_in_context": 0.2,
        "rank": -0.05,
        "lead": 3.0,
        "refuse_below": 0.7,
    }
    (folder / "prompt.json").write_text(json.dumps(data), encoding="utf-8")
    settings = read_prompt(folder)[1].quoting
    assert settings is not None
    assert settings.weights == (1.0, 0.2, 0.2, -0.05, 0.0)
    assert settings.answerable == (1.0, 3.0, 0.0, 0.0, 0.0, 0.0) and settings.refuse_below == 0.7
    assert not settings.complete and not settings.shorten


def test_a_bundle_from_before_quotes_were_shortened_quotes_as_it_did(
    quoting: Path, tmp_path: Path
) -> None:
    """It names neither setting. A sentence ends with its line and keeps its clauses, and a row whose
    first head is blank has none."""
    folder = tmp_path / "older"
    shutil.copytree(quoting, folder)
    data = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
    assert data["quoting"].pop("complete") and data["quoting"].pop("shorten")
    (folder / "prompt.json").write_text(json.dumps(data), encoding="utf-8")
    older = read_prompt(folder)[1].quoting
    assert older == QuoteSettings(complete=False, shorten=False)
    clauses = "Visitors wait at dusk; my jolly zebra jumps quickly."
    from fieldpack.retrieval.embedder import Embedder

    embedder = Embedder.open(quoting / "embedder")
    for text, question, before, now in (
        (clauses, "Jolly zebra?", clauses, "… my jolly zebra jumps quickly."),
        (
            PRINTED,
            "votes team fund manager",
            "Votes are decided by the responsible investment team together with the fund",
            "Votes are decided by the responsible investment team together with the fund manager.",
        ),
    ):
        shown = [
            rank(question, [passage(text)], embedder, settings, rarity=alike).shown
            for settings in (older, QuoteSettings())
        ]
        assert [one.text for one in shown if one] == [before, now]
        assert all(one.quote in text for one in shown if one)


def test_a_damaged_judge_is_a_damaged_bundle(quoting: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(quoting, folder)
    data = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
    data["quoting"]["answerable"] = [1.0, 2.0]
    (folder / "prompt.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(fieldpack.BundleCorrupt, match="answerable: want 6 weights"):
        read_prompt(folder)


def test_a_memory_limit_without_a_model(quoting: Path) -> None:
    with fieldpack.open(quoting, memory_mb=1000) as expert:
        assert expert.settings.max_context == QUOTING.max_context
    with pytest.raises(fieldpack.BundleUnsupported, match="the limit is 50 MB"):
        fieldpack.open(quoting, memory_mb=50)


def test_a_row_is_quoted_with_its_heads_and_cited_as_it_stands(
    quoting: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "rows"
    shutil.copytree(quoting, folder, ignore=shutil.ignore_patterns("knowledge"))
    from fieldpack.retrieval.embedder import Embedder

    chunk = Chunk("limits.md", "Limits", None, ("Limits of the funds",), 0, len(TABLE), TABLE)
    fakes.write_knowledge(folder / "knowledge", Embedder.open(folder / "embedder"), [chunk])
    fakes.reseal(folder)
    with fieldpack.open(folder) as expert:
        answer = expert.ask("What is the red limit of the fund CSBF?")
    assert answer.text == "Fund: CSBF; Amber: 2%; Red: 3% [1]"
    assert answer.citations[0].quote == "| CSBF | 2% | 3% |"
