"""Runs inside the optimum toolchain: embeds texts with sentence-transformers in torch, for the parity check.

    python encode.py MODEL_FOLDER TEXTS.json OUT.npy
"""

import json
import sys
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(sys.argv[1], device="cpu")
texts = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
prompts = {kind: next((model.prompts[n] for n in names if n in model.prompts), "") for kind, names in {
    "query": ("query",), "passage": ("document", "passage", "corpus")}.items()}  # fmt: skip
vectors = model.encode([prompts["passage"] + text for text in texts], normalize_embeddings=True, show_progress_bar=False)
np.save(sys.argv[3], np.asarray(vectors, dtype=np.float32))
print(json.dumps({"max_tokens": model.get_max_seq_length(), "dim": model.get_sentence_embedding_dimension()}))
