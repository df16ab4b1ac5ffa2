"""A sealed bundle as version 0.1 writes it, kept as a file: devices in the field hold such bundles, and
every later runtime opens them. Where this fails, the runtime must learn to read what it was; making the
bundle anew hides the fault."""

from __future__ import annotations

import shutil
from pathlib import Path

import fieldpack
from fieldpack.bundle.golden import read_golden
from fieldpack.bundle.manifest import read_manifest, verify

KEPT = Path(__file__).parent / "bundle-schema-1"


def test_a_bundle_of_an_earlier_version_opens_and_answers(tmp_path: Path) -> None:
    bundle = shutil.copytree(KEPT, tmp_path / "toy-1.0.0")
    verify(bundle, read_manifest(bundle))
    (golden,) = read_golden(bundle)
    with fieldpack.open(bundle) as expert:
        answer = expert.ask(golden.question)
        (found, *_) = expert.search(golden.question, 3)
    assert answer.text == golden.answer and not answer.refused
    assert answer.citations[0].document == found.document
    assert answer.citations[0].quote in found.text
