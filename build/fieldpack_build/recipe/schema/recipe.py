"""The whole recipe: its sections together, and what must agree between them. Knows nothing of YAML
(`recipe.load`), stages, models or caches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from ..gates import parse_gate
from .answer import AnswerSection
from .base import Section
from .evaluate import Evaluate
from .export import Export
from .knowledge import Knowledge
from .models import ModelSource
from .targets import DeviceLimits, TargetSection, with_name
from .train import Train

# Fields of Recipe that are not keys of the YAML.
NOT_IN_FILE = ("folder", "rehearsal", "notes", "places")


class BundleSection(Section):
    """What the bundle says of itself."""

    description: str = ""
    """A line on what it answers."""
    license: str | None = None
    """Licence of the bundle as a whole."""
    originals: bool = False
    """Whether the source PDFs go into the bundle, so that a device with `fieldpack[pages]` shows the
    page that a quote stands on. `build check` and the build say their size."""


class Recipe(Section):
    """All that a bundle is built from."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    """The bundle's name."""
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+([-+.][0-9A-Za-z.-]+)?$")]
    """The bundle's version."""
    base: ModelSource | None = None
    """The language model that is tuned and ships. Without it, and with documents, the bundle
    answers with quotes of them alone."""
    knowledge: Knowledge | None = None
    """The documents that answers come from."""
    train: Train = Train(method="none")
    """How the model is tuned."""
    export: Export = Export()
    """How the model becomes the file that ships."""
    answer: AnswerSection
    """How the device answers."""
    evaluate: Evaluate | None = None
    """What is asked of the bundle before it ships."""
    targets: list[TargetSection] = []
    """Hardware beside the CPU, in the order in which a device tries it: names, or names with
    options."""
    device: DeviceLimits | None = None
    """What the device has; `build check` says what does not fit it, and what would."""
    bundle: BundleSection = BundleSection()
    """What the bundle says of itself."""
    # Not in the file: where it was, whether this is a rehearsal on slices and a tiny random model,
    # what its reader has to say to whoever wrote it, and where each key stands ("file:line").
    folder: Annotated[str, Field(exclude=False)] = "."
    rehearsal: bool = False
    notes: Annotated[list[str], Field(exclude=True)] = []
    places: Annotated[dict[str, str], Field(exclude=True)] = {}

    @field_validator("train", mode="before")
    @classmethod
    def _short_none(cls, value: object) -> object:
        return {"method": "none"} if value in ("none", None) else value

    @field_validator("targets", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        return [with_name(one) for one in value] if isinstance(value, list) else value

    @field_validator("targets")
    @classmethod
    def _once_each(cls, targets: list[TargetSection]) -> list[TargetSection]:
        names = [target.name for target in targets]
        if len(set(names)) < len(names):
            raise ValueError("a target is named twice")
        return targets

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        if self.knowledge is None and self.train.method == "none":
            raise ValueError("nothing to do: neither knowledge.documents nor train.method")
        if self.base is not None and not self.answer.system.strip():
            raise ValueError("answer.system: missing; it tells the language model how to answer")
        if self.base is None:
            self._check_does_without_model()
        if self.knowledge is None:
            self._check_does_without_documents()
        self._check_context_has_room()
        self._check_calibration()
        self._check_risk()
        if (
            self.evaluate
            and self.evaluate.ship not in ("auto", "all")
            and not self.has_arm(self.evaluate.ship)
        ):
            raise ValueError(f"evaluate.ship: this recipe has no arm {self.evaluate.ship}")
        for text in self.evaluate.gates if self.evaluate else ():
            for arm in parse_gate(text).arms:
                self._check_measured(arm, text)
        return self

    def _check_does_without_model(self) -> None:
        needs = {
            "train.method": self.train.method != "none",
            "targets": any(target.name != "cpu" for target in self.targets),
            "device": self.device is not None,
            "evaluate.attribution": self.evaluate is not None
            and self.evaluate.attribution is not None,
        }
        for key, wanted in needs.items():
            if wanted:
                raise ValueError(f"{key}: needs a language model; name one under `base`")

    def _check_does_without_documents(self) -> None:
        needs = (
            ("train.passages", self.train.passages, "draw passages from"),
            ("train.only_distractors", self.train.only_distractors, "draw passages from"),
            ("train.synthesize", self.train.synthesize, "write questions from"),
            ("bundle.originals", self.bundle.originals, "take them from"),
        )
        for key, wanted, purpose in needs:
            if wanted:
                raise ValueError(f"{key}: there is no `knowledge` section to {purpose}")

    def _check_context_has_room(self) -> None:
        """Raise ValueError where system text and answer leave no room for a question."""
        if self.export.max_context <= self.answer.max_answer_tokens + 32:
            raise ValueError(
                "answer.max_answer_tokens: leaves no room for a question in export.max_context"
            )
        if (
            len(self.answer.system) / 4
            > self.export.max_context - self.answer.max_answer_tokens - 64
        ):
            raise ValueError(
                "answer.system: leaves no room for a question in export.max_context (about 4 "
                "characters a token)"
            )

    def _check_calibration(self) -> None:
        """Raise ValueError where a refusal threshold is to be learned and there is nothing to learn
        from."""
        if self.answer.refuse_below == "auto" and (self.knowledge is None or self.evaluate is None):
            lacking = (
                "`knowledge` section"
                if self.knowledge is None
                else "evaluate.questions to learn it from"
            )
            raise ValueError(f"answer.refuse_below: auto: there is no {lacking}")
        if (
            self.calibrated
            and self.evaluate
            and self.evaluate.calibration == "train"
            and not self.train.data
        ):
            raise ValueError("evaluate.calibration: train: there is no train.data")

    def _check_risk(self) -> None:
        if self.answer.risk is None:
            return
        if self.knowledge is None or self.evaluate is None:
            lacking = "`knowledge` section" if self.knowledge is None else "evaluate.questions"
            raise ValueError(f"answer.risk: there is no {lacking} to learn from")
        if self.evaluate.calibration == "train":
            raise ValueError(
                "answer.risk: is learned from test questions that are set aside, as training rows "
                "name no value that a right answer has; give evaluate.calibration a share"
            )
        if self.calibrated:
            raise ValueError(
                "answer.risk: answer.refuse_below: auto would learn from the same questions, and "
                "the risk would no longer hold; give refuse_below a number"
            )

    def _check_measured(self, arm: str, gate: str) -> None:
        assert self.evaluate
        if not self.has_arm(arm):
            raise ValueError(
                f"evaluate.gates: {gate!r}: this recipe has no arm {arm}; take the gate out, or "
                "give the recipe what that arm needs (`base`, `knowledge`, `train`)"
            )
        if arm not in (
            *self.evaluate.arms,
            self.whole_arm if self.evaluate.ship in ("auto", "all") else self.evaluate.ship,
        ):
            raise ValueError(
                f"evaluate.gates: {gate!r}: {arm} is not among evaluate.arms, so it is not "
                f"measured; take the gate out, or add {arm} to evaluate.arms"
            )

    def path(self, name: str) -> Path:
        """Return a path that the recipe names, which is relative to the recipe's own folder."""
        return Path(self.folder) / name

    @property
    def tuned(self) -> bool:
        """Whether the recipe trains an adapter."""
        return self.train.method != "none"

    @property
    def whole_arm(self) -> str:
        """The arm of all the halves that the recipe has."""
        if self.base is None:
            return "quote"
        return "+".join(half for half in ("tuned", "rag") if self.has_arm(half)) or "base"

    def has_arm(self, arm: str) -> bool:
        """Whether the recipe has all that an arm is made of."""
        library, model = self.knowledge is not None, self.base is not None
        halves = {
            "base": model,
            "rag": model and library,
            "tuned": model and self.tuned,
            "quote": library,
        }
        return all(halves[half] for half in arm.split("+"))

    @property
    def calibrated(self) -> bool:
        """Whether the refusal threshold is learned."""
        return self.answer.refuse_below == "auto"

    @property
    def train_files(self) -> list[Path]:
        """The files of training rows."""
        return [self.path(name) for name in self.train.data]

    @property
    def train_passages(self) -> int:
        """Passages in a training prompt: as many as an answer gets, unless the recipe says
        otherwise."""
        if self.knowledge is None:
            return 0
        return self.answer.passages if self.train.passages is None else self.train.passages
