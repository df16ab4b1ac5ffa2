"""What did tuning forget? The perplexity of a recipe's base and of its tuned model on general text.

Needs what `build recipe` leaves in its cache up to the stage `merge`. TEXTS are plain text files that
have nothing to do with the recipe, a language's ordinary prose: they are cut into windows, and both
models read the same ones. A ratio over 1 is what tuning cost there; its interval comes from drawing
windows with replacement. lm-eval's tasks (its backend `onnxruntime-genai` reads our export as it is)
say more, where their data can be had.

    python benchmarks/forgetting.py recipes/finance.yaml TEXT... [--windows 64] [--json FILE]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from measuring import machine, machine_line, table, write_json

from fieldpack_build.errors import BuildError
from fieldpack_build.models import causal_lm
from fieldpack_build.models.causal_lm import MODEL
from fieldpack_build.models.chat_template import encode
from fieldpack_build.pipeline.store import Store, default_cache
from fieldpack_build.recipe.load import find_recipe, load_recipe
from fieldpack_build.stages.table import make_plan

_PACKAGES = ("torch", "transformers", "peft")
_DRAWS = 10_000


@click.command()
@click.argument("recipe")
@click.argument("texts", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--cache", type=click.Path(path_type=Path), help="The build's ($FIELDPACK_CACHE).")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As in the build.")
@click.option("--windows", default=64, show_default=True, help="Windows read of each text, evenly.")
@click.option("--tokens", default=256, show_default=True, help="Tokens of a window.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
def main(
    recipe: str,
    texts: tuple[Path, ...],
    cache: Path | None,
    overrides: tuple[str, ...],
    windows: int,
    tokens: int,
    json_path: Path | None,
) -> None:
    """Perplexity of RECIPE's base and tuned model on TEXTS."""
    facts = machine(_PACKAGES)
    plan = make_plan(load_recipe(find_recipe(recipe), overrides), Store(cache or default_cache()))
    folders = {}
    for stage in ("base", "merge"):
        try:
            folders[stage] = plan.store.folder(stage, plan.step(stage).key) / MODEL
        except BuildError as error:
            raise click.ClickException(str(error)) from None
        if not folders[stage].is_dir():
            raise click.ClickException(f"{stage}: not built; run `build recipe {recipe}` first")
    tokenizer = causal_lm.load_tokenizer(folders["base"])
    ids = {
        path.name: _cut(encode(tokenizer, path.read_text(errors="replace")), tokens, windows)
        for path in texts
    }
    losses = {stage: _losses(folder, ids) for stage, folder in folders.items()}
    rows = [_row(name, losses["base"][name], losses["merge"][name]) for name in ids]
    everything = [np.concatenate([losses[s][name] for name in ids]) for s in ("base", "merge")]
    rows.append(_row("all", *everything))
    print(machine_line(facts))
    print(f"{recipe}: {tokens} tokens a window\n")
    print(
        table(
            ("text", "windows", "base", "tuned", "ratio", "95%"),
            [
                (
                    r["text"],
                    r["windows"],
                    r["base"],
                    r["tuned"],
                    r["ratio"],
                    f"{r['low']} to {r['high']}",
                )
                for r in rows
            ],
        )
    )
    write_json(
        json_path,
        {
            "benchmark": "forgetting",
            "recipe": recipe,
            "overrides": list(overrides),
            "machine": facts,
            "tokens": tokens,
            "rows": rows,
        },
    )


def _cut(ids: Sequence[int], tokens: int, windows: int) -> list[list[int]]:
    """Cut a text into windows of as many tokens, and take so many of them evenly."""
    whole = [list(ids[at : at + tokens]) for at in range(0, len(ids) - tokens + 1, tokens)]
    if not whole:
        raise click.ClickException(f"a text of {len(ids)} tokens fills no window of {tokens}")
    count = min(windows, len(whole))
    return [whole[at * len(whole) // count] for at in range(count)]


def _losses(folder: Path, texts: dict[str, list[list[int]]]) -> dict[str, Any]:
    """The mean loss of each window, in nats a token, by text: arrays [windows]."""
    import torch

    model = causal_lm.load_model(folder, dtype=torch.float32).eval()
    losses = {}
    for name, windows in texts.items():
        found = []
        for window in windows:
            ids = torch.tensor([window])
            with torch.no_grad():
                found.append(float(model(input_ids=ids, labels=ids).loss))
        losses[name] = np.array(found)
    return losses


def _row(name: str, base: Any, tuned: Any) -> dict[str, Any]:
    """The perplexities over all windows, and the tuned one's ratio with its 95% interval."""
    gap = tuned - base
    draws = np.random.default_rng(0).integers(0, len(gap), (_DRAWS, len(gap)))
    low, high = np.quantile(np.exp(gap[draws].mean(axis=1)), (0.025, 0.975))
    return {
        "text": name,
        "windows": len(gap),
        "base": round(float(np.exp(base.mean())), 2),
        "tuned": round(float(np.exp(tuned.mean())), 2),
        "ratio": round(float(np.exp(gap.mean())), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
    }


if __name__ == "__main__":
    main()
