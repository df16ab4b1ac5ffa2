"""Real engines on toy models: an embedder that counts letters, language models of two random
layers, a whole bundle. Nothing is patched; the expected passage is exact because a text's vector is
its letter counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from fieldpack.bundle.golden import Golden, write_golden
from fieldpack.bundle.manifest import Manifest, describe_files, original_path, write_manifest
from fieldpack.bundle.targets import VARIANTS, Target
from fieldpack.index.schema import CHUNKS as CHUNKS_FILE
from fieldpack.passages import Chunk
from fieldpack.prompt import ChatFormat, PromptSettings, write_prompt
from fieldpack.retrieval.embedder import Embedder, EmbedderSettings
from fieldpack.retrieval.fusion import RetrievalSettings
from fieldpack.retrieval.reranker import RerankerSettings
from fieldpack_build.index.writer import write_index

LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
_OTHER = 1 + len(LETTERS) + len(DIGITS)  # id of every other character; 0 is padding
DIM = len(LETTERS) + len(DIGITS)

# --- the letter embedder --------------------------------------------------------------------------


def write_letter_embedder(
    folder: Path, *, max_tokens: int = 512, query_prefix: str = "", passage_prefix: str = ""
) -> Path:
    """model.onnx, tokenizer.json, embedder.json: a text's vector is the unit vector of its letter
    and digit counts, a to z, then 0 to 9. Text in another script has the zero vector."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_letter_model(folder / "model.onnx")
    _write_letter_tokenizer(folder / "tokenizer.json")
    EmbedderSettings(
        dim=DIM, max_tokens=max_tokens, query_prefix=query_prefix, passage_prefix=passage_prefix
    ).write(folder)
    return folder


def _write_letter_model(path: Path) -> None:
    """token_embeddings [b, t, DIM] = table[input_ids]; the table is one-hot, zero for padding and
    other characters."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    table = np.zeros((_OTHER + 1, DIM), dtype=np.float32)
    table[np.arange(DIM) + 1, np.arange(DIM)] = 1.0
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "t"])
        for n in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, ["b", "t", DIM])
    gather = helper.make_node("Gather", ["table", "input_ids"], ["token_embeddings"])
    graph = helper.make_graph(
        [gather], "letters", inputs, [output], [numpy_helper.from_array(table, "table")]
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(path))


def _write_letter_tokenizer(path: Path, *, pairs: bool = False) -> None:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {"[PAD]": 0, **{c: i for i, c in enumerate(LETTERS + DIGITS, 1)}, "[UNK]": _OTHER}
    if pairs:
        vocabulary |= {"[CLS]": _OTHER + 1, "[SEP]": _OTHER + 2}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    if pairs:
        ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
        )
    tokenizer.save(str(path))


def write_letter_reranker(
    folder: Path, *, max_tokens: int = 512, labels: Literal[1, 2] = 1
) -> Path:
    """model.onnx, tokenizer.json, reranker.json: a passage's logit is the number of times that z
    stands in it, whatever the question; with two labels the first logit is 0."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_z_counter(folder / "model.onnx", labels)
    _write_letter_tokenizer(folder / "tokenizer.json", pairs=True)
    RerankerSettings(max_tokens, labels, "identity" if labels == 1 else "softmax").write(folder)
    return folder


def _write_z_counter(path: Path, labels: int) -> None:
    """logits [b, labels] = sum over t of table[input_ids] * token_type_ids: what is not passage has
    type 0."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    table = np.zeros((_OTHER + 3, labels), dtype=np.float32)
    table[1 + LETTERS.index("z"), -1] = 1.0
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "t"]) for n in names]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", labels])
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["values"]),
        helper.make_node("Cast", ["token_type_ids"], ["types"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["types", "last"], ["weights"]),
        helper.make_node("Mul", ["values", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "middle"], ["logits"], keepdims=0),
    ]
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "middle"),
    ]
    graph = helper.make_graph(nodes, "z", inputs, [output], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        str(path),
    )


# --- tiny language models -------------------------------------------------------------------------

# The blank lines matter: "\n\n" becomes one token, as in the real vocabularies.
_TRAINING_TEXT = """The A class of the Global Equity Fund costs 0.85% a year. Question: What does it cost?

Answer: It costs
0.85% a year [1]. The pump is serviced every 400 hours [2]. I cannot answer that from these documents.

According to the manual,

 the filter is changed once a month; the pressure must stay under 6.5 bar. Who may open the valve? Only a trained
operator may open it, and only when the machine is cold.

You answer questions from the passages below and cite them."""

_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_LLAMA3 = (
    "<|begin_of_text|>{% for m in messages %}<|start_header_id|>{{ m['role'] "
    "}}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_PHI3 = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
_GEMMA = (
    "<bos>{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') "
    "}}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] "
    "}}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)

# (config class, model class, chat template, end-of-turn token, BOS token or None, further special
# tokens, own settings)
_Family = tuple[str, str, str, str, str | None, tuple[str, ...], Mapping[str, Any]]
FAMILIES: dict[str, _Family] = {
    "llama": (
        "LlamaConfig",
        "LlamaForCausalLM",
        _CHATML,
        "<|im_end|>",
        None,
        ("<|im_start|>", "<|endoftext|>"),
        {},
    ),
    "llama3": (
        "LlamaConfig",
        "LlamaForCausalLM",
        _LLAMA3,
        "<|eot_id|>",
        "<|begin_of_text|>",
        ("<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"),
        {},
    ),
    "mistral": (
        "MistralConfig",
        "MistralForCausalLM",
        _CHATML,
        "<|im_end|>",
        None,
        ("<|im_start|>",),
        {},
    ),
    "qwen2": (
        "Qwen2Config",
        "Qwen2ForCausalLM",
        _CHATML,
        "<|im_end|>",
        None,
        ("<|im_start|>", "<|endoftext|>"),
        {},
    ),
    "qwen3": (
        "Qwen3Config",
        "Qwen3ForCausalLM",
        _CHATML,
        "<|im_end|>",
        None,
        ("<|im_start|>", "<|endoftext|>"),
        {"head_dim": 32},
    ),
    "phi3": (
        "Phi3Config",
        "Phi3ForCausalLM",
        _PHI3,
        "<|end|>",
        None,
        ("<|system|>", "<|user|>", "<|assistant|>", "<|endoftext|>"),
        {"original_max_position_embeddings": 1024},
    ),
    "gemma": (
        "GemmaConfig",
        "GemmaForCausalLM",
        _GEMMA,
        "<end_of_turn>",
        "<bos>",
        ("<start_of_turn>", "<eos>"),
        {"head_dim": 32, "hidden_activation": "gelu_pytorch_tanh"},
    ),
    "gemma2": (
        "Gemma2Config",
        "Gemma2ForCausalLM",
        _GEMMA,
        "<end_of_turn>",
        "<bos>",
        ("<start_of_turn>", "<eos>"),
        # genai refuses a KV cache shorter than the window: a real Gemma 2 (4,096) needs max_length
        # of 4,096 and more.
        {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 32},
    ),
    "gemma3": (
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        _GEMMA,
        "<end_of_turn>",
        "<bos>",
        ("<start_of_turn>", "<eos>"),
        {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 512},
    ),
}


def write_tiny_model(
    folder: Path, architecture: str = "llama", *, seed: int = 0, **settings: Any
) -> Path:
    """A Hugging Face folder: two random layers in float32, a byte-level BPE tokenizer, the family's
    chat template. `settings`: of its configuration, beside or instead of the family's own.

    All widths are multiples of 32, the block of the int4 export."""
    import torch
    import transformers

    config_class, model_class, _, end, _, _, own = FAMILIES[architecture]
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _write_tokenizer(folder, architecture)
    torch.manual_seed(seed)
    common = {
        "vocab_size": -(-len(tokenizer) // 32) * 32,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.convert_tokens_to_ids(end),
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.2,
        "dtype": "float32",
    }
    config = getattr(transformers, config_class)(**{**common, **own, **settings})
    getattr(transformers, model_class)(config).to(torch.float32).save_pretrained(folder)
    return folder


def _write_tokenizer(folder: Path, architecture: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    _, _, template, end, bos, others, _ = FAMILIES[architecture]
    special = [end, *others, *([bos] if bos else [])]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator([_TRAINING_TEXT], trainer)
    if bos:  # as the real ones do: a plain encode() begins with it
        bos_id = backend.token_to_id(bos)
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, bos_id)]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=end,
        pad_token=end,
        bos_token=bos,
        additional_special_tokens=special,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return tokenizer


def export_tiny_model(
    source: Path, out: Path, *, cache: Path | None = None, precision: str = "int4"
) -> Path:
    """What the export stage does, plainly: genai's builder, int4, CPU, in a process of its own
    (about 8 s)."""
    out.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "onnxruntime_genai.models.builder",
        "-i",
        str(source),
        "-o",
        str(out),
        "-p",
        precision,
        "-e",
        "cpu",
        "-c",
        str(cache or out.parent / "builder-cache"),
        "--extra_options",
        "hf_token=false",
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode or not (out / "model.onnx").is_file():
        raise RuntimeError(
            f"the builder failed on {source}:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
        )
    return out


# --- a bundle -------------------------------------------------------------------------------------

CHAT = ChatFormat(
    start="<|im_start|>system\n",
    to_user="<|im_end|>\n<|im_start|>user\n",
    to_answer="<|im_end|>\n<|im_start|>assistant\n",
    end="<|im_end|>\n",
    special_tokens=("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
)
SETTINGS = PromptSettings(
    system="You answer questions from the passages below and cite them.",
    refusal="I cannot answer that from these documents.",
    passages=3,
    max_context=512,
    max_answer_tokens=24,
    refuse_below=0.2,
    max_question_chars=500,
)

CHUNKS = (
    Chunk(
        "fees.pdf",
        "Fees 2025",
        1,
        ("Global Equity Fund",),
        0,
        56,
        "The A class costs 0.85% a year.\nThe I class costs 0.40%.",
    ),
    Chunk(
        "fees.pdf", "Fees 2025", 2, ("Bond Fund",), 0, 36, "Zero fees are charged in zone zz zz."
    ),
    Chunk(
        "pump.md",
        "Pump manual",
        None,
        ("Service", "Filter"),
        0,
        41,
        "Change the filter after 400 hours of use.",
    ),
    Chunk(
        "pump.md",
        "Pump manual",
        None,
        ("Service", "Valve"),
        50,
        97,
        "Only a trained operator may open valve QX-7781.",
    ),
    Chunk("rules.txt", "House rules", None, (), 0, 40, "Quiet hours begin at ten in the evening."),
    Chunk("rules.txt", "House rules", None, (), 41, 70, "Надо закрыть дверь на ключ."),
)


def write_bundle(
    folder: Path,
    *,
    model: Path,
    chunks: Sequence[Chunk] = CHUNKS,
    settings: PromptSettings = SETTINGS,
    chat: ChatFormat = CHAT,
    knowledge: bool = True,
    report: Mapping[str, Any] | None = None,
) -> Path:
    """A complete bundle around an exported model."""
    shutil.copytree(model, folder / "model")
    if knowledge:
        write_letter_embedder(folder / "embedder")
        write_knowledge(folder / "knowledge", Embedder.open(folder / "embedder"), chunks)
    if report is not None:
        (folder / "report").mkdir()
        (folder / "report" / "report.json").write_text(json.dumps(report), encoding="utf-8")
    write_prompt(folder, chat, settings)
    reseal(folder)
    return folder


def write_every_part(folder: Path, *, model: Path) -> Path:
    """A bundle that has a file of every kind: also a reranker, a graph of vectors, golden
    questions, retrieval's settings, a report with its page, and a target's folder."""
    write_bundle(folder, model=model, report={"recipe": "tiny", "scores": {"recall@5": 0.75}})
    shutil.rmtree(folder / "knowledge")
    (folder / "knowledge").mkdir()
    embedder = Embedder.open(folder / "embedder")
    vectors = embedder.embed_passages([chunk.embedded for chunk in CHUNKS])
    write_index(folder / "knowledge", CHUNKS, vectors, graph_from=0)
    write_letter_reranker(folder / "reranker")
    RetrievalSettings().write(folder)
    (folder / "report" / "report.html").write_text("<h1>Measured</h1>", encoding="utf-8")
    target = Target(
        "openvino-cpu",
        "openvino",
        "CPU",
        f"{VARIANTS}/openvino-cpu",
        "executed",
        packages={"openvino": "2026.4.0"},
        figures={"decode_tokens_per_s": 100.0},
    )
    (folder / target.folder).mkdir(parents=True)
    (folder / target.folder / "openvino_model.xml").write_text("<net/>", encoding="utf-8")
    write_golden(folder, [Golden("What does the A class cost?", "0.85%", False, "fees.pdf")])
    reseal(folder, targets=(target,))
    return folder


def write_knowledge(folder: Path, embedder: Embedder, chunks: Sequence[Chunk]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_index(
        folder,
        chunks,
        embedder.embed_passages([f"{chunk.context}\n{chunk.text}" for chunk in chunks]),
    )


def add_original(folder: Path, document: str, data: bytes) -> None:
    """Put the source PDF of a document into a bundle, as `bundle.originals` does."""
    digest = hashlib.sha256(data).hexdigest()
    path = folder / original_path(digest)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    with closing(sqlite3.connect(folder / "knowledge" / CHUNKS_FILE)) as database, database:
        database.execute("UPDATE documents SET sha256 = ? WHERE path = ?", (digest, document))
    reseal(folder)


def reseal(folder: Path, *, targets: Sequence[Target] = ()) -> None:
    """Write the manifest for what the folder holds now."""
    provenance = {
        "model": {"source": "random two-layer llama", "licence": "none"},
        "embedder": {"source": "letter counts"},
    }
    limits = {
        "max_context": SETTINGS.max_context,
        "max_question_chars": SETTINGS.max_question_chars,
    }
    write_manifest(
        folder,
        Manifest(
            "tiny",
            "1.0.0",
            "A toy for tests",
            describe_files(folder),
            limits,
            {"provider": "cpu"},
            provenance,
            targets=tuple(targets),
        ),
    )


# --- files that must never be imported ------------------------------------------------------------

PLANTED = (
    "builders",
    "builder_config",
    "http",
    "json",
    "multiprocessing",
    "numpy",
    "pip",
    "random",
    "socket",
    "tempfile",
)


def plant(folder: Path) -> Path:
    """Modules that have the names of a library's: each leaves a file beside itself when it is
    imported, and raises."""
    code = "open(__file__ + '.ran', 'w').close()\nraise RuntimeError(__file__ + ' was imported')\n"
    for name in PLANTED:
        (folder / f"{name}.py").write_text(code)
    return folder


def imported(folder: Path) -> list[str]:
    """The planted modules that something has imported."""
    return sorted(path.name.removesuffix(".py.ran") for path in folder.glob("*.py.ran"))
