"""The recipe as frozen types, a module for each section: its keys, defaults, bounds and checks;
unknown keys are refused. Knows nothing of YAML (`recipe.load`), stages, models or caches.

A sentence stands below each key: `docs/recipe_reference.py` makes docs/recipe.md of them.
"""

from ..gates import ARMS, METRICS, Gate, parse_gate
from .answer import AnswerSection, Risk
from .base import Section
from .evaluate import WEIGHTS, Attribution, Evaluate
from .export import CANDIDATES, Export
from .knowledge import Chunking, EmbedderSource, Knowledge, Retrieval
from .models import ModelSource
from .recipe import NOT_IN_FILE, BundleSection, Recipe
from .synthesize import Synthesize
from .targets import DeviceLimits, TargetSection
from .train import Launch, Train

__all__ = [
    "ARMS",
    "CANDIDATES",
    "METRICS",
    "NOT_IN_FILE",
    "WEIGHTS",
    "AnswerSection",
    "Attribution",
    "BundleSection",
    "Chunking",
    "DeviceLimits",
    "EmbedderSource",
    "Evaluate",
    "Export",
    "Gate",
    "Knowledge",
    "Launch",
    "ModelSource",
    "Recipe",
    "Retrieval",
    "Risk",
    "Section",
    "Synthesize",
    "TargetSection",
    "Train",
    "parse_gate",
]
