"""The recipe's `knowledge` section: which documents are read, how they are cut and embedded, and how
passages are found among them. Knows nothing of readers, indexes or languages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fieldpack.language import PLAIN
from fieldpack.retrieval.fusion import RetrievalSettings

from .base import Fraction, Paths, Positive, Section
from .models import ModelSource

_RANKING = RetrievalSettings()  # its defaults are the recipe's


class Chunking(Section):
    """How documents are cut into the pieces that are searched."""

    tokens: Annotated[int, Field(ge=32, le=2048)] = 160
    """Longest chunk, in the embedder's tokens, title and headings included."""
    overlap: Annotated[int, Field(ge=0, le=512)] = 0
    """Tokens that a chunk repeats of the one before it, at most half of `tokens`."""

    @model_validator(mode="after")
    def _smaller(self) -> Chunking:
        if self.overlap * 2 > self.tokens:
            raise ValueError("overlap: more than half of `tokens`")
        return self


class EmbedderSource(ModelSource):
    """The sentence-transformers model that turns chunks and questions into vectors."""

    precision: Literal["auto", "fp32", "int8"] = "fp32"
    """What it ships in. auto: int8 if recall on the recipe's own questions falls by at most one
    point against fp32, else fp32 (also where there are no questions)."""
    query_prefix: str | None = None
    """Put in front of each question; the model's own where none is given."""
    passage_prefix: str | None = None
    """Put in front of each chunk; the model's own where none is given."""


class Retrieval(Section):
    """How passages are found; read by the runtime, so a change makes a new bundle and embeds
    nothing again."""

    renamed = {
        "weight": "vector_weight",
        "names": "name_boost",
        "page": "page_boost",
        "mix": "page_penalty",
        "join": "merge_adjacent",
    }
    vector_weight: Fraction = _RANKING.vector_weight
    """The vectors' share of the fused score; words (BM25) have the rest."""
    phrase_weight: Annotated[float, Field(ge=0, le=2)] = _RANKING.phrase_weight
    """What two neighbouring words of a question count where a text has them side by side, beside what
    each counts by itself."""
    name_boost: Annotated[float, Field(ge=0, le=2)] = _RANKING.name_boost
    """What a document gains for each word of the question that its name has and no other's."""
    page_boost: Fraction = _RANKING.page_boost
    """What a chunk gains from the others found on its page, as a share of their scores."""
    page_penalty: Fraction = _RANKING.page_penalty
    """What a passage loses for each one before it from its page."""
    candidates: Annotated[int, Field(ge=10, le=1000)] = _RANKING.candidates
    """Chunks that vectors and words bring each."""
    merge_adjacent: bool = _RANKING.merge_adjacent
    """Whether neighbours on a page that are both found come as one passage."""
    reranker: ModelSource | None = None
    """A cross-encoder that orders the best passages anew."""
    rerank: Annotated[int, Field(ge=2, le=100)] = _RANKING.rerank
    """How many passages the reranker reads."""


class Knowledge(Section):
    """The documents that answers come from. Leave the section away for a tuned model alone."""

    documents: Paths
    """A folder, a file or a list of them; of several folders a document's name begins with that of
    its folder."""
    embedder: EmbedderSource
    """What turns chunks and questions into vectors."""
    include: list[str] = ["**/*"]
    """Globs of the documents to read."""
    tags: dict[str, list[str]] = {}
    """Glob to the tags of the documents that it matches, to search within."""
    ocr: bool = False
    """Whether scanned pages and images are read, with `fieldpack[ocr]`."""
    hidden: Literal["skip", "read"] = "skip"
    """What becomes of what documents hide (sheets, rows, columns, slides, text, HTML elements,
    comments); skip names it."""
    language: Literal[
        "auto",
        "en",
        "ca",
        "cs",
        "da",
        "de",
        "el",
        "es",
        "et",
        "fi",
        "fr",
        "hu",
        "it",
        "ja",
        "ko",
        "lt",
        "nl",
        "no",
        "pl",
        "pt",
        "ro",
        "ru",
        "sk",
        "sv",
        "th",
        "tr",
        "uk",
        "zh",
    ] = "auto"
    """The documents' language, by which words are stemmed; auto finds it out for each one."""
    vocabulary: Literal["auto", "en-us-filings", "en", "de", "sk", "uk", "none"] = "auto"
    """What readers know of the documents' language and kind: months, units, titles of tables, names
    of forms; auto goes by each document's language, none by columns and type alone."""
    max_file_mb: Positive = 512
    """Larger files are skipped and named."""
    chunk: Chunking = Chunking()
    """How documents are cut."""
    on_error: Literal["warn", "fail"] = "warn"
    """What a broken document means: a warning, or the end of the build."""
    vectors: Literal["f16", "i8"] = "f16"
    """How vectors are stored; i8 takes half the disk."""
    engine: Literal["auto", "onnx", "cuda", "ray"] = "auto"
    """What embeds on the build server; auto is cuda where there is a GPU, else onnx."""
    ray_address: str | None = None
    """The Ray cluster of `engine: ray`; one is started on this machine where none is named."""
    workers: Positive | None = None
    """Processes that read documents; all cores where none is given."""
    retrieval: Retrieval = Retrieval()
    """How passages are found."""

    @property
    def index_language(self) -> str:
        """`language` as `fieldpack.language` has it: English is indexed as text of no known
        language is."""
        return PLAIN if self.language == "en" else self.language

    @property
    def places(self) -> list[str]:
        """What `documents` names, as a list."""
        return [self.documents] if isinstance(self.documents, str) else self.documents
