"""The text of a Word paragraph as Word shows it: what is struck or hidden is left out and counted,
superscripts stand apart, equations are on one line, footnotes and text boxes come after the
paragraph that they belong to.

Knows nothing of numbering, headings and tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fieldpack_build.documents.office import omml
from fieldpack_build.documents.office.docx_numbering import FORMATS
from fieldpack_build.documents.omissions import Omissions
from fieldpack_build.documents.pages import squeeze
from fieldpack_build.documents.raised import lower, raise_, settle

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
# a second copy of a text box
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_PIC = "{http://schemas.openxmlformats.org/drawingml/2006/picture}pic"
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}chart"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
_IMAGE = "{urn:schemas-microsoft-com:vml}imagedata"
_MARKS = {
    _W + "tab": "\t",
    _W + "ptab": "\t",
    _W + "br": "\n",
    _W + "cr": "\n",
    _W + "noBreakHyphen": "-",
}
_SKIPPED = frozenset((_W + "pPr", _W + "rPr", _W + "sdtPr", _FALLBACK))
_DELETED = frozenset((_W + "del", _W + "moveFrom"))
_HEXADECIMAL = re.compile("[0-9A-Fa-f]+")
_HALF_POINTS = re.compile(r"-?\d{1,4}")
_SHIFTED = 4  # half points; less is a correction of the line
_FALSE = ("0", "false", "off", "none")
_BASES_DEEP = 20
# Signs of Wingdings and Symbol that say something, by their place in the font (Word adds F000).
_SYMBOLS = {
    "wingdings": {
        0x6F: "☐",
        0x70: "☐",
        0x71: "☐",
        0x72: "☐",
        0xA8: "☐",
        0xFC: "✓",
        0xFB: "✗",
        0xFD: "☒",
        0xFE: "☑",
        0x78: "☒",
        0xE0: "→",
        0xF0: "→",
        0xDF: "←",
        0xE1: "↑",
        0xE2: "↓",
        0xA7: "▪",
        0x9F: "•",
        0xD8: "➢",
    },
    "wingdings 2": {0x50: "✓", 0x4F: "✗", 0x52: "☑", 0x53: "☒", 0x54: "☒", 0xA3: "☐"},
    "symbol": {
        0xA3: "≤",
        0xB3: "≥",
        0xB1: "±",
        0xB0: "°",
        0xB4: "×",
        0xB8: "÷",
        0xB9: "≠",
        0xBB: "≈",
        0xAE: "→",
        0xAC: "←",
        0xD0: "∠",
        0xD1: "∇",
        0xD5: "∏",
        0xD6: "√",
        0xE5: "∑",
        0xF2: "∫",
        0xA5: "∞",
        0xB5: "∝",
        0x6D: "μ",
        0x44: "Δ",
        0x57: "Ω",
        0x70: "π",
        0x61: "α",
        0x62: "β",
        0x67: "γ",
        0x64: "δ",
        0x6C: "λ",
        0x73: "σ",
        0x53: "Σ",
        0xB7: "•",
    },
}


class _Look(NamedTuple):
    """How a style or run shows its text; None: as what it is based on does."""

    hidden: bool | None = None
    struck: bool | None = None
    place: str | None = None

    def over(self, below: _Look) -> _Look:
        return _Look(
            below.hidden if self.hidden is None else self.hidden,
            below.struck if self.struck is None else self.struck,
            below.place if self.place is None else self.place,
        )


class Notes(NamedTuple):
    """Elements of notes and comments by id, and the number format of each kind of note."""

    footnotes: Mapping[str, Any]
    endnotes: Mapping[str, Any]
    comments: Mapping[str, Any]
    footnote_format: str = "decimal"
    endnote_format: str = "lowerRoman"


class Runs:
    """Reads paragraphs one after the other.

    `aside`: notes, comments and text boxes of those read since it was last emptied. `hidden`:
    whether hidden text and comments are read.
    """

    def __init__(self, styles: Any, notes: Notes, omissions: Omissions, *, hidden: bool) -> None:
        self.aside: list[str] = []
        self._looks = _looks(styles)
        self._notes = notes
        self._omissions = omissions
        self._hidden = hidden
        self._counts = {"footnote": 0, "endnote": 0}
        self._marks: dict[tuple[str, str], str] = {}  # (kind, id) of each note met -> its mark
        self._commented: set[str] = set()
        self._style = ""
        self._with_marks = True
        self._fields: list[str] = []  # of each open field, "code" or "result": which one is read
        self._has_code = False  # the paragraph has fields in each other, all of which end in it

    def text(self, paragraph: Any, *, marks: bool = True) -> str:
        """Return the text of a paragraph.

        `marks`: with the numbers of footnotes, which have no place in a heading's path.
        """
        # A note or text box is read amid its paragraph.
        before = self._style, self._with_marks, self._fields, self._has_code
        self._style, self._with_marks, self._fields = style_of(paragraph), marks, []
        kinds = [sign.get(_W + "fldCharType") for sign in paragraph.iter(_W + "fldChar")]
        self._has_code = kinds.count("begin") > 1 and kinds.count("begin") <= kinds.count("end")
        text = settle("".join(self._pieces(paragraph)))
        self._style, self._with_marks, self._fields, self._has_code = before
        return text

    def _pieces(self, element: Any) -> Iterator[str]:
        for child in element.iterchildren("*"):
            if child.tag == _W + "r":
                yield self._run(child)
            elif child.tag in (omml.M + "oMath", omml.M + "oMathPara"):
                yield omml.written(child)
            elif child.tag in _DELETED:
                self._leave_out("words of tracked deletions", _raw_text(child))
            elif child.tag not in _SKIPPED and not is_placeholder(child):
                yield from self._pieces(child)

    def _run(self, run: Any) -> str:
        properties = run.find(_W + "rPr")
        named = self._looks.get(_value(properties, "rStyle") or "", _Look())
        look = _look_of(properties).over(named).over(self._looks.get(self._style, _Look()))
        if look.hidden and not self._hidden:
            self._leave_out("words of hidden text", _raw_text(run), hidden=True)
            return ""
        if look.struck:
            self._leave_out("words of struck-out text", _raw_text(run))
            return ""
        text = "".join(self._content(run))
        if look.place == "superscript":
            return raise_(text)
        return lower(text) if look.place == "subscript" else text

    def _leave_out(self, kind: str, text: str, *, hidden: bool = False) -> None:
        if words := len(text.split()):
            self._omissions.add(kind, count=words, hidden=hidden)

    def _content(self, run: Any) -> Iterator[str]:
        for child in run.iterchildren("*"):
            name = child.tag.removeprefix(_W)
            if name == "fldChar":
                self._step_field(child.get(_W + "fldCharType"))
            elif (
                self._has_code and "code" in self._fields
            ):  # {IF {MERGEFIELD sum} > 5 ...}: the inner result is none
                continue
            if name == "t":
                yield child.text or ""
            elif child.tag in _MARKS:
                yield _MARKS[child.tag]
            elif name == "sym":
                code = child.get(_W + "char", "")
                signs = _SYMBOLS.get((child.get(_W + "font") or "").lower(), {})
                yield signs.get(int(code, 16) & 0xFFF, "") if _HEXADECIMAL.fullmatch(code) else ""
            elif name == "fldChar":
                # A box of a form made with Word's older fields: ticked by its own state, else by its
                # default.
                box = child.find(f"{_W}ffData/{_W}checkBox")
                if box is not None:
                    own = _switch(box, "checked")
                    yield "☒" if (_switch(box, "default") if own is None else own) else "☐"
                choices = child.find(f"{_W}ffData/{_W}ddList")
                if choices is not None:
                    yield _chosen(choices)
            elif name == "ruby":
                base, reading = (_raw_text(child.find(_W + part)) for part in ("rubyBase", "rt"))
                yield f"{base}({reading})" if reading else base
            elif name in ("footnoteReference", "endnoteReference"):
                yield self._note(child, name.removesuffix("Reference"))
            elif name == "commentReference":
                self._comment(child.get(_W + "id"))
            elif child.tag not in _SKIPPED:
                yield from self._drawing(child)

    def _step_field(self, kind: str | None) -> None:
        if kind == "begin":
            self._fields.append("code")
        elif self._fields and kind == "separate":
            self._fields[-1] = "result"
        elif self._fields and kind == "end":
            self._fields.pop()

    def _note(self, reference: Any, kind: str) -> str:
        """The mark of a note, whose text goes aside."""
        notes, form = (
            (self._notes.footnotes, self._notes.footnote_format)
            if kind == "footnote"
            else (self._notes.endnotes, self._notes.endnote_format)
        )
        key = reference.get(_W + "id") or ""
        note = notes.get(key)
        if note is None:
            return ""
        if (kind, key) in self._marks:  # its text stands at its first mark
            return raise_(self._marks[kind, key]) if self._with_marks else ""
        mark = ""
        if reference.get(_W + "customMarkFollows", "0") in _FALSE:
            self._counts[kind] += 1
            mark = FORMATS.get(form, str)(self._counts[kind])
        self._marks[kind, key] = mark
        at = len(self.aside)
        text = squeeze(" ".join(self.text(paragraph) for paragraph in note.iter(_W + "p")))
        self.aside.insert(at, f"{settle(raise_(mark))} {text}".strip())
        return raise_(mark) if self._with_marks else ""

    def _comment(self, key: str | None) -> None:
        comment = self._notes.comments.get(key or "")
        if comment is None or (key or "") in self._commented:
            return
        self._commented.add(key or "")
        text = (
            squeeze(" ".join(self.text(paragraph) for paragraph in comment.iter(_W + "p")))
            if self._hidden
            else ""
        )
        if text:
            author = comment.get(_W + "author")
            self.aside.append(f"Comment by {author}: {text}" if author else f"Comment: {text}")
        elif not self._hidden:
            self._omissions.add("comments", hidden=True)

    def _drawing(self, element: Any) -> Iterator[str]:
        """Text boxes go aside; pictures, charts, diagrams and embedded files are counted; what else
        holds text is text."""
        kinds = (
            (_PIC, "pictures"),
            (_IMAGE, "pictures"),
            (_CHART, "charts"),
            (_DIAGRAM, "diagrams"),
        )
        if element.tag.startswith(_W) and element.tag.removeprefix(_W) in (
            "drawing",
            "pict",
            "object",
        ):
            kind = next(
                (kind for tag, kind in kinds if next(element.iter(tag), None) is not None), ""
            )
            embedded = element.tag == _W + "object"
            if embedded or kind:
                self._omissions.add("embedded objects" if embedded else kind)
        elif (
            not element.tag.startswith(_W) and element.tag.rpartition("}")[2] != "AlternateContent"
        ):
            return
        copies = {
            box for other in element.iter(_FALLBACK) for box in other.iter(_W + "txbxContent")
        }
        boxes = [box for box in element.iter(_W + "txbxContent") if box not in copies]
        for box in boxes:
            self.aside.append(
                "\n".join(
                    filter(None, (self.text(paragraph).strip() for paragraph in box.iter(_W + "p")))
                )
            )
        if not boxes and element.tag.rpartition("}")[2] == "AlternateContent":
            for choice in element.iterchildren("*"):
                if choice.tag != _FALLBACK:
                    yield from self._content(choice)


def style_of(paragraph: Any) -> str:
    """Return the id of a paragraph's style, "" where it names none."""
    properties = paragraph.find(_W + "pPr")
    return _value(properties, "pStyle") or ""


def is_placeholder(element: Any) -> bool:
    """Return whether a content control shows its hint, "Click here to enter text", as nobody has
    filled it in."""
    shown = element.find(f"{_W}sdtPr/{_W}showingPlcHdr") if element.tag == _W + "sdt" else None
    return shown is not None and shown.get(_W + "val", "1") not in _FALSE


def _chosen(choices: Any) -> str:
    """Return the entry that is chosen in a list of a form made with Word's older fields."""
    entries = [entry.get(_W + "val") or "" for entry in choices.iterchildren(_W + "listEntry")]
    stated = _value(choices, "result") or _value(choices, "default") or "0"
    return entries[int(stated)] if stated.isdecimal() and int(stated) < len(entries) else ""


def _raw_text(element: Any | None) -> str:
    if element is None:
        return ""
    return "".join(node.text or "" for node in element.iter(_W + "t", _W + "delText"))


def _looks(root: Any) -> dict[str, _Look]:
    elements = {style.get(_W + "styleId"): style for style in root.iter(_W + "style")}
    looks: dict[str, _Look] = {}
    for name, element in elements.items():
        look = _Look()
        for _ in range(_BASES_DEEP):
            look = look.over(_look_of(element.find(_W + "rPr")))
            element = elements.get(_value(element, "basedOn"))
            if element is None:
                break
        looks[name or ""] = look
    return looks


def _look_of(properties: Any | None) -> _Look:
    if properties is None:
        return _Look()
    struck = [_switch(properties, name) for name in ("strike", "dstrike")]
    stated = [value for value in struck if value is not None]
    return _Look(
        _switch(properties, "vanish"),
        any(stated) if stated else None,
        _value(properties, "vertAlign") or _moved(properties),
    )


def _moved(properties: Any) -> str | None:
    """A superscript or subscript that is made by hand: smaller text moved up or down."""
    position, size = _value(properties, "position"), _value(properties, "sz")
    if position is None or size is None or not _HALF_POINTS.fullmatch(position):
        return None
    shift = int(position)
    return None if abs(shift) < _SHIFTED else "superscript" if shift > 0 else "subscript"


def _switch(properties: Any, name: str) -> bool | None:
    inner = properties.find(_W + name)
    return None if inner is None else inner.get(_W + "val", "1") not in _FALSE


def _value(element: Any | None, name: str) -> str | None:
    inner = element.find(_W + name) if element is not None else None
    value: str | None = None if inner is None else inner.get(_W + "val")
    return value
