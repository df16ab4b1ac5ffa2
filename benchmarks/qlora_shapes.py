"""Random models in the shape of real ones, a tokenizer and a train stage's inputs, all made on the
spot: no network, no weights to carry. Knows nothing of what is measured on them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

CHAT: dict[str, Any] = {
    "start": "<|system|>\n",
    "to_user": "<|end|>\n<|user|>\n",
    "to_answer": "<|end|>\n<|assistant|>\n",
    "end": "<|end|>\n",
    "special_tokens": ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
}
# Phi3Config of microsoft/Phi-3-mini-4k-instruct's config.json: 3.82 billion parameters, 7.6 GB in
# bfloat16.
SHAPES: dict[str, dict[str, int]] = {
    "phi-3-mini": {
        "hidden_size": 3072,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "intermediate_size": 8192,
        "vocab_size": 32064,
        "max_position_embeddings": 4096,
    },
    "tiny": {
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 256,
        "vocab_size": 512,
        "max_position_embeddings": 2048,
    },
}
_VOCABULARY = 30_000
_SYSTEM = "Answer the question from what you know, in one sentence."
_WORDS = (
    "fund",
    "charge",
    "class",
    "year",
    "pump",
    "valve",
    "filter",
    "policy",
    "limit",
    "notice",
    "review",
    "monthly",
)


def write_base(base: Path, shape: str, device: str) -> dict[str, Any]:
    """base/model (bfloat16 safetensors and a byte-level tokenizer) and base/chat.json, as the base
    stage leaves them."""
    import torch
    from transformers import Phi3Config, Phi3ForCausalLM

    tokenizer = _tokenizer()
    own = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = Phi3Config(
        **SHAPES[shape],
        **own,
        original_max_position_embeddings=4096,
        tie_word_embeddings=False,
        dtype="bfloat16",
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = Phi3ForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.to(torch.bfloat16).save_pretrained(base / "model")
    tokenizer.save_pretrained(base / "model")
    (base / "chat.json").write_text(json.dumps(CHAT), encoding="utf-8")
    size = sum(path.stat().st_size for path in (base / "model").glob("*.safetensors"))
    return {
        "shape": shape,
        "parameters": sum(p.numel() for p in model.parameters()),
        "file_gb": round(size / 1e9, 2),
    }


def copy_base(base: Path, source: Path) -> dict[str, Any]:
    """The same from a GGUF or a folder, in the precision its files are in; a GGUF's is float32."""
    from dataclasses import asdict

    from fieldpack_build.models import causal_lm
    from fieldpack_build.models.chat_template import chat_format

    causal_lm.quiet()
    model, tokenizer = causal_lm.load_model(source), causal_lm.load_tokenizer(source)
    model.save_pretrained(base / "model")
    tokenizer.save_pretrained(base / "model")
    (base / "chat.json").write_text(
        json.dumps(asdict(chat_format(tokenizer, source.name))), encoding="utf-8"
    )
    return {
        "shape": source.name,
        "parameters": causal_lm.count_parameters(model),
        "dtype": str(model.dtype),
    }


def _tokenizer() -> Any:
    """One token a byte: 256 and the specials, whatever the model's vocabulary beyond."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(CHAT["special_tokens"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>"
    )


def recipe(folder: Path, **train: Any) -> Any:
    """A recipe without documents; `train` as in its YAML section."""
    from fieldpack_build.recipe.schema import Recipe

    return Recipe.model_validate(
        {
            "name": "bench",
            "version": "1.0.0",
            "base": {"model": "./base"},
            "folder": str(folder),
            "train": {"data": "train.jsonl", "rank": 16, "alpha": 32, **train},
            "export": {"max_context": 4096},
            "answer": {"system": _SYSTEM, "max_question_chars": 100_000},
        }
    )


def task(folder: Path, **train: Any) -> Any:
    """A train stage's task, by hand: `folder`/base is the finished input, `folder`/out the folder
    to fill."""
    from fieldpack_build.pipeline.store import Store
    from fieldpack_build.pipeline.task import Task

    (folder / "out").mkdir(exist_ok=True)
    return Task(
        recipe(folder, **train), {"base": folder / "base"}, folder / "out", Store(folder / "cache")
    )


def job(folder: Path, device: str, **train: Any) -> Any:
    """What the training engine is given for such a task."""
    from fieldpack_build.training.job import Job

    made = task(folder, **train)
    return Job(made.recipe, folder / "base" / "model", made.out, device, pad=0, steps=None)


def write_rows(path: Path, *, rows: int, tokens: int, answer: int, seed: int = 0) -> None:
    """`rows` examples of about `tokens` tokens (bytes, specials one each), the last `answer` of
    them the answer."""
    chance = random.Random(seed)
    frame = (
        "".join(CHAT[name] for name in ("start", "to_user", "to_answer", "end"))
        + _SYSTEM
        + "Question: "
    )
    for special in CHAT["special_tokens"]:
        frame = frame.replace(special, "-")

    room = tokens - answer - len(frame)
    if room < 1:
        raise SystemExit(
            f"{tokens} tokens do not hold a frame of {len(frame)} and an answer of {answer}; raise "
            "--length"
        )

    def words(length: int) -> str:
        text = ""
        while len(text) < length:
            text += chance.choice(_WORDS) + " "
        return text[:length].strip()

    lines = [json.dumps({"question": words(room), "answer": words(answer)}) for _ in range(rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def batches(
    vocabulary: int, *, count: int, batch: int, length: int, answer: int, seed: int = 0
) -> list[Any]:
    """Seeded random rows of one length, `answer` supervised tokens at the end of each, through our
    own Collator."""
    from fieldpack_build.data.prompts import IGNORED
    from fieldpack_build.training.dataset import Collator

    chance = random.Random(seed)

    def row() -> dict[str, list[int]]:
        ids = [chance.randrange(vocabulary) for _ in range(length)]
        return {"input_ids": ids, "labels": [IGNORED] * (length - answer) + ids[length - answer :]}

    return [Collator(0)([row() for _ in range(batch)]) for _ in range(count)]


def text_batches(
    model: Path, rows: Path, *, count: int, batch: int, length: int, answer: int
) -> list[Any]:
    """Rows of `length` tokens from a file of questions and answers, the last `answer` of them
    supervised."""
    from fieldpack_build.data.prompts import IGNORED
    from fieldpack_build.models import causal_lm
    from fieldpack_build.training.dataset import Collator

    tokenizer = causal_lm.load_tokenizer(model)
    said = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    text = "\n".join(
        f"Question: {row['question']}\nAnswer: {row['answer'] or 'The documents do not say.'}"
        for row in said
    )
    ids = tokenizer.encode(text, add_special_tokens=False)
    wanted = count * batch
    if len(ids) < wanted * length:
        raise SystemExit(
            f"{rows.name}: {len(ids)} tokens, {wanted * length} wanted; fewer steps, or a smaller "
            "batch"
        )
    cut = [ids[i * length : (i + 1) * length] for i in range(wanted)]
    items = [
        {"input_ids": one, "labels": [IGNORED] * (length - answer) + one[length - answer :]}
        for one in cut
    ]
    return [Collator(0)(items[i : i + batch]) for i in range(0, wanted, batch)]


def write_embedder(folder: Path) -> Path:
    """A sentence-transformers folder in all-MiniLM-L6-v2's shape, random weights, mean pooling; w0
    to w29999 are a token each."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(_VOCABULARY))]
    backend = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=512,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    BertModel(config).save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(
            (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
        )
    ]
    for path, value in (("1_Pooling/config.json", pooling), ("modules.json", modules)):
        (folder / path).write_text(json.dumps(value), encoding="utf-8")
    return folder


def texts(count: int, *, tokens: int) -> list[str]:
    """Of up to `tokens` tokens, the special ones counted, half as many at least: a library's chunks
    are not alike."""
    draw = random.Random(0)
    lengths = (draw.randint(max(1, tokens // 2), tokens) - 2 for _ in range(count))
    return [
        " ".join(f"w{draw.randrange(_VOCABULARY)}" for _ in range(max(1, length)))
        for length in lengths
    ]
