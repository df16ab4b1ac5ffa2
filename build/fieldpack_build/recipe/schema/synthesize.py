"""The recipe's `train.synthesize` section: which model writes training rows, and how. Knows nothing
of prompts or replies."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from .base import Fraction, Positive, Section
from .models import ModelSource


class Synthesize(Section):
    """Training rows that a model writes from the documents, at build time: a local one (`model`, as
    in `base`), or one behind an OpenAI-compatible `url`."""

    model: str | None = None
    """The local model that writes, as in `base`."""
    revision: str | None = None
    """As in `base`."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """As in `base`."""
    file: str | None = None
    """As in `base`."""
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+\S*$")] | None = None
    """The OpenAI-compatible address, up to and with /v1."""
    name: str | None = None
    """What the address calls the model."""
    key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """The environment variable that holds the address's key, which is written nowhere."""
    rows: Positive = 300
    """Rows to write."""
    per_chunk: Annotated[int, Field(ge=1, le=10)] = 2
    """Questions that are asked about a chunk."""
    # Of the finance recipe's hand-written answers 95% share 0.7 of their words with the best chunk,
    # 6% with a chance one (0.6: 99% and 8%; 0.8: 84% and 6%).
    support: Fraction = 0.7
    """Share of an answer's words that must stand in its chunk."""
    unanswerable: Fraction = 0.0
    """Share of the rows whose question has no answer in what is retrieved for it, as the same model
    judges."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    """The sampler's temperature."""
    seed: Annotated[int, Field(ge=0)] = 17
    """Decides the order of the chunks and the sampler's draws."""
    prompt: str | None = None
    """What is asked in the place of the built-in prompt; must hold {passage}, may hold {title} and
    {count}."""
    workers: Annotated[int, Field(ge=1, le=64)] = 4
    """Requests at once."""
    timeout: Annotated[float, Field(gt=0)] = 120.0
    """Seconds to wait for one reply."""

    @model_validator(mode="after")
    def _one_writer(self) -> Synthesize:
        if (self.model is None) == (self.url is None):
            raise ValueError(
                "name either `model`, a local model, or `url`, an OpenAI-compatible address"
            )
        if self.url is not None and not self.name:
            raise ValueError("name: missing; it is what the address calls the model")
        if self.prompt is not None and "{passage}" not in self.prompt:
            raise ValueError(
                "prompt: has no {passage} in it ({title} and {count} may stand there too)"
            )
        if self.model is not None:
            self.source  # noqa: B018 (its own checks)
        return self

    @property
    def source(self) -> ModelSource | None:
        """The local model that writes; None where one behind an address does."""
        if self.model is None:
            return None
        return ModelSource(
            model=self.model, revision=self.revision, sha256=self.sha256, file=self.file
        )
