"""Opens a bundle: verifies it, then connects its parts. Holds `fieldpack.open` and `Expert`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from operator import index as whole_number
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from .answers import Answer, Done, Event
from .bundle.manifest import ORIGINALS, Manifest, original_path, read_manifest, verify
from .bundle.seal import Seal
from .bundle.targets import AUTO, CPU
from .devices import Device
from .errors import BundleCorrupt, BundleUnsupported, NoSuchPassage
from .generation.json_schemas import check_schema
from .memory import fit_context, model_context
from .passages import MAX_PASSAGES, Chunk, DocumentRecord, Filter, Passage, PassageContext, Previous
from .prompt import PromptBuilder, PromptSettings, read_prompt
from .rag import AnswerOptions, Rag, clean_question
from .retrieval.fusion import RetrievalSettings
from .untrusted import reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .bundle.targets import Target
    from .generation.engine import Engine
    from .retrieval.retriever import Retriever
    from .targets.choice import Chosen

# Tokens of context beside the answer: system text, question, and a passage worth reading.
_MIN_PROMPT_TOKENS = 192


class Expert:
    """An opened bundle. Safe to use from several threads: searches run side by side, answers one
    after another.

    The language model is loaded at the first answer, so that a search does not wait for it. Its KV
    cache is kept: the next prompt is read from where it differs.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        device: Device,
        *,
        memory_mb: float | None = None,
        speculate: bool = True,
        seal: Seal | None = None,
        target: str = CPU,
        state: Path | None = None,
    ) -> None:
        """`target` and `state` as in `open_bundle`. `seal`: the verified state of the files.
        Without one the files are trusted: the build measures what it has just made, and wants its
        errors as they are."""
        self.path = path
        self._seal = seal
        self.manifest = manifest
        self.device = device
        self._originals = frozenset(
            PurePosixPath(one.path).stem for one in manifest.files if one.role == ORIGINALS
        )
        self._chat, self.settings = read_prompt(path)
        if not manifest.has("model") and not (manifest.has("knowledge") and self.settings.quoting):
            raise BundleCorrupt(f"{path}: no model in the bundle; build it again")
        max_context = self.settings.max_context
        if (model_limit := model_context(path)) is not None:
            max_context = min(max_context, model_limit)
        if memory_mb is not None:
            max_context = fit_context(
                path,
                manifest,
                memory_mb,
                max_context=max_context,
                min_context=self.settings.max_answer_tokens + _MIN_PROMPT_TOKENS,
            )
        self.settings = replace(self.settings, max_context=max_context)
        self._speculate = speculate
        self._target, self._state = target, state
        self._chosen: Chosen | None = None  # the CPU, whose engine is opened here
        self._opening = threading.Lock()
        self._retriever: Retriever | None = None
        self._rag: Rag | None = None
        self._lender: Expert | None = None

    def search(self, question: str, k: int = 5, *, where: Filter | None = None) -> list[Passage]:
        """Return the k best passages of the documents that `where` lets through, best first; an
        empty list in a bundle without knowledge.

        Raises EmptyQuestion, QuestionTooLong, TypeError (k is no whole number), ValueError (k is
        less than 1 or more than MAX_PASSAGES)."""
        k = whole_number(k)
        if not 1 <= k <= MAX_PASSAGES:
            raise ValueError(f"k must be 1 to {MAX_PASSAGES:,}, not {k:,}")
        question = clean_question(question, self.settings.max_question_chars)
        with self._reading():
            retriever = self._open_retriever()
            return retriever.search(question, k, where) if retriever else []

    def documents(self, where: Filter | None = None) -> list[DocumentRecord]:
        """Return the library's documents by path, or those that `where` lets through; none in a
        bundle without knowledge."""
        with self._reading():
            retriever = self._open_retriever()
            return retriever.index.records(where) if retriever else []

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages whose words the library's documents are indexed by; "" stands for English
        and for those that are not known."""
        with self._reading():
            retriever = self._open_retriever()
            return retriever.index.languages if retriever else ()

    def passage(self, chunk_id: int) -> Passage:
        """Return a passage by its `chunk_id`, with score and similarity 0. Raises NoSuchPassage."""
        with self._reading():
            return self._knowledge().index.passage(chunk_id)

    def chunks(self, document: str) -> list[tuple[int, Chunk]]:
        """Return a document's chunks with their ids, in reading order; none for a document that the
        library does not hold. Raises NoSuchPassage in a bundle without knowledge."""
        with self._reading():
            return self._knowledge().index.chunks(document)

    def original_of(self, document: str) -> str | None:
        """Return the SHA-256 of a document's source PDF, by which `open_original` opens it; None
        where the bundle does not carry it (`bundle.originals`)."""
        if not self.manifest.has(ORIGINALS):
            return None
        with self._reading():
            digest = self._knowledge().index.sha256_of(document)
            return digest if digest in self._originals else None

    def open_original(self, sha256: str) -> BinaryIO:
        """Open a source PDF for reading; close it. What it holds is foreign: give it to a process
        that may die of it. Raises NoSuchPassage for one that the bundle does not carry."""
        if sha256 not in self._originals:
            raise NoSuchPassage(f"{self.path}: has no source PDF {sha256!r}")
        with self._reading():
            file = (self.path / original_path(sha256)).open("rb")
        try:
            self._check(opening=True)
        except BundleCorrupt:
            file.close()
            raise
        return file

    def context(
        self, chunk_id: int, *, characters: int = 1500, end: int | None = None
    ) -> PassageContext:
        """Return a passage with at most `characters` of its page's text on each side. `end`: the
        passage's, which is further than its chunk's where it was joined of two. Raises
        NoSuchPassage."""
        with self._reading():
            return self._knowledge().index.context(chunk_id, end, characters)

    def embed(self, texts: Sequence[str], *, query: bool = False) -> NDArray[np.float32]:
        """Return unit vectors of n texts, [n, dim], as the library's passages are embedded, or with
        `query` as questions are. Raises NoSuchPassage in a bundle without knowledge."""
        import numpy as np

        with self._reading():
            embedder = self._knowledge().embedder
            if not query or not texts:
                return embedder.embed_passages(texts)
            return np.stack([embedder.embed_query(text) for text in texts])

    def count_embedded_tokens(self, texts: Sequence[str], *, query: bool = False) -> int:
        """Return how many tokens the embedder reads of `texts` when `embed` is called with them.
        Raises NoSuchPassage in a bundle without knowledge."""
        with self._reading():
            return self._knowledge().embedder.count_read(texts, query=query)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens of the language model `text` has, or of the embedder in a bundle
        without one."""
        with self._reading():
            return self._open_rag().builder.count_tokens(text)

    def ask(
        self,
        question: str,
        *,
        cancel: threading.Event | None = None,
        options: AnswerOptions | None = None,
        previous: Previous | None = None,
        where: Filter | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Return the whole answer; arguments as in `stream`, and `options` for evaluation. Raises
        EmptyQuestion, QuestionTooLong, Cancelled (when `cancel` was set meanwhile), QuestionError
        (a schema that cannot be followed)."""
        schema_text = _schema_text(schema)
        with self._reading():
            return self._open_rag().ask(
                question,
                cancel=cancel,
                options=options,
                previous=previous,
                where=where,
                schema=schema_text,
            )

    def stream(
        self,
        question: str,
        *,
        cancel: threading.Event | None = None,
        previous: Previous | None = None,
        where: Filter | None = None,
        schema: Mapping[str, Any] | None = None,
        begun: str = "",
    ) -> Iterator[Event]:
        """Yield PassagesFound, QuoteFound (before a model's answer, where a passage's words are near
        enough), TextPiece..., CitationsFound, Done. Close the iterator to stop the model.

        `previous`: what a follow-up refers to. `where`: which documents may answer. `schema`: a
        JSON schema that the answer's text then follows; such an answer has no citations. `begun`:
        the text of an answer to this question that was cut (`Answer.cut`), to go on from. Raises as
        `ask` does."""
        schema_text = _schema_text(schema)
        with self._reading():
            events = self._open_rag().stream(
                question,
                cancel=cancel,
                previous=previous,
                where=where,
                schema=schema_text,
                begun=begun,
            )

        def checked() -> Iterator[Event]:
            with reading(self.path) if self._seal else nullcontext():
                for event in events:
                    if isinstance(event, Done):
                        self._check()
                    yield event

        return checked()

    def read_ahead(
        self,
        question: str = "",
        *,
        previous: Previous | None = None,
        where: Filter | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        """Search for a question that is still being typed and let the model read the passages, so
        that its answer begins at once if they stay the same. Set `cancel` (raises Cancelled) when
        more was typed or the question is asked."""
        with self._reading():
            self._open_rag().read_ahead(question, previous=previous, where=where, cancel=cancel)

    def borrow_models(self, other: Expert) -> None:
        """Use the models that `other` has open in place of opening the very same files once more,
        when this expert opens its own. `other` may go on answering meanwhile, and be closed."""
        self._lender = other

    def load(self) -> None:
        """Open all models now instead of at the first question, and read what every prompt begins
        with. Raises BundleCorrupt, BundleUnsupported."""
        with self._reading():
            self._open_rag().read_ahead()

    @property
    def damaged(self) -> str:
        """Why nothing can be read any more, since files of the bundle changed after it was opened;
        empty while they have not."""
        return self._seal.broken if self._seal else ""

    def withdraw(self, why: str) -> None:
        """Answer nothing any more: from now on every question raises BundleCorrupt with `why`."""
        if self._seal is not None:
            self._seal.broken = why

    def close(self) -> None:
        """Give the models' memory back."""
        with self._opening:
            self._rag = self._retriever = self._lender = None

    def __enter__(self) -> Expert:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Wrap whatever reads the bundle: check before and after that its files are those that were
        verified, and raise BundleCorrupt for what is wrong in them."""
        self._check()
        with reading(self.path) if self._seal else nullcontext():
            yield
        self._check()

    def _check(self, *, opening: bool = False) -> None:
        if self._seal:
            self._seal.check(opening=opening)

    def _knowledge(self) -> Retriever:
        """Return the retriever. Raises NoSuchPassage in a bundle without knowledge."""
        retriever = self._open_retriever()
        if retriever is None:
            raise NoSuchPassage(f"{self.path}: a bundle without documents; it has no passages")
        return retriever

    def _open_retriever(self) -> Retriever | None:
        with self._opening:
            if self._retriever is None:
                self._retriever = self._make_retriever()
                self._check(opening=True)
            return self._retriever

    def _make_retriever(self) -> Retriever | None:
        if not self.manifest.has("knowledge"):
            return None
        from .retrieval.retriever import open_retriever

        reranker = self.path / "reranker" if self.manifest.has("reranker") else None
        lent = self._lender._retriever if self._lender and self._has_same("embedder") else None
        return open_retriever(
            lent.embedder.moved(self.path / "embedder") if lent else self.path / "embedder",
            self.path / "knowledge",
            RetrievalSettings.read(self.path),
            reranker=reranker,
            device=self.device,
        )

    def _open_rag(self) -> Rag:
        with self._opening:
            if self._rag is None:
                # In two threads: both mostly wait for the disk and for onnxruntime.
                with ThreadPoolExecutor(1) as pool:
                    opened = pool.submit(lambda: self._retriever or self._make_retriever())
                    generator = self._open_generator() if self.manifest.has("model") else None
                    self._retriever = opened.result()
                self._check(opening=True)
                self._lender = None
                counter = generator or (self._retriever and self._retriever.embedder)
                assert counter
                builder = PromptBuilder(self._chat, self.settings, counter.count_tokens)
                self._rag = Rag(builder, generator, self._retriever)
            return self._rag

    @property
    def runs_on(self) -> str:
        """What the language model runs on: `cpu`, or a target's name. Opens it."""
        with self._reading():
            self._open_rag()
        return self._chosen.name if self._chosen else CPU

    @property
    def runs_on_because(self) -> str:
        """A sentence on what the language model runs on and which targets were passed over; empty
        before it is open, and where the CPU was all that was wanted."""
        return self._chosen.says if self._chosen else ""

    def _has_same(self, folder: str) -> bool:
        """Whether the lender's files of a folder are the same, by their hashes, and run on the same
        device."""

        def files(manifest: Manifest) -> set[tuple[str, str]]:
            inside = (entry for entry in manifest.files if entry.path.startswith(f"{folder}/"))
            return {(entry.path, entry.sha256) for entry in inside}

        lender, mine = self._lender, files(self.manifest)
        return (
            lender is not None
            and not lender.damaged
            and lender.device == self.device
            and bool(mine)
            and files(lender.manifest) == mine
        )

    def _lent_generator(self) -> Engine | None:
        """Return the lender's language model where it is open on the CPU, and would be opened here
        in the same way; of a bundle with targets each opens its own."""
        lender = self._lender
        if lender is None or lender._rag is None or not self._has_same("model"):
            return None
        same = (
            lender._target == self._target
            and lender._speculate == self._speculate
            and lender._chat.skip_tokens == self._chat.skip_tokens
        )
        if not same or lender.manifest.targets or self.manifest.targets:
            return None
        if lender._chosen is not None and lender._chosen.engine is not None:
            return None
        self._chosen = lender._chosen
        return lender._rag.generator

    def _open_generator(self) -> Engine:
        from .generation.generator import TextGenerator

        if (lent := self._lent_generator()) is not None:
            return lent
        if self._target != CPU:
            self._chosen = self._choose()
        if self._chosen is not None and self._chosen.engine is not None:
            assert self._chosen.target
            self.settings = self._settings_on(self._chosen.target)
            return self._chosen.engine
        return TextGenerator.open(
            self.path / "model",
            device=self.device,
            skip_tokens=self._chat.skip_tokens,
            speculate=self._speculate,
        )

    def _choose(self) -> Chosen:
        from .targets.choice import choose  # here: few bundles have targets
        from .targets.engines import Opening

        retriever: Retriever | None = None

        def ask(engine: Engine, target: Target, question: str) -> Answer:
            nonlocal retriever
            retriever = retriever or self._make_retriever()
            builder = PromptBuilder(self._chat, self._settings_on(target), engine.count_tokens)
            return Rag(builder, engine, retriever).ask(question)

        opening = Opening(
            self.path,
            self.device.threads,
            self._chat.skip_tokens,
            self.settings.max_context,
            self._speculate,
        )
        return choose(self.manifest, self._target, opening, ask, state=self._state)

    def _settings_on(self, target: Target) -> PromptSettings:
        """The bundle's settings with a context that the target's compiled shapes take: of a long
        prompt the last passages are left out. Raises BundleUnsupported where no passage would fit.
        """
        answer = self.settings.max_answer_tokens
        if target.prompt_limit is None or target.total_limit is None:
            return self.settings
        if (
            target.total_limit - target.prompt_limit < answer
            or target.prompt_limit < _MIN_PROMPT_TOKENS
        ):
            raise BundleUnsupported(
                f"{target.name}: was compiled for prompts of {target.prompt_limit:,} tokens and "
                f"{target.total_limit:,} in all; this bundle wants {_MIN_PROMPT_TOKENS:,} and "
                f"answers of {answer:,}"
            )
        return replace(
            self.settings, max_context=min(self.settings.max_context, target.prompt_limit + answer)
        )


def _schema_text(schema: Mapping[str, Any] | None) -> str | None:
    """Return a JSON schema as text. Raises QuestionError for one that is too large."""
    if schema is None:
        return None
    check_schema(schema)
    return json.dumps(schema)


def open_bundle(
    path: str | Path,
    *,
    provider: str = "cpu",
    threads: int | None = None,
    verify_contents: bool = True,
    memory_mb: float | None = None,
    speculate: bool = True,
    target: str | None = None,
    state: Path | None = None,
) -> Expert:
    """Verify the bundle at `path` (every file's SHA-256, unless `verify_contents` is False: then
    names and sizes) and open it.

    `memory_mb`: how much memory the process may take; the context, and with it the passages that
    are read, are made to fit. `speculate`: let the model confirm several drafted tokens at once,
    where that is faster; the text is the same with and without.

    `target`: what the language model runs on. `cpu`; the name of one of the bundle's targets, taken
    strictly (a name that nothing has is refused here, in a bundle without a model, too); an
    execution provider, for the bundle's own ONNX model; or `auto`, the first of the bundle's
    targets that answers its golden questions here as it should, and else the CPU. `state`: a folder
    that remembers how the questions came out. `provider` is an older word for `target`.

    Raises BundleNotFound, BundleCorrupt, BundleUnsupported.
    """
    folder = Path(path)
    try:
        str(folder.absolute()).encode()
    except UnicodeEncodeError:
        raise BundleUnsupported(
            f"{folder}: the path is no UTF-8, which the engines cannot open; rename the folder"
        ) from None
    manifest = read_manifest(folder)
    if (name := target or provider) not in (CPU, AUTO):
        from .targets.choice import named_target  # here: few bundles have targets

        named_target(manifest, name)
    seal = Seal(folder, manifest, verify(folder, manifest, contents=verify_contents))
    device = Device(CPU, threads) if threads else Device(CPU)
    return Expert(
        folder,
        manifest,
        device,
        memory_mb=memory_mb,
        speculate=speculate,
        seal=seal,
        target=name,
        state=state,
    )
