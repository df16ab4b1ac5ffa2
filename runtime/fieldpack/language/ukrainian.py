"""A light stemmer for Ukrainian, which Snowball has none for.

It takes off reflexive -ся, then the longest ending of a verb, adjective or noun, in the order of
Snowball's Russian stemmer; the endings are those of the paradigms in Ukrainian grammars (four
declensions of nouns, hard and soft adjectives, two conjugations). Then і in the last syllable,
which stands for о in closed ones (пліт, плоти), becomes о, and vowels that come and go (шлюпка,
шлюпок) go. It is no judge of meaning: words of one root may part, and a few of different roots
meet.
"""

from __future__ import annotations

import re

_VOWELS = "аеєиіїоуюя"
_LEAST = 3  # letters that stay at least

# -увати and what is made of it: лікувати, лікує, лікування
_UVATY = (
    "уванням уваннях ування уванню уваний увана уване увані уваного уваної уваних уваними увань "
    "увано увати ював ювати ювання юванню ювано ував увала увало ували ювала ювали уємо уєте ують "
    "уєш уєть ує уй уйте юємо юють ює"
)
# nouns made of verbs, participles, impersonal forms
_VERBAL = (
    "анням аннями аннях ання анню ань енням еннями еннях ення енню ень інням іння інню уттям уття "
    "янням яння янню аний ане ані аного аному аної аних аними аною ано ений ене ені еного еному "
    "еної ених еними еною ено"
)
# Infinitives; present and imperative. Of the past only -ував above: сигнали are no past, as
# писали is, and manuals have more of them.
_VERBS = (
    "ати яти ити іти їти ути аємо аєте ають аєш ає яємо яєте яють яєш яє имо ите ить иш ять емо "
    "ете еш уть ють їть їмо айте яйте"
)
_ADJECTIVES = "ого ому ими їми их їх им їм ій ої ою ий его ему"
_NOUNS = "ами ями ах ях ам ям ом ем єм ею єю ові еві єві ів їв ей а я у ю и і ї о е є ь й"
_ENDINGS = tuple(
    sorted(
        {*" ".join((_UVATY, _VERBAL, _VERBS, _ADJECTIVES, _NOUNS)).split()},
        key=lambda e: (-len(e), e),
    )
)
# Nouns of an adjective, adjectives of a noun: вологість and вологий, паливний and паливо
_DERIVED = ("ість", "іст", "ост", "ськ", "цьк", "ов", "н")
# мити, миють: too short for the endings above
_SHORT_VERB = re.compile("([бмплш]и)(?:ти|ють|єш|є|ємо|єте|йте)")


def stem(word: str) -> str:
    """Return the stem of a word in lower case; never empty, unless the word is."""
    word = word.replace("ґ", "г")
    if word.endswith(("ся", "сь")) and len(word) > _LEAST + 2:
        word = word[:-2]
    if short := _SHORT_VERB.fullmatch(word):
        return short[1]
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST:
            word = word[: -len(ending)]
            break
    for ending in _DERIVED:
        rest = word[: -len(ending)]
        if word.endswith(ending) and len(rest) > _LEAST and rest[-1] not in _VOWELS:
            word = rest
            break
    return _one_form(word.replace("ь", "") or word)


def _one_form(stem: str) -> str:
    """Return a stem with what changes inside it in one form: навантаження has one н, шлюпок no о,
    руці к, and пліт о; перевірка is перевір- as перевірити."""
    if len(stem) > _LEAST and stem[-1] == stem[-2]:
        stem = stem[:-1]
    if (
        len(stem) > _LEAST + 1
        and stem[-1] in "кцн"
        and stem[-2] in "оеє"
        and stem[-3] not in _VOWELS
    ):
        stem = stem[:-2] + stem[-1]
    if stem.endswith("ц") and len(stem) > _LEAST:
        stem = stem[:-1] + "к"
    if stem.endswith("к") and len(stem) > _LEAST + 2 and stem[-2] not in _VOWELS:
        stem = stem[:-1]
    last = max((stem.rfind(vowel) for vowel in _VOWELS), default=-1)
    return f"{stem[:last]}о{stem[last + 1 :]}" if last >= 0 and stem[last] == "і" else stem
