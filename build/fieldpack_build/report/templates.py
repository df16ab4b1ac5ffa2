"""Where the report's templates lie, and how a figure or a place is written in them. Knows nothing of what they
say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fieldpack.citations import place
from fieldpack.figures import megabytes

from .tables import figure, milliseconds

if TYPE_CHECKING:
    from jinja2 import Environment


def environment() -> Environment:
    """Return the report's templates; all that is put into them is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.globals["place"] = place
    pages.filters |= {"figure": figure, "milliseconds": milliseconds, "megabytes": megabytes}
    return pages
