"""Makes a question a sourced answer or a refusal: retrieve, prompt, generate, cite. Knows nothing
of files on disk, terminals or HTTP."""

from .answer_text import finish, is_refusal, sureness_of
from .pipeline import AnswerOptions, Rag
from .questions import Need, ResolvedQuestion, clean_question, need_of

__all__ = [
    "AnswerOptions",
    "Need",
    "Rag",
    "ResolvedQuestion",
    "clean_question",
    "finish",
    "is_refusal",
    "need_of",
    "sureness_of",
]
