"""What the README and docs/ say of files, commands and recipes is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from fieldpack_app.cli import cli as device_commands
from fieldpack_build.cli import cli as build_commands
from fieldpack_build.recipe.load import load_recipe

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 8 * 1024


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [
        link
        for link in links
        if not re.match(r"[a-z]+:", link) and not (page.parent / link).exists()
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_names_that_are_mentioned_exist(page: Path) -> None:
    """`path/to/file.py` is there, and with `:name` behind it defines that name."""
    text = page.read_text(encoding="utf-8")
    mentioned = re.findall(
        r"`((?:build|runtime|edge_app|tests|benchmarks|recipes|docs)/[\w./-]+\.\w+)(?::(\w+))?`",
        text,
    )
    wrong = []
    for path, name in mentioned:
        file = ROOT / path
        if not file.is_file():
            wrong.append(path)
        elif name and not re.search(
            rf"^\s*(?:async )?(?:def|class) {name}\b",
            file.read_text(encoding="utf-8"),
            re.MULTILINE,
        ):
            wrong.append(f"{path}:{name}")
    assert not wrong


def test_every_page_is_reachable_from_the_readme() -> None:
    seen, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in seen:
            continue
        seen.add(page)
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            if target.is_dir():
                left += target.glob("*.md")
            elif target.suffix == ".md" and target.is_file():
                left.append(target)
    assert not set(PAGES) - seen


def test_the_recipe_in_the_readme_is_one(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = next(
        part for part in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE) if "name: clinic" in part
    )
    recipe = tmp_path / "clinic.yaml"
    recipe.write_text(re.sub(r"^    ", "", block, flags=re.MULTILINE), encoding="utf-8")
    (tmp_path / "clinic/documents").mkdir(parents=True)
    for name in ("train", "questions"):
        (tmp_path / f"clinic/{name}.jsonl").write_text("", encoding="utf-8")
    assert load_recipe(recipe, ()).name == "clinic"


@pytest.mark.parametrize(
    "program, commands", [("build", build_commands), ("fieldpack", device_commands)]
)
def test_commands_that_are_named_exist(program: str, commands: object) -> None:
    named = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named |= set(re.findall(rf"^    (?:\S*bin/)?{program} ([a-z]+)\b", text, re.MULTILINE))
        named |= set(re.findall(rf"`{program} ([a-z]+)\b", text))
    help_text = CliRunner().invoke(commands, ["--help"]).output  # type: ignore[arg-type]
    assert named and not {
        name for name in named if not re.search(rf"^\s+{name}\b", help_text, re.MULTILINE)
    }
