"""How the words of a text are written into the index, and looked for again, by the text's language.

The build indexes a document and the device searches a question through the same functions, so that
the two always agree. Knows nothing of indexes, documents' formats or how a language is detected.
"""

from .analysis import LANGUAGES, PLAIN, Analyzer, analysis_version, analyzer, same_analysis
from .compounds import COMPOUNDING, cuts, joined
from .decimals import decimal_mark
from .folding import fold
from .follow_ups import FollowUpMarks, follow_up_marks
from .ngrams import UNSPACED_LETTERS, is_unspaced, ngram_spans
from .question_kinds import QuestionKinds, question_kinds
from .question_words import question_words, spoken_languages, spoken_question_words
from .sentences import sentence_ends, sentence_spans

__all__ = [
    "COMPOUNDING",
    "LANGUAGES",
    "PLAIN",
    "UNSPACED_LETTERS",
    "Analyzer",
    "FollowUpMarks",
    "QuestionKinds",
    "analysis_version",
    "analyzer",
    "cuts",
    "decimal_mark",
    "fold",
    "follow_up_marks",
    "is_unspaced",
    "joined",
    "ngram_spans",
    "question_kinds",
    "question_words",
    "same_analysis",
    "sentence_ends",
    "sentence_spans",
    "spoken_languages",
    "spoken_question_words",
]
