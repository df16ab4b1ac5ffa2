"""Finds the pages of a PDF that draw without end, before pdfium begins to read one.

A form (a drawing with a name) may draw others, and itself. pdfium follows it 40 deep and keeps all
that is drawn: a form that draws itself twice is drawn 2^40 times, and takes 0.7 GB of memory in a
second. Such files are rare, and so are forms that draw several forms; a document with one of those
has its pages loaded by another process first (`load_pages`), which such a page ends. Knows nothing
of text.
"""

from __future__ import annotations

import re
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fieldpack.child import python
from fieldpack_build.errors import DocumentError

_MOST_ENDLESS = 3  # pages; each may cost `load_pages.SECONDS`
# The name Form, its letters also as codes, or a subtype that stands elsewhere.
_FORM = re.compile(
    rb"/(?:F|#46)(?:o|#6[Ff])(?:r|#72)(?:m|#6[Dd])(?![\w#])|/Subtype\s+\d+\s+\d+\s+R"
)
_NUMBER = re.compile(rb"(\d+)\s+\d+\s+$")  # before "obj"
_TYPE = re.compile(rb"/Type\s*/XObject\b")
_OWN_RESOURCES = re.compile(rb"/Resources\s*<<")
_OBJECTS = re.compile(rb"/XObject\s*<<([^<>]*)>>")
_REFERENCE = re.compile(rb"(\d+)\s+\d+\s+R\b")
_DRAWS = re.compile(rb"(?<![^\s\]>)])Do(?![^\s/\[<(%])")
_MOST_BYTES = 64 << 20  # of one form, unpacked


class _Form(NamedTuple):
    """A stream that may be a form: the number of its object, its dictionary and its bytes."""

    number: bytes
    keys: bytes
    body: bytes


def endless_pages(data: bytes, name: str, pages: int) -> frozenset[int]:
    """Return the indices of the pages that draw without end, or nearly so.

    Raises DocumentError where they are many, or cannot be told.
    """
    forms = list(_forms(data))
    numbers = {form.number for form in forms}
    endless: set[int] = set()
    first = 0 if any(_may_multiply(form, numbers) for form in forms) else pages
    while first < pages:
        command = python(Path(__file__).with_name("load_pages.py"), str(first))
        done = subprocess.run(command, input=data, capture_output=True, check=False)
        if done.returncode > 0:
            error = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise DocumentError(f"{name}: its pages could not be tried one by one: {error}")
        first += len(done.stdout.splitlines())
        if done.returncode < 0:  # a signal ended it at this page
            endless.add(first)
            first += 1
        if len(endless) > _MOST_ENDLESS:
            raise DocumentError(
                f"{name}: more than {_MOST_ENDLESS} of its pages draw the same over and over "
                "without end; print it to a new PDF"
            )
    return frozenset(endless)


def _forms(data: bytes) -> Iterator[_Form]:
    for name in _FORM.finditer(data):
        start = data.rfind(b"obj", 0, name.start())
        stream = data.find(b"stream", name.end())
        if start >= 0 and stream >= 0 and data.find(b"endobj", name.end(), stream) < 0:
            number = _NUMBER.search(data, max(start - 30, 0), start)
            end = data.find(b"endstream", stream)
            body = data[stream + len(b"stream") : end if end >= 0 else len(data)]
            yield _Form(number[1] if number else b"", data[start + 3 : stream], body)


def _may_multiply(form: _Form, forms: set[bytes]) -> bool:
    """Return whether a form draws two things or more, some of which may be forms.

    `forms`: the numbers of all forms. True for one that cannot be looked into from here.
    """
    keys = _TYPE.sub(b"", form.keys)
    drawn = _OBJECTS.findall(keys)
    if _OWN_RESOURCES.search(keys) and len(drawn) == keys.count(b"/XObject"):
        references = [number for objects in drawn for number in _REFERENCE.findall(objects)]
        if forms.isdisjoint(references):
            return False
    body = form.body
    if b"/Filter" in keys:
        unpacking = zlib.decompressobj()
        try:
            body = unpacking.decompress(body.lstrip(b"\r\n"), _MOST_BYTES)
        except zlib.error:  # another filter, or encrypted
            return True
        if unpacking.unconsumed_tail:
            return True
    return len(_DRAWS.findall(body)) > 1
