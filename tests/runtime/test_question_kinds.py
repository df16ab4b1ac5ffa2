"""What a question asks for, by language: yes or no, an amount, a figure to work out. And how sure a
written answer is where its words stand in other forms than the quote's."""

from __future__ import annotations

import pytest

from fieldpack.language import question_kinds
from fieldpack.passages import Citation, Passage
from fieldpack.rag import sureness_of
from fieldpack.retrieval.quoting import Quote, is_direct
from fieldpack.retrieval.sufficiency import lacks_figure

YES_NO = {
    "sk": (
        "Môžem priviesť psa do čakárne?",
        "Je parkovanie zadarmo?",
        "Moze mi navsteva priniest kvety?",
        "Nesmie sa tu fotiť?",
        "Či treba žiadosť podpísať?",
        "Nie je možné prísť skôr?",
        "Ak sa porežem, musím to hlásiť?",
        "Som chorý. Mám zavolať?",
    ),
    "uk": (
        "Чи можна брати собаку?",
        "Можна тут палити?",
        "Є знижка для дітей?",
        "Якщо йде дощ, потрібно повертатися?",
        "Обов'язково треба мати жилет?",
        "Повинен я підписати журнал?",
    ),
    "de": (
        "Brauche ich für einen Hund eine Erlaubnis?",
        "Gilt das auch für Aushilfen?",
        "Muessen die Tueren zu sein?",
        "Dürfte ich früher gehen?",
        "Wenn ich krank bin, muss ich anrufen?",
    ),
}
WORDS_CAN_SAY = {
    "sk": (
        "Kto rozhodne, či je postup správny?",
        "Kde sa platí poplatok?",
        "Čo mám robiť, keď vypadne prúd?",
        "Koľko stojí parkovanie?",
        "O koľko dní príde výsledok?",
    ),
    "uk": (
        "Хто вирішує, чи потрібен ремонт?",
        "На скільки місяців контракт?",
        "Де зберігають шлюпки?",
        "Скільки коштує квиток?",
        "Що робити, якщо немає світла?",
    ),
    "de": (
        "Es gibt keinen Strom, was tun?",
        "Was mache ich, wenn der Zähler defekt ist?",
        "Wem melde ich, dass etwas fehlt?",
        "Wie lange, höchstens, gilt das?",
        "Um wie viel Uhr wird abgeladen?",
    ),
}
WANTS_AMOUNT = {
    "sk": (
        "Koľko stojí parkovanie?",
        "Kolko dni ma dovolenka?",
        "Aká je cena očkovania?",
        "Ako dlho trvá odber?",
        "V akej výške je pokuta?",
        "Aká veľká môže byť batožina?",
        "O koľko je drahšia jednoposteľová izba?",
        "Aký je príplatok za nočné zmeny?",
    ),
    "uk": (
        "Скільки коштує квиток?",
        "Яка вартість оренди човна?",
        "Як довго чекати?",
        "На скільки дорожчий груповий квиток?",
        "Яка максимальна швидкість?",
    ),
    "de": (
        "Wie hoch ist die Mahngebühr?",
        "Was kostet ein Ersatzschlüssel?",
        "Wie gross darf die Markise sein?",
        "Welche Höchstdauer gilt?",
        "Wieviel teurer ist die Garage?",
    ),
}
WANTS_NONE = {
    "sk": ("Kto platí poplatok?", "Kde je cenník?", "Od koho závisí cena?", "Je tam limit?"),
    "uk": ("Хто платить штраф?", "У кого запитати про ціну?", "Чи є ліміт?", "Що таке шлюпка?"),
    "de": (
        "Wer zahlt die Reinigungskosten?",
        "Bei wem beantrage ich den Preisnachlass?",
        "Gilt das Limit immer?",
        "Wo liegt die Grenze des Grundstücks?",
    ),
}


def rows(questions: dict[str, tuple[str, ...]]) -> list[object]:
    return [pytest.param(q, id=f"{code}: {q}") for code, own in questions.items() for q in own]


@pytest.mark.parametrize("question", rows(YES_NO))
def test_a_question_for_yes_or_no_is_not_answered_by_a_quote_alone(question: str) -> None:
    assert not is_direct(question)


@pytest.mark.parametrize("question", rows(WORDS_CAN_SAY))
def test_a_question_that_words_can_answer_is_direct(question: str) -> None:
    assert is_direct(question)


@pytest.mark.parametrize(
    "question",
    [
        "O koľko je drahšia izba?",
        "Koľko je spolu dní?",
        "Aký je rozdiel medzi cenami?",
        "На скільки дорожчий квиток?",
        "Скільки всього місць?",
        "Яка різниця між тарифами?",
        "Wie viel teurer ist die Garage?",
        "Wie viele Plätze sind es insgesamt?",
    ],
)
def test_a_figure_to_work_out_is_not_in_the_documents_words(question: str) -> None:
    assert not is_direct(question)


@pytest.mark.parametrize("question", rows(WANTS_AMOUNT))
def test_an_amount_is_lacking_where_the_quote_has_no_figure(question: str) -> None:
    assert lacks_figure(question, "—")
    assert not lacks_figure(question, "40")


@pytest.mark.parametrize("question", rows({**WANTS_NONE, "yes or no": YES_NO["sk"]}))
def test_no_amount_is_wanted_of_a_person_a_place_or_yes_and_no(question: str) -> None:
    assert not lacks_figure(question, "—")


def test_each_language_is_judged_by_its_own_words() -> None:
    # Spanish "es" and Slovak "je" begin questions for yes or no; German "es" and French "je" do not.
    assert is_direct("Es fehlt der Schlüssel, wer hilft mir?")
    assert is_direct("Je cherche la clé, où est-elle ?")
    assert not is_direct("¿Es alto el precio?") and not is_direct("Je tu bufet?")
    assert question_kinds("Kde je to?") is question_kinds("Kam to dám?")


QUOTES = {
    "sk": (
        "Skúmavky sa odnášajú do laboratória každú hodinu.",
        "Kam s odberom?",
        "Do laboratórií, každú hodinu.",
        "Na recepciu, každú hodinu.",
    ),
    "uk": (
        "Рятувальні плоти перевіряє берегова станція.",
        "Хто це робить?",
        "Берегові станції.",
        "Берегові капітани.",
    ),
    "de": (
        "Die Prüfung der Anlagen übernimmt der Schichtführer.",
        "Wer macht das?",
        "Schichtführern, Prüfungen.",
        "Schichtführern, Wartungen.",
    ),
}


@pytest.mark.parametrize("language", sorted(QUOTES))
def test_a_written_answer_is_compared_in_the_forms_of_its_language(language: str) -> None:
    said, question, same, other = QUOTES[language]
    read = Passage(1, "a.md", "", None, (), said, 1.0, 0.5, 0, len(said))
    quote = Quote(said, Citation("a.md", None, said, 1), 1.0, 0.8, True, True)

    def sureness(text: str, languages: tuple[str, ...] = (language,)) -> float:
        sure = sureness_of(text, question, quote, (read,), languages)
        assert sure is not None
        return sure

    assert sureness(same) == 0.8
    assert sureness(same, ()) < 0.8, "as they are, the words differ"
    assert 0.0 < sureness(other) < 0.8
