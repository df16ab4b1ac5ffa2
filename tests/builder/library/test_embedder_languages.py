"""Whether an embedding model was made for a library's languages: by its card, its tokenizer, its
name."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from fieldpack_build.embedding.languages import foreign_to, language_warning, stated_languages

ROOT = Path(__file__).parents[3]
ENGLISH = [path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))]


def texts_in(language: str) -> list[str]:
    folder = ROOT / "benchmarks" / "languages" / language / "documents"
    return [path.read_text("utf-8") for path in sorted(folder.iterdir())]


def wordpiece(folder: Path, texts: list[str]) -> Path:
    """A tokenizer of BERT's kind, trained on these texts."""
    folder.mkdir()
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=8000, special_tokens=["[UNK]"])
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_a_tokenizer_that_has_not_seen_a_language_shows(tmp_path: Path) -> None:
    others = {language: " ".join(texts_in(language)) for language in ("de", "sk", "uk", "zh")}
    english = wordpiece(tmp_path / "en", ENGLISH)
    assert foreign_to(english / "tokenizer.json", others).keys() == others.keys()
    both = wordpiece(tmp_path / "both", [*ENGLISH, *(3 * others["sk"].split("\n"))])
    assert "sk" not in foreign_to(both / "tokenizer.json", others)
    assert foreign_to(both / "tokenizer.json", others).keys() >= {"uk", "zh"}
    warning = language_warning("hub:a/b", english, {"": ["English."], "uk": texts_in("uk")})
    assert warning is not None
    assert "not made for documents in uk (its tokenizer knows" in warning


@pytest.mark.parametrize(
    ("card", "stated"),
    [
        ("---\nlanguage: en\nlicense: mit\n---\n# Model\n", {"en"}),
        ("---\nlanguage:\n- sk\n- no\n- zh-CN\n---\n", {"sk", "no", "zh"}),
        ("---\nlicense: mit\n---\n", None),
        ("# Model\nlanguage: en\n", None),
        ("---\n\tlanguage: [\n---\n", None),
        ("---\nlanguage: {a: b}\n---\n", None),
    ],
)
def test_a_model_card_names_languages(tmp_path: Path, card: str, stated: set[str] | None) -> None:
    (tmp_path / "README.md").write_text(card)
    assert stated_languages(tmp_path) == stated


def test_the_card_comes_before_the_tokenizer_and_a_name_last(tmp_path: Path) -> None:
    texts = {"": ["English."], "sk": texts_in("sk"), "uk": texts_in("uk")}
    folder = wordpiece(tmp_path / "m", ENGLISH)
    (folder / "README.md").write_text("---\nlanguage: [en, sk]\n---\n")
    assert "in uk (its model card names en, sk alone)" in str(language_warning("m", folder, texts))
    (folder / "README.md").write_text("---\nlanguage: [multilingual, en]\n---\n")
    assert language_warning("m", folder, texts) is None
    assert "sk, uk" in str(language_warning("hub:BAAI/bge-small-en-v1.5", None, texts))
    assert language_warning("hub:intfloat/multilingual-e5-small", None, texts) is None
    assert language_warning("hub:BAAI/bge-small-en-v1.5", None, {"": ["English."]}) is None
