"""Ask the same questions of the base, base + adapter and the merged model in torch, and of the
full-precision and the quantized export, through the same retrieval, prompts and refusals.

answers/<step>.jsonl    one answer a line; what is there is not asked again after a kill
attribution.json        figures and steps
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fieldpack.rag import AnswerOptions

from ..bundle.assemble import assemble
from ..data import TestQuestion, read_questions
from ..evaluation import metrics, question_split
from ..evaluation.attribution import attribute, steps_of
from ..evaluation.report_file import ArmAnswer, QuestionRow
from ..evaluation.scoring_expert import ScoringExpert, ScoringGenerator
from ..evaluation.torch_generator import TorchGenerator
from ..models import causal_lm
from ..models.causal_lm import MODEL
from ..models.chat_template import read_chat
from ..pipeline.events import StageResult
from ..pipeline.store import place_link
from ..pipeline.task import Task
from ..training.checkpoints import ADAPTER
from .evaluate import stored_text
from .merge import adapt

RESULT, ANSWERS = "attribution.json", "answers"
_STAGED, _FULL = "staged", "full"


def run(task: Task) -> StageResult:
    """Ask the same questions of every step from the base to the quantised export, and write the figures
    into `attribution.json`."""
    evaluate = task.recipe.evaluate
    assert evaluate and evaluate.attribution
    causal_lm.quiet()
    every = read_questions(task.recipe.path(evaluate.questions), refusal=task.recipe.answer.refusal)
    questions = question_split.sampled_part(task.recipe, every, evaluate.attribution.questions)
    retrieves = task.recipe.knowledge is not None
    steps = steps_of(tuned=task.recipe.tuned)
    (task.out / ANSWERS).mkdir(exist_ok=True)
    shutil.rmtree(task.out / _STAGED, ignore_errors=True)
    assemble(task.out / _STAGED, task.recipe, task.inputs, provenance={}, place=place_link)
    rows = [QuestionRow(expected=q.answer, value=q.value, line=q.line, arms={}) for q in questions]
    asking = _Asking(
        task, questions, stored_text(task), total=len(steps) * (1 + retrieves) * len(questions)
    )
    for step in steps:
        with _generator(task, step) as make:
            for arm in (step, step + "+rag")[: 1 + retrieves]:
                for row, said in zip(rows, asking.answers(arm, make), strict=True):
                    row.arms[arm] = said
    attribution = attribute(rows, steps, retrieval=retrieves)
    (task.out / RESULT).write_text(attribution.to_json(), encoding="utf-8")
    for name in (_STAGED, _FULL):
        shutil.rmtree(task.out / name, ignore_errors=True)
    return {"questions": len(questions), "steps": list(steps)}


class _Asking:
    def __init__(
        self, task: Task, questions: Sequence[TestQuestion], stored: Any, *, total: int
    ) -> None:
        self._task, self._questions, self._stored = task, questions, stored
        self._done, self._total = 0, total

    def answers(self, arm: str, make: Callable[[Path, int], Any]) -> list[ArmAnswer]:
        """One for each question, those of an interrupted run first."""
        path = self._task.out / ANSWERS / f"{arm}.jsonl"
        known = _read(path)[: len(self._questions)]
        self._done += len(known)
        if len(known) == len(self._questions):
            return known
        with (
            path.open("w", encoding="utf-8") as file,
            ScoringExpert(self._task.out / _STAGED, generator=make) as expert,
        ):
            file.writelines(_line(answer) for answer in known)
            for question in self._questions[len(known) :]:
                options = AnswerOptions(retrieval=arm.endswith("+rag"))
                answer = expert.ask(question.question, options=options)
                loss = expert.loss(answer, question.answer) if question.answer else None
                score = metrics.score(
                    answer, question, self._stored, loss, languages=expert.languages
                )
                known.append(score.to_row(answer.text, answer.citations))
                file.write(_line(known[-1]))
                file.flush()
                self._done += 1
                self._task.progress(self._done, self._total, f"questions asked ({arm})")
        return known


def _line(answer: ArmAnswer) -> str:
    return json.dumps(answer.to_dict(), ensure_ascii=False) + "\n"


def _read(path: Path) -> list[ArmAnswer]:
    """The whole lines of an earlier run; a last one that was cut off is asked again."""
    if not path.exists():
        return []
    answers = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            answers.append(ArmAnswer.model_validate_json(line))
        except ValueError:
            break
    return answers


@contextmanager
def _generator(task: Task, step: str) -> Iterator[Callable[[Path, int], Any]]:
    """What answers at a step, made when the first question is asked; a model in torch is loaded
    once for both arms."""
    if step == "quantized":
        yield lambda folder, skip: ScoringGenerator.open(folder / "model", skip_tokens=skip)
    elif step == "exported":
        yield lambda folder, skip: ScoringGenerator.open(_full_precision(task), skip_tokens=skip)
    else:
        made: list[TorchGenerator] = []

        def once(folder: Path, skip: int) -> TorchGenerator:
            if not made:
                task.note(f"loading the model ({step})")
                made.append(_in_torch(task, step, folder / "model"))
            return made[0]

        yield once
        made.clear()


def _in_torch(task: Task, step: str, exported: Path) -> TorchGenerator:
    import torch

    base = task.inputs["base"] / MODEL
    source = task.inputs["merge"] / MODEL if step == "merged" else base
    model = causal_lm.load_model(source, dtype=torch.float32)
    if step == "tuned":
        model = adapt(model, task.inputs["train"] / ADAPTER)
    device = "cuda" if torch.cuda.is_available() and task.recipe.train.device != "cpu" else "cpu"
    return TorchGenerator(model.to(device), causal_lm.load_tokenizer(base), exported)


def _full_precision(task: Task) -> Path:
    """The shipped model exported without quantising: what the export alone costs."""
    from ..export import FP32, adjust_config, build_onnx

    folder = task.out / _FULL / MODEL
    if not folder.exists():
        task.note("exporting in full precision")
        source = task.inputs["merge" if "merge" in task.inputs else "base"] / MODEL
        partial = task.out / _FULL / "partial"
        shutil.rmtree(task.out / _FULL, ignore_errors=True)
        partial.parent.mkdir()
        build_onnx(source, partial, FP32, task.out / _FULL / "builder")
        context = task.recipe.export.max_context
        adjust_config(
            partial, causal_lm.load_tokenizer(source), read_chat(task.inputs["base"]), context
        )
        partial.rename(folder)
    return folder
