"""Fieldpack's runtime: opens a bundle and answers from it, offline, with sources.

import fieldpack

with fieldpack.open("dist/finance-1.0.0") as expert:
    answer = expert.ask("What does the A class of the Global Equity Fund cost a year?")
    print(answer.text, answer.citations)
"""

from __future__ import annotations

import os
import sys
import warnings

# onnxruntime 1.29 and later looks up a Microsoft host and writes under ~/.cache when it is
# imported, unless this is set *before*; the API to switch it off comes too late (measured).
if "onnxruntime" in sys.modules and os.environ.get("ORT_DISABLE_TELEMETRY") != "1":
    warnings.warn(
        "onnxruntime was imported before fieldpack: its telemetry may be on", stacklevel=2
    )
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from .answers import (
    Answer,
    CitationsFound,
    Done,
    Event,
    PassagesFound,
    QuoteFound,
    TextPiece,
    Timings,
)
from .bundle.manifest import Manifest, read_manifest
from .errors import (
    BundleCorrupt,
    BundleError,
    BundleNotFound,
    BundleUnsupported,
    Cancelled,
    EmptyQuestion,
    EngineFailed,
    FieldpackError,
    InputError,
    NoSuchPassage,
    OutOfMemory,
    QuestionError,
    QuestionTooLong,
)
from .expert import Expert
from .expert import open_bundle as open
from .passages import Citation, DocumentRecord, Filter, Passage, PassageContext, Previous
from .retrieval.quoting import Quote

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "BundleCorrupt",
    "BundleError",
    "BundleNotFound",
    "BundleUnsupported",
    "Cancelled",
    "Citation",
    "CitationsFound",
    "DocumentRecord",
    "Done",
    "EmptyQuestion",
    "EngineFailed",
    "Event",
    "Expert",
    "FieldpackError",
    "Filter",
    "InputError",
    "Manifest",
    "NoSuchPassage",
    "OutOfMemory",
    "Passage",
    "PassageContext",
    "PassagesFound",
    "Previous",
    "QuestionError",
    "QuestionTooLong",
    "Quote",
    "QuoteFound",
    "TextPiece",
    "Timings",
    "open",
    "read_manifest",
]
