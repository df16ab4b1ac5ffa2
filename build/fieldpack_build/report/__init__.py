"""The report of one evaluation as a single HTML file: verdict first, then what an engineer checks
it by.

A section is a template of its own (`sections/<name>.html.j2`) and a function that makes of the
report what the template reads. The page needs no network, no script and no other file. Everything
in it that documents, questions or models have said is untrusted: the templates escape all, and the
page's policy runs no script. Knows nothing of how the figures were made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..evaluation.compare import Comparison
from ..evaluation.report_file import Report
from . import comparison
from .advice import scores_table
from .charts.bars import bar_chart, similarity_chart
from .charts.loss import loss_chart
from .charts.precision import precision_view
from .charts.roc import thresholds_view
from .charts.waterfall import attribution_paths
from .charts.whiskers import arms_chart, differences_chart
from .facts import ExportFacts, facts_table
from .library_view import render_library, view_library
from .tables import COST, QUALITY, arms_table, gaps_table, gates_table, retrieval_table
from .tally import compare, groups
from .tally import tally as count_right
from .templates import environment
from .verdict import judge

__all__ = ["SECTIONS", "Section", "environment", "render", "render_comparison", "render_library"]
Names = dict[str, object]  # what a template reads


@dataclass(frozen=True, slots=True)
class Section:
    """`view`: from the report to the names that the template reads, beside `name`, `version` and
    `shipped`; None where there is nothing to show, and the section is left out."""

    name: str
    view: Callable[[Report], Names | None]


def _arms(report: Report) -> Names:
    whiskers = arms_chart(report)
    return {
        "sample": report.sample,
        "tables": [arms_table(report, QUALITY), arms_table(report, COST)],
        "whiskers": whiskers,
        "bars": None if whiskers else bar_chart(report.arms),
    }


def _differences(report: Report) -> Names | None:
    if len(report.arms) < 2:
        return None
    return {
        "gaps": gaps_table(report),
        "chart": differences_chart(report),
        "pairs": compare(report),
        "scores": scores_table(report),
    }


def _attribution(report: Report) -> Names | None:
    if report.attribution is None:
        return None
    return {
        "paths": attribution_paths(report.attribution),
        "asked": report.attribution.questions,
    }


def _retrieval(report: Report) -> Names:
    return {
        "retrieval": retrieval_table(report.retrieval) if report.retrieval else None,
        "similarity": similarity_chart(report.retrieval),
        "quoting": _second_check(report),
    }


def _second_check(report: Report) -> Names | None:
    """What a bundle that quotes refuses by beside the similarity, and what both refuse together in
    the test; None where the shipped arm has no such threshold."""
    threshold = report.model.get("quoting", {}).get("refuse_below")
    if report.shipped != "quote" or threshold is None:
        return None
    return {"refuse_below": threshold, "both": count_right(report, report.shipped)}


def _training(report: Report) -> Names | None:
    chart = loss_chart(report.training)
    return {"chart": chart} if chart else None


def _precision(report: Report) -> Names | None:
    view = precision_view(ExportFacts.model_validate(report.model.get("export") or {}))
    return {"view": view} if view else None


def _silence(report: Report) -> Names | None:
    if (silence := report.silence) is None:
        return None
    rows = (
        ("Network calls", silence.network),
        ("Names looked up", silence.looked_up),
        ("Files written", silence.written),
    )
    return {"silence": silence, "rows": rows}


# In the order of the page.
SECTIONS: tuple[Section, ...] = (
    Section("gates", lambda report: {"gates": gates_table(report)}),
    Section("arms", _arms),
    Section("differences", _differences),
    Section("attribution", _attribution),
    Section("retrieval", _retrieval),
    Section(
        "thresholds",
        lambda r: {"view": thresholds_view(r.calibration)} if r.calibration else None,
    ),
    Section("library", lambda r: {"library": view_library(r.library)} if r.library else None),
    Section("training", _training),
    Section("precision", _precision),
    Section("silence", _silence),
    Section("built", lambda report: {"facts": facts_table(report.model), "tools": report.tools}),
    Section("questions", lambda r: {"groups": groups(r), "rival": r.choice and r.choice.rival}),
    Section("figures", lambda report: {}),
)


def render(report: Report) -> str:
    """Return the page of a report. Parts that were not measured are left out, or said to be."""
    from markupsafe import Markup

    pages = environment()
    shared = {"name": report.name, "version": report.version, "shipped": report.shipped}
    sections = []
    for section in SECTIONS:
        names = section.view(report)
        if names is not None:
            template = pages.get_template(f"sections/{section.name}.html.j2")
            # Escaped by its own template already.
            sections.append(Markup(template.render(**shared, **names)))
    text = pages.get_template("report.html.j2").render(
        **shared,
        verdict=judge(report),
        sections=sections,
        first_token=report.arms.get(report.shipped, {}).get("first_token_ms"),
    )
    return text.strip() + "\n"


def render_comparison(compared: Comparison) -> str:
    """Return the page of two bundles compared."""
    template = environment().get_template("compare.html.j2")
    text = template.render(
        a=compared.a,
        b=compared.b,
        tone=comparison.tone(compared),
        headline=comparison.headline(compared),
        notes=comparison.notes(compared),
        common=compared.questions.common,
        turned=compared.turned,
        lines=comparison.figure_lines(compared),
        differences=comparison.differences(compared),
    )
    return text.strip() + "\n"
