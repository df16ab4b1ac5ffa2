"""The report of one evaluation as a single HTML file: verdict first, then what an engineer checks
it by.

A section is a template of its own (`sections/<name>.html.j2`) and a function that makes of the
report's dict what the template reads. The page needs no network, no script and no other file.
Everything in it that documents, questions or models have said is untrusted: the templates escape
all, and the page's policy runs no script. Knows nothing of how the figures were made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import comparison
from .advice import scores_table
from .charts.bars import bar_chart, similarity_chart
from .charts.loss import loss_chart
from .charts.precision import precision
from .charts.roc import thresholds_view
from .charts.waterfall import attribution_view
from .charts.whiskers import arms_chart, differences_chart
from .library_view import render_library, view
from .tables import COST, QUALITY, arms_table, facts, gaps_table, gates_table, retrieval_table
from .templates import environment
from .verdict import compare, groups, judge

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["SECTIONS", "Section", "environment", "render", "render_comparison", "render_library"]
_PAGE = "report.html.j2"
_Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """`view`: from the report to the names that the template reads, beside `name`, `version` and
    `shipped`; None where there is nothing to show, and the section is left out."""

    name: str
    view: Callable[[_Report], dict[str, Any] | None]


def _arms(report: _Report) -> dict[str, Any]:
    whiskers = arms_chart(report)
    return {
        "sample": report.get("sample") or {},
        "tables": [arms_table(report, QUALITY), arms_table(report, COST)],
        "whiskers": whiskers,
        "bars": None if whiskers else bar_chart(report["arms"]),
    }


def _differences(report: _Report) -> dict[str, Any] | None:
    if len(report["arms"]) < 2:
        return None
    return {
        "gaps": gaps_table(report),
        "chart": differences_chart(report),
        "pairs": compare(report),
        "scores": scores_table(report),
    }


def _retrieval(report: _Report) -> dict[str, Any]:
    return {
        "retrieval": retrieval_table(report),
        "similarity": similarity_chart(report.get("retrieval")),
    }


def _library(report: _Report) -> dict[str, Any] | None:
    return {"library": view(report["library"])} if report.get("library") else None


def _training(report: _Report) -> dict[str, Any] | None:
    chart = loss_chart(report.get("training"))
    return {"chart": chart} if chart else None


def _silence(report: _Report) -> dict[str, Any] | None:
    seen = report.get("silence")
    if not seen or not seen["tool"]:
        return {"tool": None, "why": seen["why"]} if seen else None
    names = {"network": "Network calls", "looked_up": "Names looked up", "written": "Files written"}
    return {**seen, "rows": [(name, seen[key]) for key, name in names.items()]}


def _built(report: _Report) -> dict[str, Any]:
    return {"facts": facts(report.get("model") or {}), "tools": report.get("tools") or {}}


# In the order of the page.
SECTIONS: tuple[Section, ...] = (
    Section("gates", lambda report: {"gates": gates_table(report)}),
    Section("arms", _arms),
    Section("differences", _differences),
    Section("attribution", attribution_view),
    Section("retrieval", _retrieval),
    Section("thresholds", thresholds_view),
    Section("library", _library),
    Section("training", _training),
    Section("precision", lambda report: precision(report.get("model") or {})),
    Section("silence", _silence),
    Section("built", _built),
    Section(
        "questions",
        lambda report: {
            "groups": groups(report),
            "rival": (report.get("choice") or {}).get("rival"),
        },
    ),
    Section("figures", lambda report: {}),
)


def render(report: _Report) -> str:
    """`report`: the dict that becomes report.json. Parts that were not measured are None, empty or
    absent."""
    pages = environment()
    shared = {name: report[name] for name in ("name", "version", "shipped")}
    sections = [
        text
        for section in SECTIONS
        if (text := _section(pages, section, report, shared)) is not None
    ]
    text = pages.get_template(_PAGE).render(
        **shared,
        verdict=judge(report),
        sections=sections,
        first_token=report["arms"].get(report["shipped"], {}).get("first_token_ms"),
    )
    return text.strip() + "\n"


def render_comparison(compared: _Report) -> str:
    """`compared`: what `comparing.compare_bundles` gives."""
    score = compared["score"]
    tone = (
        "mixed"
        if score is None or score["low"] <= 0 <= score["high"]
        else "good"
        if score["low"] > 0
        else "bad"
    )
    text = (
        environment()
        .get_template("compare.html.j2")
        .render(
            a=compared["A"],
            b=compared["B"],
            tone=tone,
            headline=comparison.headline(compared),
            notes=comparison.notes(compared),
            common=compared["questions"]["common"],
            turned=compared["turned"],
            lines=comparison.figure_lines(compared),
            differences=comparison.differences(compared),
        )
    )
    return text.strip() + "\n"


def _section(
    pages: Environment, section: Section, report: _Report, shared: dict[str, Any]
) -> str | None:
    from markupsafe import Markup

    seen = section.view(report)
    if seen is None:
        return None
    # Escaped by its own template already.
    return Markup(pages.get_template(f"sections/{section.name}.html.j2").render(**shared, **seen))
