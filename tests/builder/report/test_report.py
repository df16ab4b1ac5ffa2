"""The report says what the figures say: the verdict in words, failures first, nothing from a
document as markup, and a page for every report with parts missing."""

from __future__ import annotations

import copy
import re
from dataclasses import asdict
from html.parser import HTMLParser
from math import floor
from statistics import NormalDist
from typing import Any

import pytest

from fieldpack_build import report as pages
from fieldpack_build.evaluation.bootstrap import PairedBootstrap
from fieldpack_build.evaluation.calibration import Signals, describe, learn
from fieldpack_build.evaluation.guarantee_part import make_guarantee
from fieldpack_build.evaluation.outcome import outcome
from fieldpack_build.evaluation.recommend import choose
from fieldpack_build.evaluation.report_file import (
    QuestionRow,
    Retrieval,
    Similarities,
    TrainingLog,
)
from fieldpack_build.evaluation.report_file import Report as TypedReport
from fieldpack_build.recipe.schema import WEIGHTS
from fieldpack_build.report import advice, tables, tally, verdict
from fieldpack_build.report.charts.bars import bar_chart, separation, similarity_chart
from fieldpack_build.report.charts.loss import loss_chart
from fieldpack_build.report.tally import sign_test
from fieldpack_build.report.templates import environment

Report = dict[str, Any]  # as report.json has it

ARMS = ("base", "rag", "tuned", "tuned+rag")
FEES = "The ongoing charge of CGEF's A class is 0.75% a year, taken daily from the fund."


def render(report: Report) -> str:
    return pages.render(TypedReport.model_validate(report))


def judge(report: Report) -> verdict.Verdict:
    return verdict.judge(TypedReport.model_validate(report))


def why_shipped(report: Report) -> str:
    return advice.why_shipped(TypedReport.model_validate(report))


def rows_in(report: Report) -> list[QuestionRow]:
    return TypedReport.model_validate(report).questions


def said(kind: str, *, expected: str | None, value: str | None, arm: str) -> dict[str, Any]:
    """r: right, w: wrong value, x: refused, o: right value from another document."""
    cites = arm.endswith("rag") and kind in "rwo"
    document = "letters/2024-q3.md" if kind == "o" else "fees/schedule-2025.pdf"
    quote = {"document": document, "page": 3 if kind != "o" else None, "quote": FEES, "passage": 1}
    right = kind in "ro"
    f1 = 0.0 if kind == "x" or expected is None else 0.82 if right else 0.31
    answer = {"x": "The documents do not say.", "w": "It is 1.2% a year [1]."}.get(
        kind, f"It is {value} [1]."
    )
    return {
        "answer": answer,
        "refused": kind == "x",
        "f1": f1,
        "value_match": None if expected is None else right,
        "citations": [quote] if cites else [],
        "cites_right": None if expected is None or kind == "x" else cites and kind != "o",
        "total_ms": 40.0 if kind == "x" else 2345.6,
    }


def row(number: int, kinds: str, *, answerable: bool = True) -> dict[str, Any]:
    """One question; a letter an arm, in the order of ARMS."""
    value = f"0.{number:02d}%" if answerable else None
    expected = f"The A class costs {value} a year." if answerable else None
    asks = "What does the A class of fund" if answerable else "Who audits the index of fund"
    by_arm = {
        arm: said(kind, expected=expected, value=value, arm=arm)
        for arm, kind in zip(ARMS, kinds, strict=True)
    }
    return {
        "question": f"{asks} {number} cost?",
        "expected": expected,
        "value": value,
        "line": number,
        "document": "fees/schedule-2025.pdf" if answerable else None,
        "arms": by_arm,
        "passages": [
            {"document": "fees/schedule-2025.pdf", "page": 3, "similarity": 0.71, "text": FEES},
            {
                "document": "letters/2024-q3.md",
                "page": None,
                "similarity": 0.55,
                "text": "Costs fell.",
            },
        ],
    }


def rows_of(*parts: tuple[int, str, bool]) -> list[dict[str, Any]]:
    kinds = [(kind, answerable) for count, kind, answerable in parts for _ in range(count)]
    return [row(n, kind, answerable=answerable) for n, (kind, answerable) in enumerate(kinds, 1)]


def with_rows(report: Report, rows: list[dict[str, Any]]) -> Report:
    """The report with these questions, its arms' figures counted from them."""
    names = list(rows[0]["arms"]) if rows else list(report["arms"])
    return report | {"questions": rows, "arms": {arm: summary(rows, arm) for arm in names}}


def mean(values: list[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def summary(rows: list[dict[str, Any]], arm: str) -> dict[str, Any]:
    yes = [r["arms"][arm] for r in rows if r["expected"] is not None]
    no = [r["arms"][arm] for r in rows if r["expected"] is None]
    right = [a["cites_right"] for a in yes if a["cites_right"] is not None]
    rag, tuned = arm.endswith("rag"), arm.startswith("tuned")
    return {
        "questions": len(rows),
        "f1": mean([a["f1"] for a in yes]),
        "value_match": mean([a["value_match"] for a in yes]),
        "refused_right": mean([a["refused"] for a in no]),
        "refused_wrong": mean([a["refused"] for a in yes]),
        "citations_valid": 1.0 if rag else None,
        "citations_right": mean(right) if rag else None,
        "total_ms": 2345.6 if rag else 1210.0,
        "first_token_ms": 842.2 if rag else 96.4,
        "tokens_per_s": 21.4 if tuned else 21.9,
    }


def spread(count: int, low: float, high: float) -> list[float]:
    """A bell between about low and high."""
    bell = NormalDist((low + high) / 2, (high - low) / 5)
    return [round(bell.inv_cdf((i + 0.5) / count), 4) for i in range(count)]


def sample_report() -> Report:
    """135 questions, four arms; tuned+rag is ahead of rag by more than luck."""
    rows = rows_of(
        (62, "wrwr", True),
        (13, "wwwr", True),
        (4, "wrww", True),
        (3, "xrxx", True),
        (2, "wowo", True),
        (16, "wwrw", True),
        (24, "wxxx", False),
        (6, "wwwx", False),
        (5, "wwxw", False),
    )
    report: Report = {
        "name": "finance",
        "version": "1.0.0",
        "schema": 1,
        "shipped": "tuned+rag",
        "arms": {},
        "retrieval": {
            "questions": 100,
            "refuse_below": 0.38,
            "document": {
                "recall_at_1": 0.79,
                "recall_at_5": 0.94,
                "recall_at_10": 0.97,
                "mrr": 0.8571,
            },
            "passage": {
                "recall_at_1": 0.66,
                "recall_at_5": 0.88,
                "recall_at_10": 0.91,
                "mrr": 0.7513,
            },
            "best_similarity": {
                "answerable": spread(100, 0.42, 0.88),
                "unanswerable": spread(35, 0.22, 0.66),
            },
        },
        "sample": {"asked": 135, "of": 135},
        "questions": [],
        "gates": [
            {"gate": "value_match >= 0.6", "measured": 0.77, "passed": True},
            {"gate": "refused_wrong <= 0.1", "measured": 0.03, "passed": True},
            {"gate": "tuned+rag.total_ms <= 6000", "measured": 2345.6, "passed": True},
        ],
        "model": {
            "base": {
                "architecture": "LlamaForCausalLM",
                "context": 8192,
                "vocabulary": 49152,
                "source": "HuggingFaceTB/SmolLM2-135M-Instruct",
                "license": "apache-2.0",
            },
            "train": {
                "device": "cpu",
                "examples": 620,
                "steps": 155,
                "resumed": False,
                "tokens": 412000,
                "supervised_tokens": 18400,
                "tokens_per_s": 478.2,
                "first_loss": 2.8113,
                "last_loss": 0.4127,
                "peak_gpu_mb": None,
                "drew_from": None,
            },
            "merge": {"matrices_moved": 210, "logit_shift": 8.1250, "merge_gap": 0.0039},
            "export": {
                "perplexity_torch": 4.812,
                "perplexity_onnx": 5.101,
                "perplexity_ratio": 1.0601,
                "same_next_token": 0.9312,
                "skip_tokens": 0,
                "texts_compared": 755,
                "size_mb": 142.3,
            },
            "baseline": {
                "perplexity_torch": 14.2,
                "perplexity_onnx": 15.0,
                "perplexity_ratio": 1.0563,
                "same_next_token": 0.92,
                "size_mb": 142.3,
            },
            "embedder": {
                "dim": 384,
                "max_tokens": 256,
                "pooling": "mean",
                "cosine_to_torch": 0.999987,
                "source": "sentence-transformers/all-MiniLM-L6-v2",
                "license": "apache-2.0",
            },
            "knowledge": {"documents": 24, "skipped": 0, "chunks": 412, "pages": 131},
        },
        "tools": {"onnxruntime": "1.29.0", "onnxruntime-genai": "0.18.0", "usearch": "2.26.0"},
    }
    return with_rows(report, rows)


@pytest.fixture
def report() -> Report:
    return copy.deepcopy(sample_report())


def text_of(html: str) -> str:
    """What a reader sees, in one line of words."""
    words: list[str] = []

    class Reader(HTMLParser):
        hidden = False

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.hidden = tag == "style"

        def handle_endtag(self, tag: str) -> None:
            self.hidden = False

        def handle_data(self, data: str) -> None:
            if not self.hidden:
                words.append(data)

    Reader().feed(html)
    return " ".join(" ".join(words).split())


def test_verdict_names_the_shipped_arm_and_sets_it_against_the_others(report: Report) -> None:
    seen = text_of(render(report))
    assert "tuned+rag ships and is the best of the 4 arms measured" in seen
    assert (
        "tuned+rag answers 77 of 100 answerable questions with the right value (F1 0.69), wrongly "
        "refuses 3 of them "
        "and rightly refuses 30 of 35 that the documents do not cover. "
        "The others: rag 71 of 100 right values, F1 0.67, 24 of 35 right refusals; tuned 16 of 100"
    ) in seen
    assert "All 3 gates passed." in seen
    assert seen.index("tuned+rag ships") < seen.index("Gates A gate")


def test_verdict_says_when_another_arm_did_better(report: Report) -> None:
    report = with_rows(report, rows_of((5, "wrwr", True), (9, "wrww", True), (6, "wxwx", False)))
    judged = judge(report)
    assert judged.tone == "mixed"
    assert judged.headline == "tuned+rag ships, but rag did better"
    assert any("fine-tuning brought no gain over rag" in remark for remark in judged.remarks)
    assert any(
        remark.startswith("Another arm is ahead in F1 (rag 0.82, shipped 0.49)")
        for remark in judged.remarks
    )
    assert any(
        remark.startswith(
            "Of 20 questions tuned+rag alone is right on 0 and rag alone on 9 (hardly luck, p = "
            "0.0039)."
        )
        for remark in judged.remarks
    )


def test_verdict_does_not_make_much_of_a_few_questions(report: Report) -> None:
    report = with_rows(report, rows_of((6, "wrwr", True), (2, "wwwr", True), (2, "wxwx", False)))
    report["sample"] = {"asked": 10, "of": 135}
    judged = judge(report)
    assert judged.headline == "tuned+rag ships and leads; rag is close"
    assert judged.remarks[-1] == (
        "n = 10, a sample of the 135 test questions; the right-value share lies between 68% and "
        "100% (95% interval). "
        "This is a small sample: read differences of a few questions as no difference."
    )
    assert any(
        "right on 2 and rag alone on 0 (may well be luck, p = 0.5)" in remark
        for remark in judged.remarks
    )


def test_verdict_says_how_many_questions_name_no_value(report: Report) -> None:
    assert not any("no value" in remark for remark in judge(report).remarks)
    rows = rows_of((3, "wrwr", True), (2, "wwwr", True), (2, "wxwx", False))
    rows[0]["value"] = rows[1]["value"] = None
    report = with_rows(report, rows)
    rows[1]["arms"]["tuned+rag"]["value_match"] = None
    remark = judge(report).remarks[-1]
    assert remark.startswith(
        "2 of 5 answerable test questions name no value: an answer is right if"
    )
    assert remark.endswith("1 of them could not be judged so, and no promise counts it.")


def test_verdict_says_what_is_promised_and_how_many_answers_are_missing(report: Report) -> None:
    assert "certainty" not in text_of(render(report))  # a report of an older build
    promised = make_guarantee(
        rows_in(report), "tuned+rag", arms=4, ranks=[1] * 90 + [None] * 10, depth=20, shown=5
    )
    assert promised is not None
    report["guarantee"] = promised.to_dict()
    seen = text_of(render(report))
    figures = f"{promised.questions} questions, {promised.answered} answered, {promised.right} of"
    remarks = judge(report).remarks
    (first,) = (remark for remark in remarks if remark.startswith(figures))
    assert f"at least {floor(promised.answered_of_100)} are answered" in first
    assert f"of 100 answers at least {floor(promised.right_of_100)} are right" in first
    assert "chosen among 4 is allowed for" in first
    assert f"{promised.missing:,} more answers would be needed, all of them right" in seen
    assert "answers are needed" not in seen
    assert "at least 83 of 100 such the right passage is among the 5 shown" in seen
    assert "not even 20 are enough" in seen
    few = make_guarantee(rows_in(report)[:40], "tuned+rag", arms=1)
    assert few is not None
    report["guarantee"] = few.to_dict()
    assert "At least 59 answers are needed." in text_of(render(report))


def test_verdict_says_where_the_threshold_of_quotes_comes_from_without_rows(
    report: Report,
) -> None:
    assert "no training rows" not in text_of(render(report))
    fit = {"made_up": True, "answerable": 200, "refused_wrong": 0.015, "refused_right": 0.085}
    report["model"]["quoting"] = {**fit, "refuse_below": 0.4084}
    seen = text_of(render(report))
    assert "it refuses 2% of 200 questions made up from these documents' sentences, and 8%" in seen
    assert "weaker evidence than those that people ask" in seen
    report["model"]["quoting"] = {**fit, "refused_wrong": 0.33, "refuse_below": None}
    seen = text_of(render(report))
    assert "refused by its passage's similarity alone" in seen and "33% of 200" in seen
    report["model"]["quoting"] = {**fit, "answerable": 0, "refuse_below": None}
    assert "the documents have no sentence to make a question of" in text_of(render(report))
    report["model"]["quoting"] = {"rows": 447, "refuse_below": 0.4}
    assert "no training rows" not in text_of(render(report))


def test_the_two_thresholds_of_a_bundle_that_quotes_are_told_apart(report: Report) -> None:
    assert "first of two checks" not in text_of(render(report))
    rows = rows_of((3, "rrrr", True), (2, "xxxx", False), (5, "wwww", False))
    for one in rows:
        one["arms"] = {"quote": one["arms"]["tuned+rag"]}
    quoting = with_rows(report, rows) | {"shipped": "quote", "differences": []}
    quoting["model"]["quoting"] = {"rows": 447, "refuse_below": 0.4084}
    seen = text_of(render(quoting))
    assert "before a quote is looked for" in seen and "the model is asked" not in seen
    assert "first of two checks on the device" in seen and "refuses below 0.4084" in seen
    assert "refuse 0 of 3 answerable and 2 of 7 unanswerable questions" in seen


def test_verdict_promises_few_wrong_answers_where_that_is_shown(report: Report) -> None:
    right = rows_of((100, "wrwr", True))
    promised = make_guarantee(rows_in(with_rows(report, right)), "tuned+rag", arms=1)
    assert promised is not None and promised.missing == 0
    report["guarantee"] = promised.to_dict()
    seen = text_of(render(report))
    assert "With 95% certainty at most 5% of answers are wrong." in seen
    assert "more answers would be needed" not in seen


def test_missed_gate_is_the_verdict_and_stands_first(report: Report) -> None:
    report["gates"].append({"gate": "recall_at_5 >= 0.98", "measured": 0.94, "passed": False})
    report["gates"].append({"gate": "mrr >= 0.9", "measured": None, "passed": False})
    html = render(report)
    seen = text_of(html)
    assert "Not to be shipped: 2 of 5 gates missed" in seen
    assert "Gates missed: recall_at_5 >= 0.98; mrr >= 0.9." in seen
    assert (
        "recall_at_5 >= 0.98 0.940 missed mrr >= 0.9 not measured missed value_match >= 0.6 0.770 "
        "passed" in seen
    )
    assert 'class="verdict bad"' in html


def test_failures_come_first_in_the_order_of_what_they_cost(report: Report) -> None:
    html = render(report)
    assert re.findall(r'<(?:h3|details) class="[^"]*" id="([^"]+)"', html) == [
        "wrong-refusal",
        "value-missing",
        "answered-not-refused",
        "other-source",
        "right",
    ]
    seen = text_of(html)
    assert (
        "wrong refusal: 3 value missing: 20 answered, not refused: 5 other source: 2 right: 105"
        in seen
    )


def test_each_question_shows_answers_sources_and_passages(report: Report) -> None:
    report = with_rows(report, [row(7, "wrwo"), row(8, "wwwx", answerable=False)])
    seen = text_of(render(report))
    assert (
        "Expected The A class costs 0.07% a year. Must contain 0.07% fees/schedule-2025.pdf; line 7"
        in seen
    )
    assert f"It is 0.07% [1]. F1 0.820, 2,346 ms [1] letters/2024-q3.md {FEES}" in seen
    assert "Other arms: base value missing; rag right; tuned value missing" in seen
    assert (
        f"The 2 passages it read [1] fees/schedule-2025.pdf, page 3; similarity 0.710 {FEES}"
        in seen
    )
    assert "Expected: a refusal; the documents do not say." in seen


def test_text_of_documents_and_models_is_never_markup(report: Report) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}</style></details>"
    hurt = row(1, "wrww")
    for arm in hurt["arms"].values():
        arm["answer"] = evil
        arm["citations"] = [{"document": evil, "page": 1, "quote": evil, "passage": 1}]
    hurt |= {"question": evil, "expected": evil, "value": evil, "document": evil}
    hurt["passages"] = [{"document": evil, "page": None, "similarity": 0.5, "text": evil}]
    report = with_rows(report, [hurt])
    report |= {"name": evil, "version": evil, "tools": {evil: evil}}
    report["gates"] = [{"gate": evil, "measured": 1.0, "passed": True}]
    report["model"]["base"]["source"] = report["model"]["train"]["device"] = evil
    html = render(report)
    assert "<script" not in html and "<img" not in html and html.count("</style>") == 1
    assert "{{ 7*7 }}" in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 20


def test_page_needs_nothing_from_outside_and_runs_nothing(report: Report) -> None:
    html = render(report)
    assert html.startswith("<!doctype html>")
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html
    assert not re.search(r"https?:|@import|url\(|<link|<script|<iframe|\son\w+=", html)
    assert not set(re.findall(r'href="([^#][^"]*)"', html))
    assert all(f'id="{anchor}"' in html for anchor in re.findall(r'href="#([^"]+)"', html))


def test_tags_are_balanced(report: Report) -> None:
    open_tags: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "col"):
                open_tags.append(tag)

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Checker().feed(render(report))
    assert not open_tags


def test_model_facts_are_told(report: Report) -> None:
    seen = text_of(render(report))
    for told in (
        "LlamaForCausalLM",
        "Examples 620 Steps 155 Loss 2.811 at first, 0.413 at last",
        "Speed 478 tokens/s Device cpu",
        "Merged against base + adapter logits within 0.0039",
        "Size 142 MB Perplexity 1.060 times torch's (5.10 against 4.81)",
        "Least cosine to torch 0.999987",
        "Documents 24 Skipped 0 Pages 131 Chunks 412",
    ):
        assert told in seen
    assert "Peak GPU memory" not in seen  # a CPU has none


def test_bundle_without_documents_or_tuning(report: Report) -> None:
    rows = rows_of((3, "wrwr", True), (1, "wxwx", False))
    for one in rows:
        one["arms"] = {"base": one["arms"]["base"]}
        del one["passages"]
    report = with_rows(report, rows) | {"shipped": "base", "retrieval": None, "gates": []}
    report["model"] = {"base": report["model"]["base"], "export": report["model"]["export"]}
    seen = text_of(render(report))
    assert "base ships; no other arm was measured beside it" in seen
    assert (
        "base answers 0 of 3 answerable questions with the right value (F1 0.31) and rightly "
        "refuses 0 of 1" in seen
    )
    assert "This bundle has no documents to search." in seen
    assert "No gate was checked" in seen
    assert "Fine-tuning" not in seen and "Other arms:" not in seen and "(best)" not in seen


def test_rag_alone_is_compared_with_base_only(report: Report) -> None:
    rows = rows_of((30, "wrwr", True), (3, "wxwx", False))
    for one in rows:
        one["arms"] = {arm: one["arms"][arm] for arm in ("base", "rag")}
    report = with_rows(report, rows) | {"shipped": "rag"}
    judged = judge(report)
    assert judged.headline == "rag ships and is the best of the 2 arms measured"
    assert judged.others == ("base 0 of 30 right values, F1 0.31, 0 of 3 right refusals",)
    render(report)


@pytest.mark.parametrize(
    "arms", [{}, {"tuned+rag": {"questions": 0, "f1": None, "value_match": None}}]
)
def test_no_question_at_all(report: Report, arms: dict[str, Any]) -> None:
    empty = {
        "questions": 0,
        "document": {"recall_at_1": None, "mrr": None},
        "passage": {},
        "best_similarity": {"answerable": [], "unanswerable": []},
    }
    report |= {
        "questions": [],
        "arms": arms,
        "sample": {"asked": 0, "of": 0},
        "gates": [],
        "retrieval": empty,
    }
    report |= {"model": {}, "tools": {}}
    seen = text_of(render(report))
    assert (
        "Nothing was measured" in seen
        and "No question was asked." in seen
        and "The stages left no record." in seen
    )
    assert "None" not in seen.replace("None was checked", "") and "<svg" not in render(report)


def test_optional_keys_may_be_absent() -> None:
    assert "finance 1.0.0" in render(
        {"name": "finance", "version": "1.0.0", "shipped": "rag", "arms": {}}
    )


def test_only_unanswerable_questions(report: Report) -> None:
    seen = text_of(render(with_rows(report, rows_of((4, "wxwx", False)))))
    assert "tuned+rag rightly refuses 4 of 4 that the documents do not cover." in seen
    assert "n = 4. This is a small sample" in seen


def test_best_of_a_column_is_marked_where_arms_differ() -> None:
    arms = {
        "base": {
            "f1": 0.5,
            "refused_wrong": 0.2,
            "total_ms": 900.0,
            "value_match": 0.1,
            "tokens_per_s": None,
        },
        "rag": {
            "f1": 0.7,
            "refused_wrong": 0.1,
            "total_ms": 1900.0,
            "value_match": 0.1,
            "tokens_per_s": 9.0,
        },
    }
    table = tables.arms_table(TypedReport.model_validate({"arms": arms, "shipped": "rag"}))
    best = {
        c.key: [r.arm for r in table.rows if r.cells[n].best] for n, c in enumerate(table.columns)
    }
    assert (
        best["f1"] == ["rag"] and best["refused_wrong"] == ["rag"] and best["total_ms"] == ["base"]
    )
    assert (
        best["value_match"] == [] and best["tokens_per_s"] == [] and best["citations_valid"] == []
    )


def test_outcomes() -> None:
    one = QuestionRow.model_validate(row(1, "xwor"))
    assert [outcome(one, arm) for arm in ARMS] == [
        "wrong refusal",
        "value missing",
        "other source",
        "right",
    ]
    none = QuestionRow.model_validate(row(1, "xwxw", answerable=False))
    assert [outcome(none, arm) for arm in ARMS] == ["right", "answered, not refused"] * 2
    assert outcome(one, "other") is None


def test_pairs_count_the_same_questions_and_put_the_strongest_first(report: Report) -> None:
    pairs = tally.compare(TypedReport.model_validate(report))
    assert [p.arm for p in pairs] == ["rag", "tuned", "base"]
    assert (pairs[0].right, pairs[0].asked, pairs[0].better, pairs[0].worse) == (95, 135, 19, 7)


def test_sign_test() -> None:
    assert sign_test(0, 0) == 1.0 and sign_test(3, 3) == 1.0
    assert sign_test(9, 0) == sign_test(0, 9) == pytest.approx(2 / 512)


def test_similarity_counts_what_the_threshold_refuses() -> None:
    best = Similarities(answerable=[0.2, 0.5, 0.9], unanswerable=[0.1, 0.3])
    chart = similarity_chart(Retrieval(best_similarity=best, refuse_below=0.3))
    assert chart and (chart.refused_answerable, chart.refused_unanswerable) == (
        1,
        1,
    )  # 0.3 is not below 0.3
    assert sum(n for _, _, n in chart.above) == 3 and sum(n for _, _, n in chart.below) == 2
    assert chart.threshold_x is not None and chart.left <= chart.threshold_x <= chart.right
    assert separation([0.2, 0.5, 0.9], [0.1, 0.3]) == pytest.approx(5 / 6)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.0], [1.0, 1.0], [-0.2, 0.3], [0.3]])
def test_similarity_chart_holds_every_value(values: list[float]) -> None:
    best = Similarities(answerable=values, unanswerable=[])
    chart = similarity_chart(Retrieval(best_similarity=best, refuse_below=-1))
    assert chart and sum(n for _, _, n in chart.above) == len(values)
    assert chart.threshold_x is None and chart.separation is None
    assert all(chart.left <= x <= chart.right for x, _, _ in chart.above)


# --- intervals ------------------------------------------------------------------------------------


def measured_report(*parts: tuple[int, str, bool]) -> Report:
    """With intervals, differences and a choice, as evaluate makes them of the rows."""
    report = with_rows(sample_report(), rows_of(*parts))
    sizes = {arm: {"size_mb": 205.0 if arm.endswith("rag") else 109.0} for arm in ARMS}
    bootstrap = PairedBootstrap(rows_in(report), ARMS, fixed=sizes, resamples=1000)
    report["arms"] = {arm: figures | sizes[arm] for arm, figures in report["arms"].items()}
    return report | {
        "intervals": bootstrap.intervals(),
        "differences": [gap.to_dict() for gap in bootstrap.differences()],
        "choice": choose(bootstrap, ARMS, "tuned+rag", WEIGHTS).to_dict(),
        "gates": [],
    }


def test_a_clear_lead_is_recommended_with_its_interval() -> None:
    report = measured_report(
        (60, "wwwr", True), (10, "wrwr", True), (20, "wwwx", False), (10, "wxwx", False)
    )
    judged = judge(report)
    assert (
        judged.tone == "good"
        and judged.headline == "Ship tuned+rag: it leads rag and every other arm"
    )
    assert re.match(
        r"tuned\+rag leads rag by 0\.\d\d in score \(95% \+0\.\d\d to \+\d\.\d\d\)\.$",
        judged.remarks[0],
    )
    html = render(report)
    seen = text_of(html)
    assert (
        "The recipe's weights (F1 1, citations right 0.5, refused right 0.5, refused wrong -0.5)"
        in seen
    )
    assert html.count('<svg class="whiskers"') == 2 and "tuned+rag less rag" in seen
    assert re.search(
        r'<span class="pass">\+0\.\d{3}</span><span class="range">\+0\.\d{3} to \+0\.\d{3}</span>',
        html,
    )
    assert (
        "rag said (value missing)" in seen
        and "Further arms: base value missing; tuned value missing" in seen
    )


def test_noise_recommends_the_smaller_arm() -> None:
    report = measured_report(
        (5, "wwwr", True), (5, "wrww", True), (10, "wrwr", True), (6, "wxwx", False)
    )
    judged = judge(report)
    assert judged.headline == "Ship rag rather than tuned+rag: noise may be all the difference"
    assert (
        "rag is the simpler one to build and keep up: ship rag (`train: none` and no tuning)."
        in judged.remarks[0]
    )
    assert judged.tone == "mixed" and "not told from the best" in text_of(render(report))


def test_an_arm_that_is_clearly_worse_is_not_recommended() -> None:
    report = measured_report((40, "wrww", True), (10, "wxww", False))
    judged = judge(report)
    assert (
        judged.headline == "tuned+rag ships, but rag is better"
        and "rag leads tuned+rag by" in judged.remarks[0]
    )


def test_many_failures_are_paged() -> None:
    html = render(measured_report((60, "wwww", True)))
    assert "<summary>26 to 50</summary>" in html and "<summary>51 to 60</summary>" in html


def test_thresholds_are_told_with_what_they_refuse() -> None:
    learned = [Signals(True, 0.6, 0.2 + n / 100) for n in range(20)] + [
        Signals(False, 0.5, n / 50) for n in range(20)
    ]
    thresholds = learn(learned, max_wrong=0.1)
    facts = describe(learned, thresholds)
    report = sample_report() | {
        "calibration": {
            "thresholds": asdict(thresholds),
            "source": "0.3",
            "learned": facts.to_dict(),
            "measured": describe(learned[::2], thresholds).to_dict(),
        }
    }
    seen = text_of(render(report))
    assert (
        "if the cosine of its closest passage is below 0.580, or if the closest chunk leads" in seen
    )
    assert "Questions learned from 20 20" in seen and "Questions measured 10 10" in seen
    assert "When it refuses by itself" not in text_of(render(sample_report()))


def watched(**more: Any) -> Report:
    seen = {
        "tool": "strace 6.1",
        "why": "",
        "command": 'fieldpack ask toy "Who?"',
        "exit": 0,
        "calls": 4388,
        "threads": 8,
        "silent": True,
        "network": 0,
        "looked_up": 0,
        "written": 0,
        "named": [],
    }
    return sample_report() | {"silence": seen | more}


def test_silence_is_told_and_so_is_a_word() -> None:
    seen = text_of(render(watched()))
    assert "Silence strace 6.1 watched fieldpack ask toy" in seen
    assert "Network calls 0 none Names looked up 0 none Files written 0 none" in seen
    loud = text_of(
        render(
            watched(
                network=1, silent=False, exit=1, named=["socket(AF_INET, SOCK_STREAM, 0) = 3 <b>"]
            )
        )
    )
    assert (
        "the command ended with 1" in loud
        and "Network calls 1 some" in loud
        and "socket(AF_INET, SOCK_STREAM" in loud
    )
    unseen = text_of(
        render(sample_report() | {"silence": {"tool": None, "why": "strace is missing"}})
    )
    assert "Not traced here: strace is missing." in unseen
    assert "Silence" not in text_of(render(sample_report()))


def test_bar_chart_keeps_a_place_for_what_was_not_measured() -> None:
    chart = bar_chart(
        {"base": {"f1": 0.5, "citations_right": None}, "rag": {"f1": 1.0, "citations_right": 0.25}}
    )
    assert chart and [g.title for g in chart.groups] == ["F1", "Citations right"]
    assert [b.label for g in chart.groups for b in g.bars] == ["0.50", "1.00", "–", "0.25"]
    assert chart.groups[0].bars[1].height == 2 * chart.groups[0].bars[0].height
    assert bar_chart({}) is None and bar_chart({"base": {}}) is None


def test_the_loss_by_step_is_drawn(report: Report) -> None:
    steps = [
        {"step": n, "loss": 3.0 / n, "learning_rate": 1e-3, "tokens_per_s": 200.0 + n}
        for n in range(1, 41)
    ]
    held = [{"step": n, "loss": 2.0 + abs(n - 20) / 100} for n in (10, 20, 30, 40)]
    log = {"train": steps, "validation": held, "kept_step": 20}
    chart = loss_chart(TrainingLog.model_validate(log))
    assert chart
    points = [tuple(map(float, point.split(","))) for point in chart.raw.split()]
    assert len(points) == 40 and points[0][0] == chart.left and points[-1][0] == chart.right
    assert [y for _, y in points] == sorted(y for _, y in points)  # downwards is a larger y
    least = max(chart.held, key=lambda point: point[1])
    assert least[0] == chart.kept_x and least[2] == "step 20: 2.000"
    page = render(report | {"training": log})
    assert "The adapter is that of step 20" in page and page.count('<polyline class="curve') == 3
    assert (
        loss_chart(None) is None
        and loss_chart(TrainingLog.model_validate({"train": steps[:1]})) is None
    )
    assert 'id="training"' not in render(report)


def shipped_by(report: Report, rule: str, arm: str, **missed: list[str]) -> Report:
    bootstrap = PairedBootstrap(rows_in(report), ARMS, resamples=1000)
    report = report | {"shipped": arm, "choice": choose(bootstrap, ARMS, arm, WEIGHTS).to_dict()}
    report["ship"] = {"rule": rule, "missed": missed, "left_out": ["the tuned model"]}
    report["ship"]["why"] = why_shipped(report)
    return report


def test_the_arm_that_was_chosen_is_named_with_what_it_stands_against_and_what_is_left_out() -> (
    None
):
    """Tuning that brought nothing: the headline, the remark and the build's last lines say what
    ships instead of it."""
    report = measured_report(
        (5, "wwwr", True), (5, "wrww", True), (10, "wrwr", True), (6, "wxwx", False)
    )
    report = shipped_by(report, "auto", "rag")
    judged = judge(report)
    assert judged.tone == "good" and judged.headline == "rag ships; tuned+rag is within noise of it"
    assert judged.remarks[0] == f"{report['ship']['why']}."
    assert re.match(
        r"rag ships \(chosen by evaluate\.ship: auto\); it (leads|trails) tuned\+rag by 0\.\d\d in "
        r"score, "
        r"which may be noise \(95% −0\.\d\d to \+0\.\d\d\); ",
        report["ship"]["why"],
    )
    assert report["ship"]["why"].endswith(
        "of arms that noise cannot tell apart it is the simplest; left out: the tuned model"
    )
    assert "rag ships; tuned+rag is within noise of it" in text_of(render(report))


def test_a_better_arm_that_misses_a_gate_is_named() -> None:
    report = measured_report(
        (60, "wwwr", True), (10, "wrwr", True), (20, "wwwx", False), (10, "wxwx", False)
    )
    report = shipped_by(report, "auto", "rag", **{"tuned+rag": ["first_token_ms <= 100"]})
    assert judge(report).headline == "rag ships, as tuned+rag misses a gate"
    assert "; tuned+rag misses `first_token_ms <= 100`; " in report["ship"]["why"]


def test_an_arm_that_a_recipe_names_is_said_to_trail() -> None:
    report = measured_report(
        (60, "wwwr", True), (10, "wrwr", True), (20, "wwwx", False), (10, "wxwx", False)
    )
    report = shipped_by(report, "rag", "rag")
    assert judge(report).headline == "rag ships, but tuned+rag is better"
    assert report["ship"]["why"].startswith(
        "rag ships (named by evaluate.ship); it trails tuned+rag by 0."
    )


def test_a_sheet_is_no_page() -> None:
    citation = {"passage": 1, "document": "doses.xlsx", "page": 2, "quote": "500 mg"}
    macros = environment().get_template("sections/macros.html.j2").module
    shown = macros.citations({"citations": [citation]})  # type: ignore[attr-defined]
    assert "[1] doses.xlsx, sheet 2</p>" in shown
