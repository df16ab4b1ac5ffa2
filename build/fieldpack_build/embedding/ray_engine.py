"""Embeds on a Ray cluster: the runtime's embedder in a pool of actors, windows out, vectors back in
order. A worker that dies is started again and its window is embedded again; the vectors are the
ones this machine would have made. Knows nothing of documents.

What is sent to a worker: the embedder's files (by the object store: hosts share no disk), the code
of this project and windows of texts. The worker's Python needs onnxruntime, tokenizers and numpy in
the versions of this machine.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import fieldpack
from fieldpack.child import last_line
from fieldpack.devices import available_cores
from fieldpack.retrieval.embedder import Embedder

from ..errors import MachineError, StageError
from ..pipeline.store import RECEIPT
from .agreement import CANARIES, require_agreement
from .engine import WINDOW, EngineFacts, windows
from .ray_worker import EmbeddingWorker, WorkerIdentity, versions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CONNECT_SECONDS = 5.0
# a cold host unpacks the code and reads the model; on a busy cluster no core may come free at all
_START_SECONDS = 90.0
# restarts of one worker, tries of one window: a text that kills its process must not kill it for
# ever
_RETRIES = 3
_IN_FLIGHT = 2  # windows a worker has: it never waits for the driver
# a model above it is held once for four cores, not once a core: 64 copies of 600 MB fill a host
_LARGE_MB = 300
_MAX_WORKERS = 256


@dataclass(frozen=True)
class _Pool:
    """The workers that embed. `model`: its files in the object store, which a worker that is
    restarted reads again."""

    workers: tuple[Any, ...]
    identities: tuple[WorkerIdentity, ...]
    cosine: float
    model: tuple[Any, ...]


class RayEngine:
    """Embeds on a cluster. `open` connects (or starts a cluster on this machine's loopback, for no address) and proves
    every worker. Close it: what it started ends with it."""

    def __init__(
        self, ray: Any, pool: _Pool, dim: int, address: str | None, scratch: TemporaryDirectory[str]
    ) -> None:
        self._ray, self._pool, self._dim = ray, pool, dim
        self._address, self._scratch = address, scratch
        self.block = WINDOW * _IN_FLIGHT * max(2, len(pool.workers))

    @classmethod
    def open(
        cls,
        folder: Path,
        address: str | None,
        note: Callable[[str], None],
        *,
        cores: int | None = None,
    ) -> RayEngine:
        """Start the workers and prove them. `cores`: of the local cluster, this machine's if None.
        Raises MachineError (no ray, no
        cluster, no free core, other versions on a worker), CheckFailed (a worker's canary vectors
        differ from this machine's)."""
        scratch = TemporaryDirectory(prefix="fp-ray-", ignore_cleanup_errors=True)
        note(
            "starting a local Ray cluster"
            if address is None
            else f"connecting to the Ray cluster at {address}"
        )
        files = sorted(
            path
            for path in folder.rglob("*")
            if path.is_file() and path.name not in (RECEIPT, "log.txt")
        )
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        ray = _connect(address, cores or available_cores(), megabytes, scratch.name)
        try:
            embedder = Embedder.open(folder)
            pool = _start_pool(ray, folder, files, 1 if megabytes < _LARGE_MB else 4, embedder)
        except BaseException:
            ray.shutdown()
            scratch.cleanup()
            raise
        note(
            f"{len(pool.workers)} Ray workers on {len({one['host'] for one in pool.identities})} "
            "hosts embed"
        )
        return cls(ray, pool, embedder.settings.dim, address, scratch)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages, as `Engine.embed` says. Raises MachineError when every worker has died for
        good, StageError when one fails."""
        import numpy as np

        vectors = np.zeros((len(texts), self._dim), dtype=np.float32)
        for number, part in self._map(windows(texts)):
            vectors[number * WINDOW : number * WINDOW + len(part)] = part
        return vectors

    def describe(self) -> EngineFacts:
        """Return what embeds."""
        identities = self._pool.identities
        return {
            "engine": "ray",
            "address": self._address or "local",
            "workers": len(identities),
            "hosts": sorted({one["host"] for one in identities}),
            "cosine_to_onnx": round(self._pool.cosine, 6),
        }

    def processes(self) -> list[int]:
        """Return the workers' process ids, each on its own host; a worker that was restarted has a
        new one."""
        answers = self._ray.get([worker.introduce.remote([]) for worker in self._pool.workers])
        return [identity["pid"] for identity, _ in answers]

    def close(self) -> None:
        """End the connection, and the cluster where this engine started it."""
        self._ray.shutdown()
        self._scratch.cleanup()

    def _map(self, parts: Iterator[Sequence[str]]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (number, vectors) of each window, in the order in which they are done."""
        waiting = deque(enumerate(parts))
        free = deque(self._pool.workers * _IN_FLIGHT)
        running: dict[Any, tuple[Any, int, Sequence[str]]] = {}
        while waiting or running:
            while waiting and free:
                worker, (number, window) = free.popleft(), waiting.popleft()
                running[worker.embed.remote(window)] = (worker, number, window)
            if not running:
                raise MachineError(
                    f"Ray: all {len(self._pool.workers)} workers died {_RETRIES + 1} times; see "
                    "the cluster's "
                    "logs for the reason (often memory), or use knowledge.engine: onnx"
                )
            for reference in self._ray.wait(list(running), num_returns=1)[0]:
                worker, number, window = running.pop(reference)
                try:
                    vectors = self._ray.get(reference)
                except self._ray.exceptions.RayActorError:
                    # dead for good: Ray itself restarts and retries before this
                    waiting.appendleft((number, window))
                    continue
                except self._ray.exceptions.RayTaskError as error:
                    raise StageError(
                        f"a Ray worker failed to embed a window of {len(window)}: {_last(error)}"
                    ) from error
                free.append(worker)
                yield number, vectors


def _connect(address: str | None, cores: int, megabytes: float, scratch: str) -> Any:
    """Connect to a cluster, or start one, and return the package `ray`. Raises MachineError."""
    if address is not None:
        _probe(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address is None:
        # Its name is of other systems; what it does, read at the import: all of Ray's ports on
        # 127.0.0.1, none on the network.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray
    except ImportError:
        raise MachineError(
            'knowledge.engine is ray, which is not installed here; pip install "fieldpack[ray]"'
        ) from None
    # Without a working folder of its own Ray puts the current one first on every worker's import
    # path.
    empty = Path(scratch) / "empty"
    empty.mkdir()
    common: dict[str, object] = {
        "log_to_driver": False,
        "logging_level": "ERROR",
        # The code as it is here, so that a worker never runs another version's.
        "runtime_env": {
            "working_dir": str(empty),
            "py_modules": [str(Path(fieldpack.__file__).parent), str(Path(__file__).parents[1])],
            "env_vars": {"ORT_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"},
        },
    }
    try:
        if address is not None:
            ray.init(address=address, **common)
        else:
            store = int((2 * megabytes + 256) * 1e6)
            ray.init(
                address="local",
                num_cpus=cores,
                num_gpus=0,
                include_dashboard=False,
                object_store_memory=store,
                _temp_dir=scratch,
                **common,
            )
    except (OSError, ValueError, RuntimeError, SystemExit) as error:
        # SystemExit: what Ray does on a port of another's
        raise MachineError(
            f"knowledge.ray_address: no Ray cluster at {address or 'this machine'} "
            f"({_last(error)}); "
            "`ray status` on its head says whether it runs; the build must be on one of its hosts, "
            "or use ray://head:10001"
        ) from None
    return ray


def _probe(address: str) -> None:
    """Raise MachineError for a port that refuses: Ray itself would try for 160 s and then end this
    process."""
    if address == "auto":
        return
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        if not parts.hostname or not parts.port:
            raise ValueError("no host:port")
        socket.create_connection((parts.hostname, parts.port), timeout=_CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise MachineError(
            f"knowledge.ray_address: {address}: {error}; write host:port of a Ray head (`ray start "
            "--head` prints it), "
            "`auto` on one of its hosts, or leave it away for a cluster on this machine alone"
        ) from None


def _start_pool(
    ray: Any, folder: Path, files: Sequence[Path], threads: int, embedder: Embedder
) -> _Pool:
    """Start as many workers as the cluster has cores for, and prove those that got one. Raises
    MachineError, CheckFailed."""
    import numpy as np

    cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    threads = max(1, min(threads, max(cores, default=1)))
    count = min(_MAX_WORKERS, sum(of_host // threads for of_host in cores))
    contents = [ray.put(np.fromfile(path, dtype=np.uint8)) for path in files]
    names = [path.relative_to(folder).as_posix() for path in files]
    actor = ray.remote(EmbeddingWorker).options(
        num_cpus=threads, max_restarts=_RETRIES, max_task_retries=_RETRIES
    )
    workers = [actor.remote(threads, names, *contents) for _ in range(count)]
    starting = {worker.introduce.remote(list(CANARIES)): worker for worker in workers}
    ready: list[Any] = []
    if starting:
        ready, late = ray.wait(list(starting), num_returns=len(starting), timeout=_START_SECONDS)
        for reference in late:  # a busy cluster: those that got a core do the work
            ray.kill(starting[reference])
    if not ready:
        raise MachineError(
            f"Ray: no worker started in {_START_SECONDS:.0f} s; {sum(cores)} cores in the cluster, "
            "each worker "
            f"wants {threads} free: wait for other jobs to end, or use knowledge.engine: onnx"
        )
    try:
        introductions: list[tuple[WorkerIdentity, NDArray[np.float32]]] = ray.get(ready)
    except ray.exceptions.RayError as error:
        needs = ", ".join(versions())
        raise MachineError(
            f"a Ray worker does not start: {_last(error)}; it needs {needs} installed"
        ) from error
    for identity, _ in introductions:
        if identity["versions"] != versions():
            raise MachineError(
                f"Ray worker on {identity['host']} has {identity['versions']}, this machine "
                f"{versions()}: vectors may differ; install the same versions there"
            )
    reference = embedder.embed_passages(CANARIES)
    cosine = min(
        require_agreement(f"the Ray worker on {identity['host']}", vectors, reference)
        for identity, vectors in introductions
    )
    return _Pool(
        workers=tuple(starting[one] for one in ready),
        identities=tuple(identity for identity, _ in introductions),
        cosine=cosine,
        model=tuple(contents),
    )


def _last(error: BaseException) -> str:
    """Return the last line of a library's own words."""
    return last_line(str(error), otherwise=type(error).__name__)
