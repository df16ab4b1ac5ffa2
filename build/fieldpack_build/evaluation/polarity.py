"""Words by which a text says yes, no or not, by language. Knows nothing of questions or figures."""

from __future__ import annotations

import re
from collections.abc import Collection

from fieldpack.language import PLAIN

# (yes, no, not: words that turn a sentence into its opposite). Languages that negate inside a word
# (Czech, Slovak, Lithuanian, Turkish) or are written without blanks are not here.
_WORDS: dict[str, tuple[str, str, str]] = {
    PLAIN: (
        "yes",
        "no",
        "no not never none neither nor nobody nothing nowhere without cannot",
    ),
    "ca": ("sí", "no", "no mai cap ni sense res ningú tampoc"),
    "da": ("ja jo", "nej", "ikke ingen intet aldrig uden hverken"),
    "de": (
        "ja doch",
        "nein",
        "nicht nie niemals nichts niemand kein keine keinem keinen keiner keines ohne weder",
    ),
    "el": ("ναι", "όχι", "δεν δε μην όχι χωρίς ποτέ κανένας καμία κανένα τίποτα ούτε"),
    "es": ("sí", "no", "no nunca jamás ningún ninguna ninguno nadie nada ni sin tampoco"),
    "et": ("jah", "ei", "ei mitte ära ärge ilma pole keegi"),
    "fi": ("kyllä", "ei", "ei en et emme ette eivät älä älkää ilman"),
    "fr": (
        "oui si",
        "non",
        "ne n pas non jamais aucun aucune rien personne ni sans",
    ),
    "hu": ("igen", "nem", "nem ne nincs nincsenek sem soha sose nélkül senki semmi tilos"),
    "it": ("sì", "no", "non no nessun nessuna nessuno niente nulla senza neppure"),
    "nl": ("ja", "nee", "niet geen nooit niets niemand nee zonder noch"),
    "no": ("ja jo", "nei", "ikke ingen intet ingenting aldri uten verken"),
    "pl": ("tak", "nie", "nie nigdy żaden żadna żadne żadnych nic nikt bez ani brak"),
    "pt": ("sim", "não", "não nunca jamais nenhum nenhuma ninguém nada nem sem"),
    "ro": ("da", "nu", "nu niciodată niciun nicio nimeni nimic nici fără"),
    "ru": ("да", "нет", "не нет ни никогда никто ничего нельзя без"),
    "sv": ("ja jo", "nej", "inte ej icke ingen inget inga aldrig utan varken"),
    "uk": ("так", "ні", "не ні немає нема ніколи ніхто нічого без"),
}
_WORD = re.compile(r"\w+")
_CONTRACTED = re.compile(r"n['’]t\b", re.IGNORECASE)  # isn't, won't


def is_known(languages: Collection[str]) -> bool:
    """Return whether a sentence in any of these languages can be told from its opposite; with none
    named they are taken for English."""
    return all(language in _WORDS for language in languages)


def begins_with(text: str, languages: Collection[str]) -> bool | None:
    """Return whether a text begins with yes (True) or no (False), None where with neither."""
    first = _WORD.search(text)
    word = first.group().casefold() if first else ""
    for place, says in ((0, True), (1, False)):
        if word in _words(languages, place):
            return says
    return None


def without_beginning(text: str, languages: Collection[str]) -> str:
    """Return a text without the yes or no that it begins with."""
    first = _WORD.search(text)
    if first is None or begins_with(text, languages) is None:
        return text
    return text[first.end() :]


def is_negated(text: str, languages: Collection[str]) -> bool:
    """Return whether a text says that something is not so."""
    words = {word.casefold() for word in _WORD.findall(text)}
    return bool(words & _words(languages, 2)) or _CONTRACTED.search(text) is not None


def polar_words(languages: Collection[str]) -> frozenset[str]:
    """Return all of these words, in small letters."""
    return frozenset().union(*(_words(languages, place) for place in range(3)))


def _words(languages: Collection[str], place: int) -> frozenset[str]:
    return frozenset(
        word.casefold()
        for language in languages or (PLAIN,)
        for word in _WORDS.get(language, ("", "", ""))[place].split()
    )
