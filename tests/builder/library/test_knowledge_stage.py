"""The knowledge stage: what it reads again and what not, that a changed library answers as a new
one does, and that it goes on where it was killed. The real stage, its real processes, an embedder
that counts letters."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from broken import PROSE, write_broken_files, write_good_files
from fieldpack.index.reader import KnowledgeIndex
from fieldpack_build.errors import DocumentError
from fieldpack_build.ingest import table
from fieldpack_build.ingest.journal import read_library_file
from fieldpack_build.ingest.vector_cache import VECTOR_CACHE, VectorCache
from fieldpack_build.pipeline.store import interrupted
from fieldpack_build.stages.table import make_plan
from shelf import HALF, Shelf, rows

pytest_plugins = ["shelf"]

WORDS = (
    "anchor barge cable dory ebb ferry gale hull inlet jetty keel lamp mast north oar pier quay "
    "reef sail tide"
).split()


def prose(rng: random.Random, paragraphs: int = 3) -> str:
    body = "\n\n".join(
        " ".join(rng.choice(WORDS) for _ in range(24)) + "." for _ in range(paragraphs)
    )
    return f"# {' '.join(rng.sample(WORDS, 2)).title()}\n\n{body}\n"


def stock(shelf: Shelf, count: int, seed: int = 0, paragraphs: int = 3) -> None:
    rng = random.Random(seed)
    for i in range(count):
        shelf.write(f"{WORDS[i % 5]}/{i:04}.md", prose(rng, paragraphs))


# --- a changed library ----------------------------------------------------------------------------


def test_whatever_changes_a_search_gives_what_a_fresh_build_gives(
    shelf: Shelf, tmp_path: Path
) -> None:
    rng = random.Random(7)
    stock(shelf, 30)
    before = tmp_path / "0"
    shelf.make(before)
    for step in range(1, 4):
        _edit(shelf, rng, [path for path in sorted(shelf.documents.rglob("*.md"))])
        fresh, updated = tmp_path / f"fresh-{step}", tmp_path / f"{step}"
        shelf.make(fresh)
        result = shelf.make(updated, earlier=before)
        assert result["read_now"] < 16 and result["embedded"] < result["chunks"] / 2
        questions = [" ".join(rng.sample(WORDS, 3)) for _ in range(12)]
        assert shelf.found(updated, questions) == shelf.found(fresh, questions)
        assert rows(updated) == rows(fresh)
        before = updated


def _edit(shelf: Shelf, rng: random.Random, paths: list[Path]) -> None:
    """Two documents more, two gone, two changed, one under another name, one twice."""
    chosen = rng.sample(paths, 6)
    for number in range(2):
        shelf.write(f"new/{rng.random()}-{number}.md", prose(rng))
        chosen[number].unlink()
        chosen[2 + number].write_text(
            chosen[2 + number].read_text() + f"\n\n{' '.join(rng.sample(WORDS, 12))}.\n"
        )
    chosen[4].rename(chosen[4].with_name(f"renamed-{rng.random()}.md"))
    shelf.write(f"copy/{rng.random()}.md", chosen[5].read_bytes())


def test_only_what_changed_is_read_and_only_what_is_new_is_embedded(
    shelf: Shelf, tmp_path: Path
) -> None:
    stock(shelf, 12)
    first = shelf.make(tmp_path / "1")
    assert (first["read_now"], first["embedded"], first["resumed"]) == (12, first["chunks"], False)
    path = shelf.documents / "anchor" / "0000.md"
    path.write_text(path.read_text() + "\n\nZephyr " + "quartz " * 20)
    (shelf.documents / "barge" / "0001.md").rename(shelf.documents / "barge" / "zzzz.md")
    (shelf.documents / "cable" / "0002.md").unlink()
    second = shelf.make(tmp_path / "2", earlier=tmp_path / "1")
    assert (
        second["read_now"] == 2 and 0 < second["embedded"] <= 2
    )  # the renamed one's chunks are as they were
    said = [event["text"] for event in shelf.events if event["event"] == "say"]
    assert said == [
        "begins with the library of before: 9 documents as they were, 2 to read, 2 gone"
    ]
    assert set(rows(tmp_path / "1")) - set(rows(tmp_path / "2")) == {
        "barge/0001.md",
        "cable/0002.md",
    }
    assert (
        not list((tmp_path / "2").glob("*.jsonl")) and not (tmp_path / "2" / "begun.json").exists()
    )


def test_the_library_of_before_is_left_as_it_is(shelf: Shelf, tmp_path: Path) -> None:
    stock(shelf, 5)
    shelf.make(tmp_path / "1")
    before = {path.name: path.read_bytes() for path in (tmp_path / "1").iterdir()}
    stock(shelf, 4, seed=1)
    shelf.make(tmp_path / "2", earlier=tmp_path / "1")
    assert {path.name: path.read_bytes() for path in (tmp_path / "1").iterdir()} == before


def test_other_tags_embed_nothing(shelf: Shelf, tmp_path: Path) -> None:
    stock(shelf, 8)
    shelf.write("barge/own.md", "---\ntags: [own]\n---\n# Own\n\nText.\n")
    shelf.make(tmp_path / "1")
    result = shelf.make(
        tmp_path / "2", "knowledge.tags={'barge/*': [flat]}", earlier=tmp_path / "1"
    )
    assert (result["read_now"], result["embedded"]) == (3, 0)
    assert rows(tmp_path / "2")["barge/own.md"]["tags"] == ["own", "flat"]
    assert rows(tmp_path / "2")["anchor/0000.md"]["tags"] == []


# --- broken and equal documents -------------------------------------------------------------------


def break_some(shelf: Shelf) -> None:
    stock(shelf, 3)
    shelf.write("broken/empty.pdf", b"")
    shelf.write("broken/cut.docx", b"PK\x03\x04 cut off")
    shelf.write("broken/noise.pdf", random.Random(3).randbytes(4_000))
    shelf.write("broken/old.doc", b"\xd0\xcf\x11\xe0")
    shelf.write("broken/picture.png", b"\x89PNG")


def test_broken_documents_are_skipped_and_the_good_ones_found(shelf: Shelf, tmp_path: Path) -> None:
    break_some(shelf)
    shelf.write("zebra.md", "# Zebra\n\nA zzzz quizzed zebra.\n")
    result = shelf.make(tmp_path / "1")
    assert (result["documents"], result["skipped"]) == (4, 4)
    names = [name for name, _ in result["listed"]["skipped"]]
    assert names == [f"broken/{name}" for name in ("cut.docx", "empty.pdf", "noise.pdf", "old.doc")]
    assert result["listed"]["other_formats"] == {".png": 1}
    assert shelf.found(tmp_path / "1", ["zzzz quizzed zebra"], 1)[0][0][0] == "zebra.md"


def test_broken_files_of_all_kinds_are_named_and_the_good_ones_found(
    shelf: Shelf, tmp_path: Path
) -> None:
    good, broken = write_good_files(shelf.documents), write_broken_files(shelf.documents)
    assert len(broken) >= 20
    result = shelf.make(tmp_path / "1")
    words = {document: words for document, words in result["listed"]["skipped"]}
    assert {name: reason for name, reason in broken.items() if reason not in words[name]} == {}
    said = table.lines(result)
    assert not [name for name in broken if not any(line.startswith(f"  {name}  ") for line in said)]
    found = rows(tmp_path / "1")
    assert not [
        name for name in good if "chunks" not in found[name] and "same_as" not in found[name]
    ]
    assert shelf.found(tmp_path / "1", [PROSE], 1)[0][0][0] in good


def test_with_on_error_fail_the_first_ends_it(shelf: Shelf, tmp_path: Path) -> None:
    break_some(shelf)
    (shelf.documents / "broken" / "old.doc").unlink()
    with pytest.raises(DocumentError, match=r"^broken/cut\.docx: ") as caught:
        shelf.make(tmp_path / "1", "knowledge.on_error=fail")
    assert caught.value.exit_code == 6


def test_what_is_broken_is_read_again_when_it_changes(shelf: Shelf, tmp_path: Path) -> None:
    break_some(shelf)
    shelf.make(tmp_path / "1")
    shelf.write("new.md", "# New\n\nText.\n")
    assert shelf.make(tmp_path / "2", earlier=tmp_path / "1")["read_now"] == 1
    assert {name for name, row in rows(tmp_path / "2").items() if "skipped" in row} == {
        name for name, row in rows(tmp_path / "1").items() if "skipped" in row
    }
    shelf.write("broken/cut.docx", b"PK\x03\x04 cut off elsewhere")
    assert shelf.make(tmp_path / "3", earlier=tmp_path / "2")["read_now"] == 1
    strict = ("knowledge.on_error=fail", "knowledge.include=['**/*.md', '**/*.docx']")
    with pytest.raises(DocumentError, match=r"^broken/cut\.docx: "):  # and when it must not be
        shelf.make(tmp_path / "4", *strict, earlier=tmp_path / "3")


def test_a_good_document_that_breaks_is_found_no_more(shelf: Shelf, tmp_path: Path) -> None:
    stock(shelf, 4)
    shelf.make(tmp_path / "1")
    shelf.write("anchor/0000.md", b"")
    result = shelf.make(tmp_path / "2", earlier=tmp_path / "1")
    assert (result["documents"], result["skipped"]) == (3, 1)
    found = shelf.found(tmp_path / "2", WORDS)
    assert found and not [p for passages in found for p in passages if p[0] == "anchor/0000.md"]


def test_equal_files_are_read_once(shelf: Shelf, tmp_path: Path) -> None:
    stock(shelf, 2)
    text = (shelf.documents / "anchor" / "0000.md").read_bytes()
    shelf.write("copies/a.md", text)
    shelf.write("copies/a.txt", text)  # by another reader, so another document
    shelf.write("broken/a.docx", b"PK")
    shelf.write("broken/b.docx", b"PK")
    result = shelf.make(tmp_path / "1")
    assert (result["documents"], result["same"], result["skipped"], result["read_now"]) == (
        3,
        1,
        2,
        4,
    )
    found = rows(tmp_path / "1")
    assert found["copies/a.md"] == {"document": "copies/a.md", "same_as": "anchor/0000.md"}
    assert (
        found["broken/b.docx"]["skipped"]
        == "broken/b.docx: the same as broken/a.docx, which was skipped"
    )


def test_a_folder_without_text_is_an_error(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no documents of a known format in it"):
        shelf.make(tmp_path / "1")
    shelf.write("a.md", b"")
    with pytest.raises(
        DocumentError, match=r"no text in any of 1 documents; the first: a\.md: is empty"
    ):
        shelf.make(tmp_path / "2")


def test_a_folder_of_images_or_old_formats_says_what_to_do(shelf: Shelf, tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        shelf.write(name, b"x")
    with pytest.raises(
        DocumentError, match=r"in it; 2 images: knowledge\.ocr: true reads the text in them$"
    ):
        shelf.make(tmp_path / "1")
    for name in ("a.doc", "b.xls"):
        shelf.write(name, b"x")
    with pytest.raises(
        DocumentError, match=r"; a\.doc: no reader for \.doc; save it as \.docx \(and 1 more\)$"
    ):
        shelf.make(tmp_path / "2")


# --- interrupted ----------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from fieldpack_build.ingest import progress as meter
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.stages import knowledge
from fieldpack_build.pipeline.store import Store
from fieldpack_build.pipeline.task import Task

meter._EVERY = 0  # every step is reported: letters are counted faster than five times a second

def send(event):
    if event["event"] == "progress" and event["note"].startswith("chunks embedded") and event["done"] >= 1100:
        os.kill(os.getpid(), signal.SIGKILL)

recipe, embedder, out, cache, lineage, *earlier = sys.argv[1:]
if __name__ == "__main__":
    earlier = Path(earlier[0]) if earlier else None
    knowledge.run(Task(load_recipe(Path(recipe)), {"embedder": Path(embedder)}, Path(out), Store(Path(cache)), {}, send,
                       previous_output=earlier, lineage=lineage))
"""


def killed(shelf: Shelf, out: Path, lineage: str = "", *earlier: Path) -> None:
    """The stage in a process of its own, which kills itself in its second window."""
    out.mkdir()
    script = shelf.folder / "killed.py"
    script.write_text(KILLED)
    arguments = [shelf.folder / "shelf.yaml", shelf.embedder(), out, shelf.cache, lineage, *earlier]
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_killed_while_it_embeds_it_goes_on_and_ends_in_the_same_bytes(
    shelf: Shelf, tmp_path: Path
) -> None:
    stock(shelf, 60, paragraphs=18)
    whole = shelf.make(tmp_path / "whole")
    assert whole["chunks"] > 1_200
    killed(shelf, tmp_path / "killed")
    result = shelf.make(tmp_path / "killed")
    said = [event["text"] for event in shelf.events if event["event"] == "say"]
    done = 60 - result["read_now"]
    assert (
        said == [f"goes on where it stopped: {done} of 60 documents were done"] and 30 < done < 60
    )
    assert result["resumed"] and result["embedded"] < whole["embedded"] * 0.4
    for name in sorted(path.name for path in (tmp_path / "whole").iterdir()):
        assert (tmp_path / "killed" / name).read_bytes() == (
            tmp_path / "whole" / name
        ).read_bytes(), name
    assert {path.name for path in (tmp_path / "killed").iterdir()} == {
        path.name for path in (tmp_path / "whole").iterdir()
    }


def test_an_update_that_is_killed_goes_on_too(shelf: Shelf, tmp_path: Path) -> None:
    stock(shelf, 20)
    shelf.make(tmp_path / "1")
    stock(shelf, 60, seed=5, paragraphs=18)
    killed(shelf, tmp_path / "2", "", tmp_path / "1")
    assert json.loads((tmp_path / "2" / "begun.json").read_text())["copied"] is True
    result = shelf.make(tmp_path / "2", earlier=tmp_path / "1")
    assert result["resumed"] and 0 < result["read_now"] < 30
    shelf.make(tmp_path / "fresh")
    assert rows(tmp_path / "2") == rows(tmp_path / "fresh")
    questions = [" ".join(words) for words in zip(WORDS, WORDS[3:], WORDS[7:], strict=False)]
    assert shelf.found(tmp_path / "2", questions) == shelf.found(tmp_path / "fresh", questions)


def test_what_an_interrupted_build_embedded_is_not_lost_when_a_document_changes(
    shelf: Shelf, tmp_path: Path
) -> None:
    """Another key, so another folder: it begins with a copy of the interrupted one."""
    stock(shelf, 60, paragraphs=18)
    lineage, keys = "same", make_plan(shelf.recipe(), shelf.store, among=HALF).steps[-1].key
    begun = shelf.store.partial("knowledge", keys)
    begun.parent.mkdir(parents=True)
    killed(shelf, begun, lineage)
    shelf.write("anchor/0000.md", prose(random.Random(9)))
    assert interrupted(begun.parent, "other") is None
    assert interrupted(begun.parent, lineage) == begun
    result = shelf.make(tmp_path / "2", earlier=begun)
    assert not result["resumed"] and 0 < result["read_now"] < 30 and result["documents"] == 60
    shelf.make(tmp_path / "fresh")
    assert rows(tmp_path / "2") == rows(tmp_path / "fresh")


def test_what_was_embedded_of_one_large_document_is_not_lost(shelf: Shelf, tmp_path: Path) -> None:
    """It goes into the index as a whole, so until its end nothing of it is there."""
    choose = random.Random(3)
    shelf.write("large.md", "\n\n".join(f"# Part {n}\n\n{prose(choose)}" for n in range(450)))
    whole = shelf.make(tmp_path / "whole")
    assert whole["documents"] == 1 and whole["embedded"] > 1_200
    killed(shelf, tmp_path / "killed")
    assert (tmp_path / "killed" / VECTOR_CACHE).stat().st_size > 0
    result = shelf.make(tmp_path / "killed")
    assert result["resumed"] and 0 < result["embedded"] < whole["embedded"] - 900
    assert {path.name for path in (tmp_path / "killed").iterdir()} == {
        path.name for path in (tmp_path / "whole").iterdir()
    }
    for name in sorted(path.name for path in (tmp_path / "whole").iterdir()):
        assert (tmp_path / "killed" / name).read_bytes() == (
            tmp_path / "whole" / name
        ).read_bytes(), name


def test_cached_vectors_survive_half_a_record(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / VECTOR_CACHE, 4)
    keys = [bytes([n]) * 15 + b"\0" for n in range(3)]
    cache.add(keys, np.arange(12, dtype=np.float32).reshape(3, 4))
    cache.close()
    data = (tmp_path / VECTOR_CACHE).read_bytes()
    (tmp_path / VECTOR_CACHE).write_bytes(data[:-5])
    again = VectorCache(tmp_path / VECTOR_CACHE, 4)
    assert sorted(again.vectors) == keys[:2] and again.vectors[keys[1]].tolist() == [4, 5, 6, 7]
    again.add(keys[2:], np.ones((1, 4), dtype=np.float32))
    again.close()
    assert len(VectorCache(tmp_path / VECTOR_CACHE, 4).vectors) == 3


def test_a_file_or_a_list_of_documents(shelf: Shelf, tmp_path: Path) -> None:
    shelf.write("a.md", "# A\n\nIn the folder.")
    (shelf.folder / "more").mkdir()
    for name in ("more/a.md", "rules.txt", "plan.doc"):
        (shelf.folder / name).write_text(f"Text of {name}.")
    shelf.make(tmp_path / "1", "knowledge.documents=rules.txt")
    assert list(rows(tmp_path / "1")) == ["rules.txt"]
    shelf.make(tmp_path / "2", "knowledge.documents=[documents, more, rules.txt, plan.doc]")
    found = rows(tmp_path / "2")
    assert list(found) == ["documents/a.md", "more/a.md", "plan.doc", "rules.txt"]
    assert found["plan.doc"]["skipped"] == "plan.doc: no reader for .doc; save it as .docx"
    (shelf.folder / "other" / "more").mkdir(parents=True)
    with pytest.raises(
        DocumentError, match=r"another one of knowledge\.documents is named more too"
    ):
        shelf.make(tmp_path / "3", "knowledge.documents=[more, other/more]")


def test_names_of_a_list_are_part_of_the_key(shelf: Shelf) -> None:
    shelf.write("a.md", "Text.")
    keys = {
        make_plan(shelf.recipe(f"knowledge.documents={value}"), shelf.store, among=HALF)
        .steps[-1]
        .key
        for value in ("documents", "[documents]", "[documents, documents/a.md]")
    }
    assert len(keys) == 2


def test_what_is_hidden_is_read_when_the_recipe_says_so(shelf: Shelf, tmp_path: Path) -> None:
    shelf.write("a.html", "<p>Shown text.</p><p hidden>Secret words.</p>")
    assert shelf.make(tmp_path / "1")["warned"] == 1
    assert shelf.make(tmp_path / "2", "knowledge.hidden=read")["warned"] == 0
    assert shelf.found(tmp_path / "2", ["Secret"])[0][0][4].endswith("Secret words.")


def test_documents_are_read_with_the_recipes_vocabulary(shelf: Shelf, tmp_path: Path) -> None:
    shelf.write("letter.html", "<title>Annual report</title><p>Sales rose.</p>")
    titles = []
    for number, overrides in enumerate([(), ("knowledge.vocabulary=none",)]):
        shelf.make(tmp_path / str(number), *overrides)
        titles.append(read_library_file(tmp_path / str(number))["documents"][0]["title"])
    assert titles == ["letter", "Annual report"]


SLOVAK = "Skúmavky sa po odbere odnášajú do laboratória a ukladajú sa do chladničky na lieky. "


def test_words_are_indexed_in_each_document_s_language_or_the_recipe_s(
    shelf: Shelf, tmp_path: Path
) -> None:
    shelf.write("sk.txt", SLOVAK * 3)
    shelf.write("en.txt", "The tubes are brought to the laboratory and stored in the fridge. " * 3)
    for number, overrides in enumerate(
        [(), ("knowledge.language=en",), ("knowledge.language=sk",)]
    ):
        shelf.make(tmp_path / str(number), *overrides)
    by_itself, english, slovak = (KnowledgeIndex(tmp_path / str(number)) for number in range(3))
    assert [record.language for record in by_itself.records()] == ["", "sk"]
    assert [record.language for record in english.records()] == ["", ""]
    assert [record.language for record in slovak.records()] == ["sk", "sk"]
    assert by_itself.matching("skúmaviek", 5) and not english.matching("skúmaviek", 5)
    rows = read_library_file(tmp_path / "0")["documents"]
    assert {row["document"]: row.get("language") for row in rows} == {
        "en.txt": None,
        "sk.txt": "sk",
    }


def test_half_a_copy_is_begun_again(shelf: Shelf, tmp_path: Path) -> None:
    """Killed while it copied the library of before: what is there of it is not believed."""
    stock(shelf, 6)
    shelf.make(tmp_path / "1")
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "chunks.sqlite").write_bytes(
        (tmp_path / "1" / "chunks.sqlite").read_bytes()[:5000]
    )
    stock(shelf, 7)
    result = shelf.make(tmp_path / "2", earlier=tmp_path / "1")
    assert (result["read_now"], result["resumed"], result["documents"]) == (1, False, 7)
