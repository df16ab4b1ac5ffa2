"""Whether an embedding model was made for the languages of a library.

Its model card says so where it has one (`language:`, as hubs want it). Where it does not, its
tokenizer does: one that has not seen a language cuts its words into letters, or does not know the
letters. Both are held against English by the same tokenizer. Knows nothing of recipes and stages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from fieldpack.language import PLAIN

MULTILINGUAL = "hub:intfloat/multilingual-e5-small or hub:google/embeddinggemma-300m"

_WORD = re.compile(r"[^\W\d_]+")
_UNSPACED = frozenset({"ja", "ko", "th", "zh"})
# Tokens a letter of a language over those of English. all-MiniLM-L6-v2, made for English, needs 1.7
# times as many for German, 1.9 for Slovak and 4.2 for Ukrainian (benchmarks/languages); a tokenizer
# trained on both languages of a test's text needs about as many for each.
_MOST_TOKENS = 1.5
_MOST_UNKNOWN = 0.05  # share of the tokens; a character that has no token says nothing to the model
# English prose of manuals, to measure a tokenizer on.
_ENGLISH = """
Before the pump is started, the operator checks the oil level, opens the inlet valve and makes sure
that nobody is working on the machine. The pressure should rise to four bar within a minute. If it
does not, stop the motor, close the valve and call maintenance. Filters are cleaned every week and
replaced twice a year. Damaged hoses must not be repaired; the storekeeper hands out new ones.
Visitors sign the book at the gate and wear a badge. Accidents are reported to the shift leader on
the same day, and the report is kept for five years.
"""
_ENGLISH_NAMES = re.compile(
    r"(?:^|[/_-])en(?:glish)?(?:[-_.]|$)|all-(?:minilm|mpnet|distilroberta)|multi-qa-|msmarco-"
    r"|(?:^|/)gte-(?:small|base|large)$|(?:^|/)e5-(?:small|base|large)(?:-v2)?$|nomic-embed-text-v1",
    re.IGNORECASE,
)


def language_warning(
    model: str, folder: Path | None, texts: Mapping[str, Iterable[str]]
) -> str | None:
    """Return a warning where a model was not made for a language of the library; None where it was,
    or where nothing is known.

    `model`: its name in the recipe; `folder`: its files, or those of its export, where they are on
    this disk; `texts`: of some documents, by language, as `fieldpack.language` has it."""
    others = {language: " ".join(some) for language, some in texts.items() if language != PLAIN}
    if not others:
        return None
    stated = stated_languages(folder) if folder else None
    if stated is not None:
        if "multilingual" in stated:
            return None
        strange = sorted(others.keys() - stated)
        why = f"its model card names {', '.join(sorted(stated))} alone"
    elif folder and (folder / "tokenizer.json").is_file():
        findings = foreign_to(folder / "tokenizer.json", others)
        strange, why = sorted(findings), "; ".join(findings[one] for one in sorted(findings))
    else:
        strange = sorted(others) if _ENGLISH_NAMES.search(model) else []
        why = "its name is that of an English model"
    if not strange:
        return None
    return (
        f"{model} is not made for documents in {', '.join(strange)} ({why}): vectors find little "
        f"there, and words must do it alone; take a multilingual model, as {MULTILINGUAL}"
    )


def stated_languages(folder: Path) -> frozenset[str] | None:
    """Return the languages that a model card names; None where it has none or names none. A card
    that names many is "multilingual" too."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    parts = card.read_text(encoding="utf-8", errors="replace").split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return None
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        head = YAML(typ="safe", pure=True).load(parts[1])
    except YAMLError:
        return None
    named = head.get("language") if isinstance(head, dict) else None
    named = [named] if isinstance(named, str) else named
    if not isinstance(named, list) or not named:
        return None
    return frozenset(str(one).lower().split("-")[0] for one in named)


def foreign_to(tokenizer: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Return the languages that a tokenizer was not made for, each with the measure that says so."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(tokenizer))
    made.no_truncation()
    made.no_padding()
    english, _ = _fertility(made, _ENGLISH)
    findings = {}
    for language, text in texts.items():
        tokens, unknown = _fertility(made, text)
        # Where a letter is a syllable or a word, one token for each is the most that a tokenizer
        # made for the language needs.
        limit = 1.0 if language in _UNSPACED else _MOST_TOKENS * english
        if unknown > _MOST_UNKNOWN:
            findings[language] = f"its tokenizer knows {1 - unknown:.0%} of the {language} text"
        elif tokens > limit:
            findings[language] = (
                f"its tokenizer needs {tokens / english:.1f} times as many tokens a letter for "
                f"{language} as for English"
            )
    return findings


def _fertility(tokenizer: object, text: str) -> tuple[float, float]:
    """Return the tokens a letter and the share of unknown tokens of a text's words."""
    from tokenizers import Tokenizer

    assert isinstance(tokenizer, Tokenizer)
    words = _WORD.findall(text)
    encoded = tokenizer.encode(" ".join(words), add_special_tokens=False)
    unknown = sum(token in ("[UNK]", "<unk>") for token in encoded.tokens)
    count = max(len(encoded.tokens), 1)
    return count / max(sum(map(len, words)), 1), unknown / count
