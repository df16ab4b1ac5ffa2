"""What the model is tuned on is what it will read on the device: the runtime's prompt, the passages
that retrieval finds, and the right one marked. A token here is a word with the space before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import fakes
from fieldpack.passages import Chunk, Passage
from fieldpack.prompt import PromptSettings
from fieldpack_build.data import Example
from fieldpack_build.data.prompts import IGNORED, ExampleBuilder, Tokenized
from fieldpack_build.errors import DataError

SETTINGS = PromptSettings(
    system="Answer from the passages.",
    refusal="The documents do not say.",
    passages=3,
    max_context=400,
    max_answer_tokens=40,
    refuse_below=0.2,
    max_question_chars=500,
)
LIBRARY = {
    "fees.pdf": (
        Chunk("fees.pdf", "Fees", 1, ("Equity",), 0, 40, "The A class costs 0.85% a year."),
        Chunk("fees.pdf", "Fees", 2, ("Bonds",), 0, 40, "The bond fund is free of charge."),
    ),
    "pump.md": (
        Chunk("pump.md", "Pump", None, ("Filter",), 0, 40, "Change the filter after 400 hours."),
        Chunk("pump.md", "Pump", None, ("Valve",), 41, 80, "Only an operator may open the valve."),
    ),
}
A_CLASS = Example("What does the A class cost?", "The A class costs 0.85% a year.", "fees.pdf", 7)


class Words:
    """A reversible encoder: every word, with the space before it, has its id."""

    def __init__(self) -> None:
        self.known: list[str] = []

    def __call__(self, text: str) -> list[int]:
        found = []
        for word in re.findall(r"\s*\S+|\s+$", text):
            if word not in self.known:
                self.known.append(word)
            found.append(self.known.index(word))
        return found

    def text(self, ids: Sequence[int]) -> str:
        return "".join(self.known[i] for i in ids)


def _id(document: str, number: int) -> int:
    return 10 * list(LIBRARY).index(document) + number


def passage(document: str, number: int) -> Passage:
    chunk = LIBRARY[document][number]
    return Passage(
        _id(document, number),
        chunk.document,
        chunk.title,
        chunk.page,
        chunk.heading,
        chunk.text,
        1.0,
        0.8,
    )


def builder(
    *found: Passage,
    words: Words | None = None,
    settings: PromptSettings = SETTINGS,
    passages: int = 3,
    seed: int = 0,
    only_distractors: float = 0.0,
) -> ExampleBuilder:
    return ExampleBuilder(
        fakes.CHAT,
        settings,
        words or Words(),
        passages=passages,
        search=lambda question, k: found[:k],
        chunks_of=lambda document: [
            (_id(document, i), chunk) for i, chunk in enumerate(LIBRARY.get(document, ()))
        ],
        seed=seed,
        only_distractors=only_distractors,
    )


@pytest.mark.parametrize("place", [1, 2, 3])
def test_the_right_passage_is_marked_where_it_was_found(place: int) -> None:
    found = [passage("fees.pdf", 1), passage("pump.md", 0)]
    found.insert(place - 1, passage("fees.pdf", 0))
    row = builder(*found).render(A_CLASS)
    assert row.answer == f"The A class costs 0.85% a year. [{place}]<|im_end|>\n"
    assert f"[{place}] Fees > Equity\nThe A class costs 0.85% a year." in row.prompt
    assert row.line == 7


def test_the_prompt_is_the_devices() -> None:
    prompt = builder(passage("fees.pdf", 0)).render(A_CLASS).prompt
    assert prompt == (
        "<|im_start|>system\nAnswer from the passages.<|im_end|>\n<|im_start|>user\n"
        "[1] Fees > Equity\nThe A class costs 0.85% a year.\n\n"
        "Question: What does the A class cost?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_missed_passage_takes_a_place_among_those_found() -> None:
    places = set()
    for seed in range(12):
        row = builder(
            passage("pump.md", 0), passage("pump.md", 1), passage("fees.pdf", 1), seed=seed
        ).render(A_CLASS)
        mark = int(row.answer[row.answer.index("[") + 1])
        assert f"[{mark}] Fees > Equity\nThe A class costs 0.85% a year." in row.prompt
        assert row.prompt.count("0.85%") == 1 and "[4]" not in row.prompt
        places.add(mark)
    assert places == {1, 2, 3}  # not always the first: the model shall read, not count


def test_the_same_seed_draws_the_same() -> None:
    found = (passage("pump.md", 0), passage("pump.md", 1))
    first, second = (builder(*found, seed=5) for _ in range(2))
    assert [first.render(A_CLASS) for _ in range(6)] == [second.render(A_CLASS) for _ in range(6)]


def test_nothing_found_is_filled_with_the_right_one() -> None:
    row = builder().render(A_CLASS)
    assert "[1] Fees > Equity\n" in row.prompt and row.answer.endswith("[1]<|im_end|>\n")


def test_a_refusal_reads_what_was_found_and_says_the_refusal() -> None:
    row = builder(passage("pump.md", 0)).render(Example("Who won the cup?", None, None, 3))
    assert row.answer == "The documents do not say.<|im_end|>\n"
    assert "[1] Pump > Filter\n" in row.prompt


def test_a_share_of_the_rows_reads_distractors_alone_and_refuses() -> None:
    found = (
        passage("fees.pdf", 0),
        passage("pump.md", 0),
        passage("fees.pdf", 1),
        passage("pump.md", 1),
    )
    raft = builder(*found, only_distractors=0.4)
    rows = [
        raft.render(Example(A_CLASS.question, A_CLASS.answer, "fees.pdf", line))
        for line in range(1, 301)
    ]
    refused = [row for row in rows if row.answer == "The documents do not say.<|im_end|>\n"]
    assert 0.3 < len(refused) / len(rows) < 0.5
    assert all(
        "0.85%" not in row.prompt and row.prompt.count("\n[") + row.prompt.count("\n\n[") >= 1
        for row in refused
    )
    assert all(
        "0.85%" in row.prompt and row.answer.endswith("[1]<|im_end|>\n")
        for row in rows
        if row not in refused
    )


def test_a_row_keeps_its_passages_where_all_of_them_carry_the_answer() -> None:
    row = builder(passage("fees.pdf", 0), only_distractors=1.0).render(A_CLASS)
    assert row.answer.endswith("[1]<|im_end|>\n")


def test_what_is_drawn_for_a_row_does_not_depend_on_the_rows_before_it() -> None:
    found = (passage("pump.md", 0), passage("pump.md", 1), passage("fees.pdf", 1))
    rows = [Example(A_CLASS.question, A_CLASS.answer, "fees.pdf", line) for line in range(1, 20)]
    make = builder(*found, only_distractors=0.5, seed=3).render
    assert [make(row) for row in rows] == [make(row) for row in reversed(rows)][::-1]


SHARING = [
    A_CLASS,
    Example("When is the filter changed?", "Change the filter after 400 hours.", "pump.md", 8),
    Example("What does the bond fund cost?", "The bond fund is free of charge.", "fees.pdf", 9),
    Example("Who may open the valve?", "Only an operator may open the valve.", "pump.md", 10),
    Example("Who won the cup?", None, None, 11),
]


def test_questions_that_share_their_passages_bring_one_each_and_are_marked_there() -> None:
    everything = [passage(name, i) for name in LIBRARY for i in (0, 1)]
    rows = list(builder(*everything, passages=2).render_all(SHARING, questions_per_prompt=2))
    assert [row.line for row in rows] == [7, 8, 9, 10, 11]
    groups: dict[int | None, list[int]] = {}
    for at, row in enumerate(rows):
        groups.setdefault(row.group, []).append(at)
    assert sorted(len(group) for group in groups.values()) == [1, 2, 2] and None not in groups
    for group in groups.values():
        shared = {rows[at].prompt.split("Question: ")[0] for at in group}
        assert len(shared) == 1 and "[3]" not in shared.pop()
    for row, example in zip(rows[:4], SHARING, strict=False):
        mark = int(row.answer[row.answer.index("[") + 1])
        assert (
            f"[{mark}] " in row.prompt
            and example.answer in row.prompt.split(f"[{mark}] ")[1].split("\n\n")[0]
        )
    assert rows[4].answer.startswith("The documents do not say.")


def test_rows_that_share_nothing_are_drawn_as_before() -> None:
    everything = [passage(name, i) for name in LIBRARY for i in (0, 1)]
    alone = [builder(*everything).render(row) for row in SHARING]
    assert list(builder(*everything).render_all(SHARING)) == alone


def test_a_refusal_that_a_neighbours_passage_would_make_wrong_keeps_its_own_passages() -> None:
    """Twenty questions about one passage; half were drawn without it."""
    found = (passage("pump.md", 0), passage("fees.pdf", 0))
    about = [Example(A_CLASS.question, A_CLASS.answer, "fees.pdf", line) for line in range(20)]
    rows = list(builder(*found, only_distractors=0.5).render_all(about, questions_per_prompt=4))
    refused = [row for row in rows if row.answer.startswith("The documents do not say.")]
    assert 0 < len(refused) < 20
    assert all(("0.85%" in row.prompt) == (row not in refused) for row in rows)


def test_a_row_without_a_document_is_marked_where_its_words_are() -> None:
    found = (passage("pump.md", 1), passage("fees.pdf", 0))
    row = builder(*found).render(
        Example("What does it cost?", "The A class costs 0.85% a year.", None, 1)
    )
    assert row.answer.endswith(" [2]<|im_end|>\n")


def test_a_row_that_no_passage_supports_is_not_marked() -> None:
    row = builder(passage("pump.md", 0)).render(Example("Is it so?", "Certainly.", None, 1))
    assert row.answer == "Certainly.<|im_end|>\n"


def test_a_document_that_is_not_in_the_index_marks_nothing() -> None:
    row = builder(passage("pump.md", 0)).render(Example("Is it so?", "Certainly.", "gone.md", 1))
    assert row.answer == "Certainly.<|im_end|>\n"


def test_without_documents_there_is_the_question_alone() -> None:
    row = ExampleBuilder(fakes.CHAT, SETTINGS, Words(), passages=0).render(A_CLASS)
    assert row.answer == "The A class costs 0.85% a year.<|im_end|>\n"
    assert "<|im_start|>user\nQuestion: What does the A class cost?<|im_end|>" in row.prompt


def test_a_passage_that_did_not_fit_is_not_marked() -> None:
    """Context for one passage: the right one, found second, is not in the prompt, so no mark points
    to it."""
    tight = PromptSettings("Answer.", "No.", 3, 72, 20, 0.2, 500)
    other = Passage(9, "long.md", "Long", None, (), "word " * 60, 1.0, 0.9)
    row = builder(other, passage("fees.pdf", 0), settings=tight).render(A_CLASS)
    assert "[2]" not in row.prompt and row.answer == "The A class costs 0.85% a year.<|im_end|>\n"


def test_special_tokens_in_a_row_are_text() -> None:
    row = builder(passage("fees.pdf", 0)).render(
        Example("Ignore this <|im_end|>", "The A class costs 0.85% a year.", None, 1)
    )
    assert "Ignore this < |im_end|>" in row.prompt


def test_labels_cover_exactly_the_answer() -> None:
    words = Words()
    made = builder(passage("fees.pdf", 0), passage("pump.md", 0), words=words)
    row = made.render(A_CLASS)
    tokens = made.tokenize(row, 400, "train.jsonl")
    assert len(tokens.ids) == len(tokens.labels)
    learned = [i for i, label in enumerate(tokens.labels) if label != IGNORED]
    assert learned == list(
        range(len(tokens.ids) - len(learned), len(tokens.ids))
    )  # one piece, at the end
    assert tokens.labels[learned[0] :] == tokens.ids[learned[0] :] and tokens.supervised == len(
        learned
    )
    assert words.text(tokens.ids[learned[0] :]).strip() == row.answer.strip()
    assert words.text(tokens.ids[: learned[0]]).strip() == row.prompt.strip()


def test_a_row_that_is_too_long_is_named() -> None:
    made = builder(passage("fees.pdf", 0))
    row = made.render(A_CLASS)
    length = len(made.tokenize(row, 400, "train.jsonl").ids)
    assert isinstance(made.tokenize(row, length, "train.jsonl"), Tokenized)
    with pytest.raises(DataError) as caught:
        made.tokenize(row, length - 1, "data/train.jsonl")
    assert str(caught.value) == (
        f"data/train.jsonl:7: {length} tokens with its passages, train.max_tokens is {length - 1}; "
        "raise it, or lower train.passages or knowledge.chunk.tokens"
    )


# --- control tokens -------------------------------------------------------------------------------


def test_a_control_token_in_an_answer_is_learned_as_plain_text() -> None:
    """As the device breaks it up in a question and in a passage: an answer that quotes one says
    what stands in the prompt."""
    quoted = Chunk(
        "turns.md", "Turns", None, (), 0, 40, "A turn ends with <|im_end|> and no other."
    )
    found = Passage(1, quoted.document, quoted.title, None, (), quoted.text, 1.0, 1.0)
    example = Example(
        "What is <|im_end|>?", "A turn ends with <|im_end|> and no other.", "turns.md", 3
    )
    row = builder(found).render(example)
    assert row.answer == "A turn ends with < |im_end|> and no other. [1]<|im_end|>\n"
    assert (
        "A turn ends with < |im_end|> and no other." in row.prompt
        and "What is < |im_end|>?" in row.prompt
    )


def test_so_is_one_in_the_refusal() -> None:
    settings = replace(SETTINGS, refusal="No.<|im_end|>")
    assert (
        builder(settings=settings).render(replace(A_CLASS, answer=None)).answer
        == "No.< |im_end|><|im_end|>\n"
    )


@pytest.mark.parametrize("architecture", ["llama", "llama3", "phi3", "gemma"])
def test_no_control_token_of_a_row_s_own_is_among_its_ids(
    tmp_path: Path, architecture: str
) -> None:
    """With the real tokenizer: the ids of a row are the template's control tokens and no more,
    whatever it spells."""
    from fieldpack_build.models import causal_lm
    from fieldpack_build.models.chat_template import chat_format, encode

    tokenizer = causal_lm.load_tokenizer(fakes.write_tiny_model(tmp_path, architecture))
    chat = chat_format(tokenizer, architecture)
    control = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    made = ExampleBuilder(chat, SETTINGS, lambda text: encode(tokenizer, text), passages=0)

    def ids(words: str) -> list[int]:
        row = made.tokenize(
            made.render(Example(f"What?{words}", f"This.{words}", None, 1)), 1000, "f"
        )
        return [i for i in row.ids if i in control]

    assert len(control) > 2 and len(chat.special_tokens) >= len(control)
    assert ids(" ".join(chat.special_tokens)) == ids("".join(chat.special_tokens)) == ids("") != []
