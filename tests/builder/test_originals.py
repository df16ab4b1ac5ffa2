"""`bundle.originals`: which files go into a bundle, under which names, and what is said of them."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

import fakes
import fieldpack
from broken import pdf
from fieldpack.bundle.manifest import ORIGINALS, FileEntry, describe_files, verify
from fieldpack.passages import DocumentRecord
from fieldpack.retrieval.embedder import Embedder
from fieldpack_build.bundle.assemble import assemble
from fieldpack_build.bundle.originals import check_copied, find_originals
from fieldpack_build.cli import cli
from fieldpack_build.errors import DocumentError, RecipeError
from fieldpack_build.pipeline.store import Store
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.recipe.schema import Recipe
from fieldpack_build.stages.table import make_plan

FILES = {
    "fees.pdf": pdf([("The deposit is two rents.", 11, "F1")]),
    "copies/fees.pdf": pdf([("The deposit is two rents.", 11, "F1")]),
    "letter.pdf": pdf([("Dear tenant, the lift works again.", 11, "F1")]),
    "rules.md": b"# Rules\n\nQuiet hours begin at ten.\n",
}


def write_recipe(folder: Path, *overrides: str) -> Recipe:
    for name, data in FILES.items():
        path = folder / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "model").mkdir(exist_ok=True)
    recipe = {
        "name": "house",
        "version": "1.0.0",
        "base": {"model": "./model"},
        "knowledge": {"documents": "documents", "embedder": {"model": "./model"}},
        "answer": {"system": "Answer.", "refusal": "No."},
        "bundle": {"originals": True},
    }
    (folder / "house.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    return load_recipe(folder / "house.yaml", overrides)


def records(*names: str) -> list[DocumentRecord]:
    return [DocumentRecord(name, name, sha256(FILES[name]).hexdigest(), 1) for name in names]


def test_each_pdf_of_the_library_ships_once(tmp_path: Path) -> None:
    recipe, store = write_recipe(tmp_path), Store(tmp_path / "cache")
    known = records("copies/fees.pdf", "letter.pdf", "rules.md")
    originals = find_originals(recipe, known, store)
    assert sorted(path.name for path in originals.values()) == ["fees.pdf", "letter.pdf"]
    assert all(sha256(path.read_bytes()).hexdigest() == key for key, path in originals.items())
    assert find_originals(recipe, records("rules.md"), store) == {}


def test_a_document_that_changed_since_it_was_read_ends_the_build(tmp_path: Path) -> None:
    recipe, store = write_recipe(tmp_path), Store(tmp_path / "cache")
    (tmp_path / "documents" / "letter.pdf").write_bytes(FILES["letter.pdf"] + b"%")
    with pytest.raises(DocumentError, match=r"letter\.pdf: has changed since the library was made"):
        find_originals(recipe, records("letter.pdf"), store)
    (tmp_path / "documents" / "letter.pdf").unlink()
    with pytest.raises(DocumentError, match=r"letter\.pdf: has changed since the library was made"):
        find_originals(recipe, records("letter.pdf"), store)
    entry = FileEntry("originals/aa.pdf", ORIGINALS, 1, "bb")
    with pytest.raises(DocumentError, match=r"x\.pdf: has changed"):
        check_copied([entry], {"aa": Path("x.pdf")})


def test_a_bundle_carries_them_sealed_and_opens_them(tmp_path: Path) -> None:
    recipe, stages = write_recipe(tmp_path), tmp_path / "stages"
    fakes.write_letter_embedder(stages / "embedder")
    fakes.write_knowledge(stages / "knowledge", Embedder.open(stages / "embedder"), fakes.CHUNKS)
    originals = find_originals(recipe, records("letter.pdf"), Store(tmp_path / "cache"))
    bundle = tmp_path / "bundle"
    inputs = {name: stages / name for name in ("embedder", "knowledge")}
    manifest = assemble(bundle, recipe, inputs, model=None, provenance={}, originals=originals)
    [entry] = [one for one in manifest.files if one.role == ORIGINALS]
    assert entry.path == f"originals/{sha256(FILES['letter.pdf']).hexdigest()}.pdf"
    assert manifest.size_of(ORIGINALS) == len(FILES["letter.pdf"])
    verify(bundle, manifest)
    fakes.add_original(bundle, "fees.pdf", FILES["letter.pdf"])
    with fieldpack.open(bundle) as expert:
        digest = expert.original_of("fees.pdf")
        assert digest and expert.original_of("pump.md") is expert.original_of("none") is None
        with expert.open_original(digest) as file:
            assert file.read() == FILES["letter.pdf"]
        with pytest.raises(fieldpack.NoSuchPassage):
            expert.open_original("../manifest")
    assert describe_files(bundle)


def test_check_says_how_many_there_are_and_their_size(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    line = ["status", str(tmp_path / "house.yaml"), "--cache", str(tmp_path / "cache")]
    size = sum(len(data) for name, data in FILES.items() if name.endswith(".pdf")) / 1e6
    said = CliRunner().invoke(cli, line).output
    assert f"bundle.originals: 3 PDFs go into the bundle, {size:.1f} MB" in said
    assert json.loads(CliRunner().invoke(cli, [*line, "--json"]).output)["originals_mb"] == round(
        size, 1
    )
    without = CliRunner().invoke(cli, [*line, "--set", "bundle.originals=false"]).output
    assert "bundle.originals" not in without


def test_a_recipe_without_it_keeps_its_key(tmp_path: Path) -> None:
    """An older cache stays good: the section's new switch is part of the key where it is on."""
    store = Store(tmp_path / "cache")
    on = make_plan(write_recipe(tmp_path), store).step("package")
    off = make_plan(write_recipe(tmp_path, "bundle.originals=false"), store).step("package")
    assert on and off and on.key != off.key
    assert set(off.parts["settings"]["bundle"]) == {"description", "license"}


def test_originals_need_documents(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"bundle\.originals: there is no `knowledge` section"):
        write_recipe(tmp_path, "knowledge=null", "train.method=lora", 'train.data=["rows.jsonl"]')
