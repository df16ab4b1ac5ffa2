"""Every family's vectors are sentence-transformers' own, prompts included; int8 is taken where
recall allows it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fakes
import families
from fieldpack.passages import Chunk
from fieldpack.retrieval.embedder import Embedder, EmbedderSettings
from fieldpack_build.data import TestQuestion
from fieldpack_build.embedding import precision
from fieldpack_build.embedding.families import read_settings
from fieldpack_build.errors import SourceError
from fieldpack_build.stages.embedder import export

TEXTS = [
    "what does the fund cost a year",
    "the lamp turns once in seconds",
    "settlement fails are chased",
    "pump",
    "",
    "from morning of the day after the contractual settlement date " * 9,
]
CARDS = {
    "bge-small-en-v1.5": ("Represent this sentence for searching relevant passages: ", ""),
    "e5-small-v2": ("query: ", "passage: "),
    "multilingual-e5-base": ("query: ", "passage: "),
    "nomic-embed-text-v1.5": ("search_query: ", "search_document: "),
}


def reference(source: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(source), device="cpu", local_files_only=True)


def exported(source: Path, folder: Path, **options: Any) -> Embedder:
    folder.mkdir()
    export(source, folder, **options)
    return Embedder.open(folder)


@pytest.mark.parametrize("name", families.FAMILIES)
def test_a_family_is_as_sentence_transformers_has_it(name: str, tmp_path: Path) -> None:
    source = families.write(tmp_path / name, name)
    embedder = exported(source, tmp_path / "out", name=f"hub:someone/{name}")
    model, family = reference(source), families.FAMILIES[name]
    query, passage = CARDS.get(name, (None, None))
    if query is None:  # the model's own files say it
        names = {n.rpartition(".")[2]: n for n in family.prompts}
        kinds = {
            "query": names.get("query"),
            "document": names.get("document") or names.get("passage"),
        }
        theirs = {
            kind: model.encode(TEXTS, prompt_name=own, normalize_embeddings=True)
            if own
            else model.encode(TEXTS, normalize_embeddings=True)
            for kind, own in kinds.items()
        }
    else:
        theirs = {
            kind: model.encode(TEXTS, prompt=prefix, normalize_embeddings=True)
            for kind, prefix in (("query", query), ("document", passage))
        }
    ours = {
        "query": np.stack([embedder.embed_query(text) for text in TEXTS]),
        "document": embedder.embed_passages(TEXTS),
    }
    for kind, vectors in ours.items():
        assert (vectors * theirs[kind]).sum(axis=1).min() >= 0.9999, kind
    assert (ours["document"] @ ours["document"].T).min() < 0.97  # the texts are told apart at all
    if family.prompts or query:
        assert not np.allclose(ours["query"], ours["document"], atol=1e-3)


@pytest.mark.parametrize(
    "name", ["bge-small-en-v1.5", "Qwen3-Embedding-0.6B", "embeddinggemma-300m"]
)
def test_the_layout_of_older_versions_says_the_same(name: str, tmp_path: Path) -> None:
    new, old = (
        families.write(tmp_path / kind / name, name, legacy=kind == "old")
        for kind in ("new", "old")
    )
    assert read_settings(old, dim=32, max_tokens=32) == read_settings(new, dim=32, max_tokens=32)


def test_the_recipe_has_the_last_word_on_prefixes(tmp_path: Path) -> None:
    source = families.write(tmp_path / "e5-small-v2", "e5-small-v2")
    assert read_settings(source, dim=32, max_tokens=32).query_prefix == "query: "
    settings = read_settings(source, dim=32, max_tokens=32, query_prefix="Q: ", passage_prefix="")
    assert (settings.query_prefix, settings.passage_prefix) == ("Q: ", "")


@pytest.mark.parametrize(
    ("name", "prefixes"),
    [
        ("hub:intfloat/multilingual-e5-large", ("query: ", "passage: ")),
        ("hub:intfloat/multilingual-e5-large-instruct", ("", "")),
        ("hub:BAAI/bge-m3", ("", "")),
        ("pypi:bge-base-en==1.0", (CARDS["bge-small-en-v1.5"][0], "")),
        ("./models/nomic-embed-text-v1", ("search_query: ", "search_document: ")),
        ("hub:sentence-transformers/all-MiniLM-L6-v2", ("", "")),
    ],
)
def test_cards_are_known_by_name(name: str, prefixes: tuple[str, str], tmp_path: Path) -> None:
    source = families.write(tmp_path / "model", "all-MiniLM-L6-v2")
    settings = read_settings(source, dim=32, max_tokens=32, name=name)
    assert (settings.query_prefix, settings.passage_prefix) == prefixes


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            "modules.json",
            [
                {"type": "sentence_transformers.models.Transformer", "path": ""},
                {"type": "sentence_transformers.models.CNN", "path": "1_CNN"},
            ],
            r"modules\.json: CNN",
        ),
        (
            "modules.json",
            [{"type": "sentence_transformers.models.BoW", "path": ""}],
            r"modules\.json: BoW",
        ),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "max"]}, r"mean \+ max"),
        (
            "1_Pooling/config.json",
            {"pooling_mode": "mean", "include_prompt": False},
            "include_prompt",
        ),
    ],
)
def test_what_the_device_cannot_do_is_refused(
    file: str, change: Any, message: str, tmp_path: Path
) -> None:
    source = families.write(tmp_path / "e5-small-v2", "e5-small-v2")
    (source / file).write_text(json.dumps(change))
    with pytest.raises(SourceError, match=message):
        read_settings(source, dim=32, max_tokens=32)


def test_a_model_with_code_of_its_own_is_refused(tmp_path: Path) -> None:
    source = families.write(tmp_path / "jina-embeddings-v2-small-en", "all-MiniLM-L6-v2")
    config = json.loads((source / "config.json").read_text()) | {
        "auto_map": {"AutoModel": "modeling_bert.JinaBertModel"}
    }
    (source / "config.json").write_text(json.dumps(config | {"model_type": "jina_bert"}))
    (tmp_path / "out").mkdir()
    with pytest.raises(SourceError, match="code of its own"):
        export(source, tmp_path / "out")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    source = families.write(tmp_path / "model", "all-MiniLM-L6-v2")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    (tmp_path / "out").mkdir()
    with pytest.raises(SourceError, match="safetensors"):
        export(source, tmp_path / "out")


# --- int8 -----------------------------------------------------------------------------------------


def test_int8_is_smaller_near_and_independent_of_neighbours(tmp_path: Path) -> None:
    fp32 = exported(families.write(tmp_path / "m", "all-MiniLM-L6-v2"), tmp_path / "out")
    int8 = Embedder.open(precision.write_int8(tmp_path / "out", tmp_path / "int8"))
    sizes = [(tmp_path / name / "model.onnx").stat().st_size for name in ("out", "int8")]
    assert sizes[1] < 0.6 * sizes[0]
    texts = [text for text in TEXTS if text]
    vectors = int8.embed_passages(texts)
    assert (vectors * fp32.embed_passages(texts)).sum(axis=1).min() > 0.97
    assert (
        vectors.tobytes() == np.stack([int8.embed_passages([text])[0] for text in texts]).tobytes()
    )


CHUNKS = [
    Chunk(f"{letter}.md", letter, 1 + i % 2, "", 0, 9, letter * 3 + "e")
    for i, letter in enumerate("bcdfghjklm")
]
ASKED = [
    TestQuestion(letter * 2, None, None, f"{letter}.md", 1, (1 + i % 2,))
    for i, letter in enumerate("bcdfghjklm")
]


def letters(folder: Path, passage_prefix: str = "") -> Embedder:
    return Embedder.open(fakes.write_letter_embedder(folder, passage_prefix=passage_prefix))


def test_int8_is_taken_when_recall_stays(tmp_path: Path) -> None:
    decision = precision.accept_int8(
        letters(tmp_path / "a"), letters(tmp_path / "b", "z"), CHUNKS, ASKED
    )
    assert decision.accepted and (decision.recall_fp32, decision.recall_int8) == (1.0, 1.0)
    assert (
        (decision.questions, decision.chunks) == (10, 10)
        and decision.cosine is not None
        and decision.cosine < 0.99
    )


def test_int8_is_refused_when_recall_falls(tmp_path: Path) -> None:
    narrow = letters(tmp_path / "b")
    narrow.settings = replace(
        narrow.settings, query_prefix="bcdfg" * 50
    )  # every question asks for the first five
    decision = precision.accept_int8(letters(tmp_path / "a"), narrow, CHUNKS, ASKED * 3)
    assert not decision.accepted and decision.recall_fp32 == 1.0
    assert (
        decision.recall_int8 is not None
        and decision.recall_int8 < 0.99
        and decision.reason.startswith("fp32: recall@5")
    )


def test_without_questions_there_is_no_int8(tmp_path: Path) -> None:
    same = letters(tmp_path / "a")
    assert not precision.accept_int8(same, same, CHUNKS, []).accepted


def test_the_page_counts_where_it_is_known(tmp_path: Path) -> None:
    same = letters(tmp_path / "a")
    wrong = [replace(question, pages=(7,)) for question in ASKED]
    assert precision.accept_int8(same, same, CHUNKS, wrong).recall_fp32 == 0.0


def test_one_model_is_left(tmp_path: Path) -> None:
    letters(tmp_path / "a"), letters(tmp_path / "b")
    (tmp_path / "b" / "model.onnx").write_bytes(b"narrow")
    precision.replace_by(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "model.onnx").read_bytes() == b"narrow" and not (
        tmp_path / "b" / "model.onnx"
    ).exists()
    assert EmbedderSettings.read(tmp_path / "a").dim == fakes.DIM
