"""Makes a question a sourced answer or a refusal: retrieve, prompt, generate, cite. Knows nothing
of files on disk, terminals or HTTP."""

from .answer_text import finish, is_refusal, sureness_of
from .pipeline import AnswerOptions, Rag
from .questions import ResolvedQuestion, choose_follow_up, clean_question

__all__ = [
    "AnswerOptions",
    "Rag",
    "ResolvedQuestion",
    "choose_follow_up",
    "clean_question",
    "finish",
    "is_refusal",
    "sureness_of",
]
