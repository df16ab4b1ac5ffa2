"""Runs inside the optimum toolchain: scores pairs with sentence-transformers' CrossEncoder in
torch, for the parity check.

python score.py MODEL_FOLDER PAIRS.json OUT.npz
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import CrossEncoder

model = CrossEncoder(sys.argv[1], device="cpu")
config = model.config
# RoBERTa's family numbers positions from the padding token's id + 1: two of its 514 are never used.
unused = (
    config.pad_token_id + 1
    if "roberta" in config.model_type or config.model_type == "camembert"
    else 0
)
limit = int(
    min(
        model.max_seq_length or 1 << 30,
        getattr(config, "max_position_embeddings", 1 << 30) - unused,
    )
)
facts = {
    "labels": model.num_labels,
    "max_tokens": limit,
    "activation": type(model.activation_fn).__name__.lower(),
    "pad_id": model.tokenizer.pad_token_id or 0,
}
if model.num_labels <= 2:
    model.max_seq_length = limit
    pairs = [tuple(pair) for pair in json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))]
    logits = model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    scores = model.predict(pairs, show_progress_bar=False, apply_softmax=model.num_labels == 2)
    np.savez(
        sys.argv[3],
        logits=logits.reshape(len(pairs), -1),
        scores=scores[:, 1] if model.num_labels == 2 else scores,
    )
print(json.dumps(facts))
