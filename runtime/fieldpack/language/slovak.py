"""A light stemmer for Slovak, which Snowball has none for.

It takes off what declension and conjugation put at the end of a word, longest first, as the light
stemmers of Dolamic & Savoy do ("Indexing and stemming approaches for the Czech language", 2009);
the endings are those of the paradigms in Slovak grammars (chlap, hrdina, dub, stroj; žena, ulica,
dlaň, kosť; mesto, srdce, vysvedčenie, dievča; pekný, cudzí; chytať, robiť, pracovať). Accents are
folded first, because people leave them out when they ask; only the infinitive's ť is looked at
before. It is no judge of meaning: words of one root may part,
and a few of different roots meet.
"""

from __future__ import annotations

from .folding import fold

_VOWELS = "aeiouy"
_LEAST = 3  # letters that stay at least

# Of verbs in -ovať and what is made of them: očkovať, očkuje, očkovanie, očkovaný are očk-.
_OV = (
    "ovaniami ovaniach ovaniam ovanim ovania ovaniu ovanie ovani ovaneho ovanemu ovanych ovanymi "
    "ovanym ovanej ovanou ovany ovana ovane ovanu ovala ovali ovalo ujucich ujuceho ujucim ujuca "
    "ujuce ujuci ujeme ujete ujem ujes ujme ujte uje uju"
)
# Nouns made of verbs, and participles
_VERBAL = (
    "aniami aniach aniam anim ania aniu anie ani eniami eniach eniam enim enia eniu enie eni "
    "aneho anemu anych anymi anym anej anou any ana ane anu eneho enemu enych enymi enym enej enou "
    "eny ena ene enu ajucich ajuceho ajucim ajuca ajuce ajuci"
)
_VERBS = "avame avate avaju avam avas ava ajme ajte ame ate aju ala ali alo ime ite ila ili ilo"
_ADJECTIVES = "ejsieho ejsich ejsia ejsie ejsi ieho iemu imi ich iej iou eho emu ych ymi ym ej om"
_NOUNS = "ovia ovmi ov ovi och iach ach iami ami iam am mi ou iu ia ie ii im em eme ete a e i o u y"
_INFINITIVES = ("ovat", "avat", "nut", "iet", "at", "it", "et", "yt")
_ENDINGS = tuple(
    sorted(
        " ".join((_OV, _VERBAL, _VERBS, _ADJECTIVES, _NOUNS)).split(), key=lambda e: (-len(e), e)
    )
)
# Adjectives of a noun, and nouns of an adjective: kardiologický and kardiológ, röntgenový, vlhkosť
_DERIVED = ("ick", "isk", "ost", "ov", "sk", "n")


def stem(word: str) -> str:
    """Return the stem of a word in lower case; never empty, unless the word is."""
    folded = fold(word)
    # ť at the end is an infinitive's; t is a noun's (aparát) as often
    endings = _INFINITIVES if word.endswith("ť") and not word.endswith("sť") else _ENDINGS
    for ending in endings:
        if folded.endswith(ending) and len(folded) - len(ending) >= _LEAST:
            folded = folded[: -len(ending)]
            break
    for ending in _DERIVED:
        rest = folded[: -len(ending)]
        if folded.endswith(ending) and len(rest) > _LEAST and rest[-1] not in _VOWELS:
            folded = rest
            break
    return _one_form(folded)


def _one_form(stem: str) -> str:
    """Return a stem with the vowels that come and go in one form: skúmavka and skúmaviek,
    zamestnanec and zamestnanci lose them, žien and lieky have e; and pacientka as pacient."""
    consonant, rest = stem[-1:], stem[:-1]
    if consonant in set("kcnr") and len(rest) > _LEAST:
        for vowel in ("ie", "o", "e"):
            if rest.endswith(vowel) and rest[-len(vowel) - 1] not in _VOWELS:
                stem = rest[: -len(vowel)] + consonant
                break
    if stem.endswith("k") and len(stem) > _LEAST + 2 and stem[-2] not in _VOWELS:
        stem = stem[:-1]
    return stem.replace("ie", "e")
