"""Opens a bundle: verifies it, then puts its parts to work. The class behind `fieldpack.open`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from .devices import Device
from .errors import BundleCorrupt
from .generator import TextGenerator
from .manifest import Manifest, read_manifest, verify
from .passages import DocumentRecord, Filter, Passage
from .prompt import PromptBuilder, read_prompt
from .rag import Answer, Arm, Event, Rag, Retriever, clean_question, open_retriever
from .ranking import RetrievalSettings


class Expert:
    """An opened bundle. Safe to use from several threads: searches run side by side, answers one after another.

    The language model is loaded at the first answer, so that a search does not wait for it.
    """

    def __init__(self, path: Path, manifest: Manifest, device: Device) -> None:
        self.path = path
        self.manifest = manifest
        self.device = device
        self._chat, self.settings = read_prompt(path)
        self._opening = threading.Lock()
        self._retriever: Retriever | None = None
        self._rag: Rag | None = None

    def search(self, question: str, k: int = 5, *, where: Filter | None = None) -> list[Passage]:
        """The k best passages of the documents that `where` lets through, best first; an empty list in a bundle without
        knowledge.

        Raises EmptyQuestion, QuestionTooLong, ValueError (k < 1)."""
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        question = clean_question(question, self.settings.max_question_chars)
        retriever = self._open_retriever()
        return retriever.search(question, k, where) if retriever else []

    def documents(self, where: Filter | None = None) -> list[DocumentRecord]:
        """The library's documents by path, or those that `where` lets through; empty in a bundle without knowledge."""
        retriever = self._open_retriever()
        return retriever.index.records(where) if retriever else []

    def ask(self, question: str, *, cancel: threading.Event | None = None, arm: Arm | None = None) -> Answer:
        """The whole answer. Raises EmptyQuestion, QuestionTooLong, Cancelled (when `cancel` was set meanwhile)."""
        return self._open_rag().ask(question, cancel=cancel, arm=arm)

    def stream(self, question: str, *, cancel: threading.Event | None = None) -> Iterator[Event]:
        """PassagesFound, TextPiece..., CitationsFound, Done. Close the iterator to stop the model."""
        return self._open_rag().stream(question, cancel=cancel)

    def load(self) -> None:
        """Open the language model now instead of at the first question."""
        self._open_rag()

    def close(self) -> None:
        with self._opening:
            self._rag = self._retriever = None

    def __enter__(self) -> Expert:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _open_retriever(self) -> Retriever | None:
        with self._opening:
            if self._retriever is None and self.manifest.has("knowledge"):
                reranker = self.path / "reranker" if self.manifest.has("reranker") else None
                self._retriever = open_retriever(
                    self.path / "embedder", self.path / "knowledge", RetrievalSettings.read(self.path),
                    reranker=reranker, device=self.device,
                )  # fmt: skip
            return self._retriever

    def _open_rag(self) -> Rag:
        retriever = self._open_retriever()
        with self._opening:
            if self._rag is None:
                generator = self._open_generator()
                builder = PromptBuilder(self._chat, self.settings, generator.count_tokens)
                self._rag = Rag(builder, generator, retriever)
            return self._rag

    def _open_generator(self) -> TextGenerator:
        return TextGenerator.open(self.path / "model", device=self.device, skip_tokens=self._chat.skip_tokens)


def open_bundle(
    path: str | Path, *, provider: str = "cpu", threads: int | None = None, verify_contents: bool = True
) -> Expert:
    """Verify the bundle at `path` (every file's SHA-256, unless `verify_contents` is False: then names and sizes) and
    open it.

    Raises BundleNotFound, BundleCorrupt, BundleUnsupported.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    verify(folder, manifest, contents=verify_contents)
    if not manifest.has("model"):
        raise BundleCorrupt(f"{folder}: no model in the bundle; build it again")
    return Expert(folder, manifest, Device(provider, threads) if threads else Device(provider))
