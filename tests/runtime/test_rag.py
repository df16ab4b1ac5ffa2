"""Question in, events out, in their order; refusals; the JSON that other programs read."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import fakes
import fieldpack
from fieldpack.answers import PassagesFound, Timings
from fieldpack.passages import Chunk, Filter, Passage
from fieldpack.prompt import PromptBuilder
from fieldpack.rag import (
    AnswerOptions,
    Need,
    Rag,
    clean_question,
    finish,
    is_refusal,
    need_of,
)
from fieldpack.retrieval.quoting import QuoteSettings
from fieldpack.retrieval.retriever import Retriever, similarity_margin

QUESTION = "What does the A class of the Global Equity Fund cost a year?"


def test_events_come_in_order_and_agree(expert: fieldpack.Expert) -> None:
    events = list(expert.stream(QUESTION))
    kinds = [type(event) for event in events]
    assert kinds[0] is fieldpack.PassagesFound and kinds[-2:] == [
        fieldpack.CitationsFound,
        fieldpack.Done,
    ]
    assert set(kinds[1:-2]) == {fieldpack.TextPiece}
    done = events[-1]
    assert isinstance(done, fieldpack.Done)
    assert (
        isinstance(events[0], fieldpack.PassagesFound)
        and events[0].passages == done.answer.passages
    )
    assert (
        isinstance(events[-2], fieldpack.CitationsFound)
        and events[-2].citations == done.answer.citations
    )
    assert done.answer.passages[0].text == fakes.CHUNKS[0].text
    again = expert.ask(QUESTION)
    assert replace(again, timings=done.answer.timings) == done.answer


def test_the_answer_as_json(expert: fieldpack.Expert) -> None:
    data = json.loads(json.dumps(expert.ask(QUESTION).to_dict()))
    assert set(data) == {
        "question",
        "asked",
        "answer",
        "refused",
        "cut",
        "guessed",
        "sureness",
        "kind",
        "quote",
        "unknown_words",
        "unsupported",
        "citations",
        "passages",
        "timings",
    }
    assert data["question"] == QUESTION and data["refused"] is False and len(data["passages"]) == 3
    timings = data["timings"]
    assert set(timings) == {
        "retrieval_ms",
        "first_token_ms",
        "total_ms",
        "tokens",
        "tokens_per_s",
        "prompt_tokens",
        "cached_tokens",
        "drafted",
        "accepted",
        "quote_ms",
    }
    assert 0 < timings["retrieval_ms"] < timings["first_token_ms"] <= timings["total_ms"]
    assert 1 <= timings["tokens"] <= fakes.SETTINGS.max_answer_tokens


def test_below_the_threshold_no_model_runs(expert: fieldpack.Expert) -> None:
    answer = expert.ask("東京")
    assert answer.refused and answer.text == fakes.SETTINGS.refusal and answer.citations == ()
    assert answer.timings.tokens == 0 and answer.timings.tokens_per_s == 0
    assert expert.ask("東京", options=AnswerOptions(threshold=False)).timings.tokens > 0


def test_without_retrieval_there_are_no_passages(expert: fieldpack.Expert) -> None:
    answer = expert.ask(QUESTION, options=AnswerOptions(retrieval=False))
    assert answer.passages == () and answer.citations == () and answer.timings.tokens > 0


def test_a_bundle_without_knowledge_answers(exported_llama: Path, tmp_path: Path) -> None:
    folder = fakes.write_bundle(tmp_path / "b", model=exported_llama, knowledge=False)
    with fieldpack.open(folder, threads=1) as expert:
        assert expert.search("anything") == []
        assert expert.ask("anything").timings.tokens > 0


@pytest.mark.parametrize("question", ["", "  \n\t", "\0\x1b", "\ud800"])
def test_an_empty_question(expert: fieldpack.Expert, question: str) -> None:
    for call in (expert.ask, expert.search, lambda q: list(expert.stream(q))):
        with pytest.raises(fieldpack.EmptyQuestion):
            call(question)


def test_a_question_too_long(expert: fieldpack.Expert) -> None:
    with pytest.raises(fieldpack.QuestionTooLong, match="501 characters, this bundle takes 500"):
        expert.ask("x" * 501)


def test_control_characters_become_spaces() -> None:
    assert clean_question(" a\0b\x1b[31m\nc  d ", 99) == "a b [31m c d"


def test_k_must_be_positive(expert: fieldpack.Expert) -> None:
    with pytest.raises(ValueError, match="k must be 1 to"):
        expert.search("x", 0)


def test_stopping_an_answer_leaves_the_expert_usable(expert: fieldpack.Expert) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(fieldpack.Cancelled):
        expert.ask(QUESTION, cancel=cancel)
    events = expert.stream(QUESTION)
    next(events), next(events)
    events.close()  # type: ignore[attr-defined]
    assert expert.ask(QUESTION).text


def test_threads_share_an_expert(sealed: Path) -> None:
    questions = [QUESTION, "Who may open the valve?", "When do quiet hours begin?"] * 2
    with fieldpack.open(sealed, threads=1) as fresh, ThreadPoolExecutor(3) as pool:
        texts = [answer.text for answer in pool.map(fresh.ask, questions)]
        assert texts == [fresh.ask(question).text for question in questions]
        found = list(pool.map(lambda q: fresh.search(q, 3), questions))
        assert found == [fresh.search(q, 3) for q in questions]


def test_a_refusal_is_known_by_its_words() -> None:
    refusal = fakes.SETTINGS.refusal
    assert is_refusal("i cannot answer that from these documents [1]", refusal)
    assert is_refusal(refusal + " Ask the office.", refusal)
    assert is_refusal(" [2] ", refusal)  # nothing said
    assert not is_refusal("The filter: I cannot answer that from these documents.", refusal)


@pytest.mark.parametrize(
    ("text", "refusal", "expected"),
    [
        ("No", "No", True),
        ("no. [1]", "No", True),
        ("No. Ask the office.", "No", True),
        ("Northern region", "No", False),
        ("No dogs are allowed.", "No", False),
        ("Unknown", "Unknown.", True),
        ("**Unknown**", "Unknown.", True),
        ("Unknown\nAsk the office.", "Unknown.", True),
        ("Unknown risks are listed in chapter 3.", "Unknown.", False),
        ("The documents do not say", "The documents do not say.", True),
        ("The documents do not say when it was.", "The documents do not say.", True),
        ("The documents do not say, so ask.", "The documents do not say.", True),
        ("The documents do not sayings", "The documents do not say.", False),
        ("Anything", ".", False),  # no recipe has it, an old bundle may
        ("不明。詳しくは事務所へ。", "不明", True),
    ],
)
def test_words_that_begin_like_a_refusal_are_none(text: str, refusal: str, expected: bool) -> None:
    assert is_refusal(text, refusal) is expected


def test_finish_cites_and_cleans() -> None:
    passages = tuple(
        Passage(i, c.document, c.title, c.page, c.heading, c.text, 1.0, 1.0)
        for i, c in enumerate(fakes.CHUNKS[:3])
    )
    text = " Change it after 400 hours [3] [8]. "
    answer = finish("q", text, passages, fakes.SETTINGS.refusal, Timings(1, 2, 3, 4, 5, 6))
    assert answer.text == "Change it after 400 hours [3]."
    assert [(c.document, c.page, c.quote) for c in answer.citations] == [
        ("pump.md", None, fakes.CHUNKS[2].text)
    ]


def test_a_tighter_context_uses_fewer_passages_and_says_so(
    exported_llama: Path, tmp_path: Path
) -> None:
    tight = replace(fakes.SETTINGS, max_context=120, max_answer_tokens=8)
    folder = fakes.write_bundle(tmp_path / "b", model=exported_llama, settings=tight)
    with fieldpack.open(folder, threads=1) as expert:
        answer = expert.ask(QUESTION)
    assert len(answer.passages) < 3
    assert all(c.passage <= len(answer.passages) for c in answer.citations)


def test_a_follow_up_is_read_over_the_passages_before(expert: fieldpack.Expert) -> None:
    first = expert.ask("What does the A class of the Global Equity Fund cost a year?")
    previous = fieldpack.Previous(first.read_as, tuple(p.chunk_id for p in first.passages))
    over = expert.ask("And a year of the A class?", previous=previous)
    assert over.question == "And a year of the A class?" and over.read_as in (
        over.question,
        f"{first.read_as} {over.question}",
    )
    assert [p.chunk_id for p in over.passages] == list(
        previous.passages
    )  # read already, in the order they were
    assert over.timings.cached_tokens > over.timings.prompt_tokens * 0.5
    other = expert.ask("Quiet hours begin at ten in the evening", previous=previous)
    assert "rules.txt" in [p.document for p in other.passages]


NEEDS = {
    Need.SURE: """
        And for a trader? | what about weekends? | and meropenem? | Why? | How long? | What else?
        how long does it last? | Who approves it? | if the eGFR is below 30? | And in German?
        Und am Wochenende? | Et pour un trader ? | Combien coûte-t-elle ? | ¿Y los fines de semana?
        E per i bambini? | E na segunda-feira? | A dla dzieci? | A v mrazničke? | Kto ju odmrazuje?
        Хто його перевіряє? | А масляний? | وماذا عن الأطفال؟ | 冷冻库呢？ | 那节假日呢？ | 谁可以开它？
    """,
    Need.NONE: """
        what is the pager of the icu | how do i insert a catheter | Who is the head of cardiology?
        How long does it take to get a visa? | Is it possible to smoke in the ICU?
        How do users change their password? | What is autovacuum? | Who calls the IT helpdesk?
        Wann fängt die Schicht an? | Combien coûte le parking ? | ¿Cuánto cuesta la matrícula?
        Quanto costa il parcheggio? | Quanto custa o estacionamento? | Kto zatwierdza urlop?
        V akom poradí plníme skúmavky? | О котрій годині вечеря? | ما هي مدة الإجازة؟ | 怎么请年假？
    """,
    Need.PERHAPS: """
        meropenem? | standard dose of vancomycin? | parking | Since which version?
        And who approved the transfusion policy?
    """,
}


@pytest.mark.parametrize("need", NEEDS)
def test_what_a_question_s_words_say_of_its_need_for_the_one_before(need: Need) -> None:
    questions = [q for line in NEEDS[need].strip().splitlines() for q in line.split(" | ")]
    assert {
        question: needed
        for question in questions
        if (needed := need_of(question.strip(), ("", "de", "fr", "sk", "uk", "zh"))) is not need
    } == {}


@pytest.fixture(scope="module")
def ward(
    exported_llama: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[fieldpack.Expert]:
    """An expert of a table of doses and a list of pagers."""
    texts = {
        "doses.md": "| Drug | Standard dose | Dose for eGFR below 30 |\n|---|---|---|\n"
        "| Vancomycin | 15 mg/kg every 12 hours | 15 mg/kg once |\n"
        "| Meropenem | 1 g every 8 hours | 500 mg every 12 hours |",
        "phones.md": "The pager of the ICU is 8300. The pager of radiology is 8610.",
        "visits.md": "Parking costs 30 francs a day for visitors.",
    }
    chunks = [Chunk(name, name, None, (), 0, len(text), text) for name, text in texts.items()]
    folder = tmp_path_factory.mktemp("ward") / "bundle"
    fakes.write_bundle(folder, model=exported_llama, chunks=chunks)
    with fieldpack.open(folder, threads=1) as expert:
        yield expert


def in_turn(expert: fieldpack.Expert, *questions: str) -> list[str]:
    """Return how each question is read that is asked after the ones before it."""
    readings, previous = [], None
    for question in questions:
        answer = expert.ask(question, previous=previous)
        readings.append(answer.read_as)
        previous = answer.previous
    return readings


def test_a_follow_up_takes_the_place_of_what_it_replaces_and_the_next_one_goes_on_from_that(
    ward: fieldpack.Expert,
) -> None:
    assert in_turn(
        ward, "standard dose of vancomycin?", "and meropenem?", "and if the eGFR is below 30?"
    )[1:] == [
        "standard dose of meropenem?",
        "standard dose of meropenem? and if the eGFR is below 30?",
    ]


@pytest.mark.parametrize(
    "question",
    [
        "what is the pager of the icu",
        "What is the pager of radiology?",
        "how do i insert a catheter",
        "parking",
    ],
)
def test_a_question_with_a_subject_of_its_own_is_answered_as_if_nothing_had_been_asked_before(
    ward: fieldpack.Expert, question: str
) -> None:
    before = ward.ask("standard dose of vancomycin?").previous
    after, alone = ward.ask(question, previous=before), ward.ask(question)
    assert after.read_as == question
    assert (after.text, after.passages) == (alone.text, alone.passages)


def test_a_bare_word_is_read_with_the_question_before_where_the_library_answers_both(
    ward: fieldpack.Expert,
) -> None:
    assert in_turn(ward, "standard dose of vancomycin?", "meropenem?")[1] == (
        "standard dose of meropenem?"
    )


def test_the_passages_of_a_follow_up_come_with_how_it_is_read(ward: fieldpack.Expert) -> None:
    before = ward.ask("standard dose of vancomycin?").previous
    events = list(ward.stream("and meropenem?", previous=before))
    assert isinstance(events[0], PassagesFound)
    assert events[0].read_as == "standard dose of meropenem?"
    alone = next(iter(ward.stream("parking", previous=before)))
    assert isinstance(alone, PassagesFound) and alone.read_as == ""


def test_a_follow_up_after_another_bundle_is_a_question_of_its_own(
    expert: fieldpack.Expert,
) -> None:
    answer = expert.ask(
        QUESTION, previous=fieldpack.Previous("What is served?", (10**6, 10**6 + 1))
    )
    assert answer.passages == expert.ask(answer.read_as).passages


def test_reading_ahead_leaves_only_the_question_to_read(expert: fieldpack.Expert) -> None:
    expert.ask("When do quiet hours begin?")
    expert.read_ahead(QUESTION[:-1])
    ahead = expert.ask(QUESTION)
    assert ahead.timings.cached_tokens > ahead.timings.prompt_tokens * 0.7
    expert.ask("When do quiet hours begin?")
    assert expert.ask(QUESTION).text == ahead.text


def test_a_loaded_expert_has_read_what_every_prompt_begins_with(sealed: Path) -> None:
    with fieldpack.open(sealed, threads=1) as fresh:
        fresh.load()
        rag = fresh._open_rag()
        timings = fresh.ask(QUESTION).timings
    assert timings.cached_tokens >= rag.generator.count_tokens(rag.builder.opening().text) - 2


def test_reading_ahead_stops_for_the_question(expert: fieldpack.Expert) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(fieldpack.Cancelled):
        expert.read_ahead("When do quiet hours", cancel=cancel)
    expert.read_ahead("  ")
    assert expert.ask(QUESTION).text


def test_a_passage_in_its_page(expert: fieldpack.Expert) -> None:
    found = expert.search("quiet hours", 1)[0]
    context = expert.context(found.chunk_id)
    assert (context.text, context.document, context.start, context.end) == (
        found.text,
        "rules.txt",
        0,
        40,
    )
    assert context.before == "" and context.after.strip() == fakes.CHUNKS[5].text
    assert expert.context(found.chunk_id, characters=4).after == context.after[:4]
    assert expert.passage(found.chunk_id).text == found.text
    with pytest.raises(fieldpack.NoSuchPassage, match="no passage 4711"):
        expert.context(4711)


def test_embeddings_are_the_library_s(expert: fieldpack.Expert) -> None:
    vectors = expert.embed(["abc", "zz"])
    assert vectors.shape == (2, fakes.DIM) and vectors[1][25] == pytest.approx(1.0)
    assert expert.embed([], query=True).shape == (0, fakes.DIM)


def test_an_answer_that_follows_a_schema(expert: fieldpack.Expert) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    answer = expert.ask(QUESTION, schema=schema)
    assert isinstance(json.loads(answer.text)["ok"], bool) and answer.citations == ()
    with pytest.raises(fieldpack.QuestionError, match="schema cannot be followed"):
        expert.ask(QUESTION, schema={"type": "no such type"})
    assert expert.ask(QUESTION).text  # the model is as before


def test_a_quote_that_the_library_does_not_hold_is_not_cited(bundle: Path) -> None:
    with fieldpack.open(bundle, threads=1) as expert:
        rag = expert._open_rag()
        found = tuple(expert.search(QUESTION, 3))
        told = finish("q", "It costs 0.85% a year [1].", found, "no", Timings(1, 2, 3, 4, 5, 6))
        assert told.citations and rag._checked_citations(told) == told.citations
        forged = replace(
            told, citations=(replace(told.citations[0], quote="It is free of charge."),)
        )
        assert rag._checked_citations(forged) == ()


class Forging(Retriever):
    """Finds passages whose words are not those of the library: 900 hours, where it says 400."""

    def search(self, question: str, k: int, where: Filter | None = None) -> list[fieldpack.Passage]:
        found = super().search(question, k, where)
        return [replace(one, text=one.text.replace("400", "900")) for one in found]


@pytest.mark.parametrize("with_model", [False, True], ids=["quotes alone", "a model writes"])
def test_a_quote_that_the_library_does_not_hold_is_not_shown(
    with_model: bool,
    exported_llama: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It was shown, and after the check its citation alone was taken away."""
    folder = fakes.write_bundle(
        tmp_path / "b",
        model=exported_llama,
        settings=replace(fakes.SETTINGS, quoting=QuoteSettings()),
    )
    question = "After how many hours of use is the filter changed?"
    with fieldpack.open(folder, threads=1) as expert:
        rag = expert._open_rag()
        assert rag.retriever
        engine = rag.generator if with_model else None
        forging = Forging(rag.retriever.embedder, rag.retriever.index, rag.retriever.settings)
        kept = list(Rag(rag.builder, engine, rag.retriever).stream(question))
        with caplog.at_level("WARNING", "fieldpack"):
            events = list(Rag(rag.builder, engine, forging).stream(question))
    answer = events[-1].answer  # type: ignore[union-attr]
    assert kept[-1].answer.quote and answer.quote is None  # type: ignore[union-attr]
    assert not [event for event in events if isinstance(event, fieldpack.QuoteFound)]
    assert "a quote was left out" in caplog.text and "pump.md" in caplog.text
    if not with_model:
        assert answer.refused and answer.text == fakes.SETTINGS.refusal and not answer.citations


def test_the_margin_of_a_narrowed_question_is_of_the_documents_that_may_answer(
    expert: fieldpack.Expert,
) -> None:
    """It was the whole library's: a document that says nothing of it was answered from."""
    retriever = expert._open_retriever()
    assert retriever
    alone = Filter(documents=("pump.md",))
    near = retriever.index.closest(retriever.embedder.embed_query(QUESTION), 20, alone)
    assert len(near) < retriever.index.size
    narrowed = retriever.similarity_margin(QUESTION, alone)
    assert narrowed == similarity_margin(near.values())
    assert narrowed != retriever.similarity_margin(QUESTION)
    # The best of two chunks in the way of the whole library's margin, refused by that of its own.
    least = (narrowed + retriever.similarity_margin(QUESTION)) / 2
    settings = replace(
        expert.settings, refuse_below=-1.0, refuse_lead_below=least, passages=1, quoting=None
    )
    rag = expert._open_rag()
    builder = PromptBuilder(expert._chat, settings, rag.builder.count_tokens)
    refusing = Rag(builder, rag.generator, retriever)
    whole, part = (refusing.ask(QUESTION, where=where).timings.tokens for where in (None, alone))
    assert (whole == 0) != (part == 0), "one of the two is refused before the model writes"


def test_a_memory_limit_makes_the_context_smaller_or_says_what_it_takes(sealed: Path) -> None:
    from fieldpack.memory import budget_of

    budget = budget_of(sealed, fieldpack.read_manifest(sealed))
    with fieldpack.open(sealed, threads=1, memory_mb=budget.needed(320) + 0.01) as small:
        assert small.settings.max_context == 320
        assert small.ask(QUESTION).timings.prompt_tokens <= 320
    with pytest.raises(fieldpack.BundleUnsupported, match=r"needs \d+ MB to read one passage"):
        fieldpack.open(sealed, memory_mb=20)


def test_the_context_is_at_most_the_model_s(bundle: Path) -> None:
    """A recipe may ask for more than the model takes: a question is fitted into what there is."""
    path = bundle / "model" / "genai_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["search"]["max_length"] = 300
    path.write_text(json.dumps(config), encoding="utf-8")
    fakes.reseal(bundle)
    with fieldpack.open(bundle, threads=1) as small:
        assert small.settings.max_context == 300 < fakes.SETTINGS.max_context
        answer = small.ask("What does the A class cost? " * 15)
    assert answer.timings.prompt_tokens + answer.timings.tokens <= 300


def test_an_answer_that_was_cut_is_gone_on_with(expert: fieldpack.Expert) -> None:
    """The tiny model knows no end, so that each of its answers is cut."""
    first = expert.ask(QUESTION)
    assert first.cut
    events = list(expert.stream(QUESTION, begun=first.text))
    pieces = "".join(event.text for event in events if isinstance(event, fieldpack.TextPiece))
    done = events[-1]
    assert isinstance(done, fieldpack.Done)
    assert done.answer.timings.tokens > 0 and pieces
    assert done.answer.text.startswith(first.text) and done.answer.text.endswith(
        pieces.strip()[-1:]
    )
    assert len(done.answer.text) > len(first.text)
    assert done.answer.passages[0] == first.passages[0]


def test_an_answer_as_long_as_the_context_is_not_gone_on_with(expert: fieldpack.Expert) -> None:
    with pytest.raises(fieldpack.QuestionError, match="as long as this bundle's context takes"):
        list(expert.stream(QUESTION, begun="word " * 600))
