"""The report of one evaluation as a single HTML file: verdict first, then what an engineer checks it by.

It needs no network, no script and no other file. Everything in it that documents, questions or models have said is
untrusted: the template escapes all, and the page's policy runs no script. Knows nothing of how the figures were made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .charts import bar_chart, similarity_chart
from .library_view import megabytes, render_library, view
from .tables import arms_table, facts, figure, gates_table, milliseconds, retrieval_table
from .verdict import compare, groups, judge

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["environment", "render", "render_library"]
_TEMPLATE = "report.html.j2"


def render(report: dict[str, Any]) -> str:
    """`report`: the dict that becomes report.json. Parts that were not measured are None, empty or absent."""
    text = environment().get_template(_TEMPLATE).render(
        name=report["name"], version=report["version"], shipped=report["shipped"], verdict=judge(report),
        sample=report.get("sample") or {}, gates=gates_table(report), arms=arms_table(report),
        bars=bar_chart(report["arms"]), pairs=compare(report), retrieval=retrieval_table(report),
        similarity=similarity_chart(report.get("retrieval")), facts=facts(report.get("model") or {}),
        groups=groups(report), library=view(report["library"]) if report.get("library") else None,
        tools=report.get("tools") or {},
        first_token=report["arms"].get(report["shipped"], {}).get("first_token_ms"),
    )  # fmt: skip
    return text.strip() + "\n"


def environment() -> Environment:
    """The templates beside this file, all that is put into them escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader(__name__, "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    pages.filters |= {"figure": figure, "milliseconds": milliseconds, "megabytes": megabytes}
    return pages
