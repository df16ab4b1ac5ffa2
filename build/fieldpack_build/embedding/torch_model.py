"""The embedding model in torch: what its vectors are compared with, and the graph of an
architecture that bert_graph does not write (Nomic, GTE of 2024, EmbeddingGemma, Qwen3, jina v3,
ModernBERT, MPNet). Knows nothing of recipes or stages."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SourceError
from . import families

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# bytes of weights; an ONNX file ends at 2 GiB, and the rest goes into model.onnx.data
_MAX_FILE = 1_800_000_000


def load(source: Path) -> Any:
    """Load the SentenceTransformer in float32 on the CPU, from the folder alone. Raises SourceError
    for one that cannot be loaded so, or only with code of its own, which is never run."""
    from sentence_transformers import SentenceTransformer

    folder = families.read_layout(source).transformer
    if not list(folder.glob("*.safetensors")):
        raise SourceError(
            f"{folder}: no *.safetensors weights (pickled .bin files are not read: they can run "
            "code)"
        )
    try:
        return SentenceTransformer(
            str(source),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": "float32"},
        )
    except (ValueError, KeyError, OSError, ImportError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SourceError(
            f"{source.name}: transformers cannot load it: {first[:300]}; a model that brings code "
            "of its own "
            "(jina-embeddings-v2) is not supported: choose one of an architecture that "
            "transformers has"
        ) from error


def vectors(model: Any, texts: Sequence[str], *, prefix: str = "") -> NDArray[np.float32]:
    """Return the vectors of n texts as sentence-transformers has them, float32 [n, dim], of unit
    length."""
    import numpy as np

    rows = model.encode(
        [prefix + text for text in texts],
        prompt="",
        normalize_embeddings=True,
        show_progress_bar=False,
    )
    return np.asarray(rows, dtype=np.float32)


def write_tokenizer(model: Any, path: Path) -> None:
    """Write tokenizer.json; sentence-transformers has put in the lower-casing that
    sentence_bert_config.json may ask for. Raises SourceError for a tokenizer that has no such form.
    """
    from tokenizers import Tokenizer

    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise SourceError(
            "the model's tokenizer has no tokenizer.json form (a `tokenizers` one is needed on the "
            "device)"
        )
    tokenizer = Tokenizer.from_str(backend.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(path))


def write_graph(model: Any, path: Path) -> None:
    """Export the network: `input_ids` [1, tokens] int64 -> `token_embeddings` [1, tokens, hidden]
    float32, one text a run and so no mask."""
    import torch

    class Encoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def forward(self, input_ids: Any) -> Any:
            cacheless = {"use_cache": False} if hasattr(self.network.config, "use_cache") else {}
            return self.network(
                input_ids=input_ids, return_dict=True, **cacheless
            ).last_hidden_state

    network = model[0].auto_model.eval()
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    # 23 is no round number: a length that is also a size of the network would be taken for a
    # constant.
    example = torch.arange(3, 26).remainder(network.config.get_text_config().vocab_size)[None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Encoder(network),
            (example,),
            str(path),
            dynamo=True,
            verbose=False,
            optimize=True,
            input_names=["input_ids"],
            output_names=["token_embeddings"],
            dynamic_shapes=({1: torch.export.Dim.DYNAMIC},),
            external_data=weights > _MAX_FILE,
        )
