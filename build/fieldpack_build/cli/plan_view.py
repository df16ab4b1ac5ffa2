"""How a plan is shown by `build check` and `build status`: as lines, and as JSON. Knows nothing of
the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..pipeline.plan import Plan


def plan_to_json(plan: Plan, warnings: list[str]) -> dict[str, Any]:
    """Return the plan with what each stage is expected to take, as `--json` prints it."""
    from ..estimate import forecast

    ahead = forecast(plan)
    by_name = {estimate.stage: estimate for estimate in ahead.stages}
    stages = [
        {
            "stage": step.name,
            "key": step.key,
            "done": step.receipt is not None,
            "does": step.stage.does,
            "seconds": round(by_name[step.name].seconds, 1),
            "memory_mb": round(by_name[step.name].memory_mb),
        }
        for step in plan.steps
    ]
    return {
        "name": plan.recipe.name,
        "version": plan.recipe.version,
        "stages": stages,
        "warnings": warnings,
        "parameters": ahead.parameters,
        "bundle_mb": ahead.bundle_mb,
        "disk_mb": ahead.disk_mb,
        **({"originals_mb": ahead.originals_mb} if plan.recipe.bundle.originals else {}),
    }


def print_plan(plan: Plan, word: str) -> None:
    """Print a line a stage, and what the whole will take. `word`: what a stage that is not done is
    called."""
    from ..console import duration
    from ..estimate import forecast

    ahead = forecast(plan)
    base = (
        f"base of about {ahead.parameters / 1e6:,.0f}M parameters"
        if ahead.parameters
        else "no language model is built"
    )
    click.echo(f"{plan.recipe.name} {plan.recipe.version}: {base}")
    left = 0.0
    for step, estimate in zip(plan.steps, ahead.stages, strict=True):
        took = "took" if estimate.known else "about"
        state = "done" if step.receipt is not None else word
        left += 0 if step.receipt is not None else estimate.seconds
        line = (
            f"  {step.name:<10} {state:<6} {took:>5} {duration(estimate.seconds):>12}, "
            f"{estimate.memory_mb:>7,.0f} MB"
        )
        click.echo(f"{line}  {step.stage.does}")
    if plan.recipe.bundle.originals:
        click.echo(
            f"bundle.originals: {ahead.originals:,} PDFs go into the bundle, "
            f"{ahead.originals_mb:,.1f} MB"
        )
    to_go = f"disk about {ahead.disk_mb:,.0f} MB and {duration(left)} to go"
    click.echo(
        f"bundle about {ahead.bundle_mb:,.0f} MB; {to_go if ahead.disk_mb else 'nothing to do'}"
    )
