"""Training rows and test questions: files of several kinds and shapes in, typed rows out; what is
wrong with them is found before anything is trained. Knows nothing of models beyond a tokenizer's
counts."""

from .load import read_examples, read_questions
from .rows import Example, TestQuestion

__all__ = ["Example", "TestQuestion", "read_examples", "read_questions"]
