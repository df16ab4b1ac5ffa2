"""A look at a model before anything is paid: can it be read, trained, merged and exported, and if
not, why.

Reads config.json, the tokenizer's files, the headers of safetensors files or of a GGUF, and the
source of the installed builder and of transformers. Loads no weights and imports neither torch nor
transformers: a 7B model takes well under a second. Knows nothing of recipes.
"""

from .checkpoint import (
    CHAT_TEMPLATE,
    TOKENIZER_FILES,
    Checkpoint,
    decide_ties,
    file_problems,
    open_checkpoint,
)
from .inspection import Inspection, ModelFacts, Use, inspect_model, ties_embeddings
from .settings import (
    context,
    original_context,
    rope_settings,
    rope_type,
    sliding_window,
    text_settings,
)

__all__ = [
    "CHAT_TEMPLATE",
    "TOKENIZER_FILES",
    "Checkpoint",
    "Inspection",
    "ModelFacts",
    "Use",
    "context",
    "decide_ties",
    "file_problems",
    "inspect_model",
    "open_checkpoint",
    "original_context",
    "rope_settings",
    "rope_type",
    "sliding_window",
    "text_settings",
    "ties_embeddings",
]
