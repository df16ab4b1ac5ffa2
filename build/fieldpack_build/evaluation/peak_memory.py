"""What a device needs to answer one question: a process of its own opens the arm's parts, asks, and
says the most memory it ever held. The parent's own memory would say what all arms together have
left behind.

Parent's side: `peak_mb`. Child's side: `python -m fieldpack_build.evaluation.peak_memory`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from fieldpack.child import python, safe_environment

from ..errors import StageError


def peak_mb(folder: Path, question: str, *, retrieval: bool) -> float:
    """Of a staged bundle. Raises StageError if it does not answer."""
    task = {"folder": str(folder), "question": question, "retrieval": retrieval}
    command = python("-m", "fieldpack_build.evaluation.peak_memory")
    done = subprocess.run(
        command,
        env=safe_environment(),
        input=json.dumps(task),
        capture_output=True,
        text=True,
        errors="replace",
    )
    sys.stderr.write(done.stderr)
    if done.returncode:
        last = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no word"]
        raise StageError(
            f"the process that measures memory ended with {done.returncode}; its words are in the "
            "stage's log.txt, the last: "
            f"{last[-1][:300]}"
        )
    return float(json.loads(done.stdout.splitlines()[-1])["peak_mb"])


def main() -> None:
    task = json.loads(sys.stdin.read())
    from fieldpack.rag import AnswerOptions

    from .scoring_expert import ScoringExpert

    expert = ScoringExpert(Path(task["folder"]), retrieval=task["retrieval"], scores=False)
    expert.ask(
        task["question"], options=AnswerOptions(retrieval=task["retrieval"], threshold=False)
    )
    print(json.dumps({"peak_mb": own_peak_mb()}), flush=True)


def own_peak_mb() -> float:
    """Return the most memory, in MB, that this process has held. Linux: of this program alone;
    getrusage would count what the parent held when it started us."""
    status = Path("/proc/self/status")
    if status.exists() and (
        match := re.search(
            r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii", errors="replace")
        )
    ):
        return round(int(match[1]) / 1024, 1)
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    main()
