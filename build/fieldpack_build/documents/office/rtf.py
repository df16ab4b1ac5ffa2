"""Reads RTF: paragraphs, headings by style, lists with the numbers that the file states, tables,
notes.

Our own, as striprtf 0.0.35, the kept library, changes figures (482 with a raised 1 is "4821"),
shows hidden, struck and deleted text and drops footnotes. After the RTF specification 1.9.1. What
is left out is counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import takewhile

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.merged import Cell, lay_out
from fieldpack_build.documents.omissions import Omissions
from fieldpack_build.documents.pages import Content, HeadingPath, PageBuilder, label, squeeze
from fieldpack_build.documents.raised import lower, raise_, settle
from fieldpack_build.documents.titles import says_something
from fieldpack_build.documents.vocabulary import DEFAULT, read_vocabulary
from fieldpack_build.errors import DocumentError

_TOKEN = re.compile(
    r"\\([A-Za-z]{1,32})(-?\d{1,10})? ?|\\'([0-9A-Fa-f]{2})|\\([^A-Za-z])|([{}])|([^\\{}]+)",
    re.DOTALL,
)
_CHARACTERS = {
    "par": "\n",
    "sect": "\n",
    "page": "\n",
    "line": "\n",
    "tab": "\t",
    "emdash": "—",
    "endash": "–",
    "emspace": " ",
    "enspace": " ",
    "bullet": "•",
    "lquote": "‘",
    "rquote": "’",
    "ldblquote": "“",
    "rdblquote": "”",
}
_SYMBOLS = {
    "~": "\u00a0",
    "_": "-",
    "-": "",
    "\n": "\n",
    "\r": "\n",
    "{": "{",
    "}": "}",
    "\\": "\\",
}
# Groups whose text is no text of the document. Others that begin with \* are passed over too, as
# the specification asks.
_SILENT = frozenset(
    (
        "fonttbl",
        "colortbl",
        "pict",
        "object",
        "xe",
        "tc",
        "rsidtbl",
        "generator",
        "themedata",
        "datastore",
        "listtable",
        "listoverridetable",
        "latentstyles",
        "filetbl",
        "revtbl",
        "userprops",
        "xmlnstbl",
        "bkmkstart",
        "bkmkend",
        "nonshppict",
        "pgdsctbl",
        "mmathPr",
        "operator",
        "author",
        "company",
        "doccomm",
        "keywords",
        "subject",
        "category",
        "manager",
        "hlinkbase",
        "atnid",
        "atnauthor",
        "atnref",
        "atndate",
        "atrfstart",
        "atrfend",
    )
)
# What shows nothing itself, but for groups inside it: a shape's text, a box of a form, the Unicode
# of a text that is written twice.
_FRAMES = ("shpinst", "fldinst", "upr")
_MARGINS = frozenset(
    ("header", "headerl", "headerr", "headerf", "footer", "footerl", "footerr", "footerf")
)
_OPENED = frozenset(("shppict", "shptxt", "bkmkstart", "ud"))
_CODE_PAGES = {
    0: "cp1252",
    77: "mac_roman",
    128: "cp932",
    129: "cp949",
    134: "gb18030",
    136: "big5",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
}
_MOST_GROUPS = 2000  # inside each other


@dataclass(frozen=True)
class _State:
    """Of one group; the groups inside it begin with the same. `into`: what its text is for."""

    into: str = "body"
    place: str = ""
    hidden: bool = False
    struck: bool = False
    deleted: bool = False
    style: int = 0
    outline: int | None = None
    in_table: bool = False
    unicode_skip: int = 1
    encoding: str = ""


@dataclass
class _Row:
    cells: list[str] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)  # a word for each \cellx: "", "first", "more"


def read(data: bytes, name: str, *, hidden: bool = False, vocabulary: str = DEFAULT) -> Content:
    """Read a file of Rich Text Format. `hidden`: its hidden text and comments too.

    Raises DocumentError for a file that is damaged or of another format.
    """
    if not data.lstrip().startswith(b"{\\rtf"):
        raise DocumentError(f"{name}: is no RTF, or a damaged one: it does not begin with {{\\rtf")
    reader = _Reader(hidden=hidden)
    try:
        reader.run(data.decode("latin-1"))
    except IndexError as error:
        raise DocumentError(
            f"{name}: is a damaged RTF file: it closes more groups than it opens"
        ) from error
    title = (
        label(settle(reader.info["title"]))
        if says_something(reader.info["title"], read_vocabulary(vocabulary))
        else reader.first_heading
    )
    return Content(title, (reader.builder.page(),), reader.date, (), reader.omissions.sentences())


class _Reader:
    def __init__(self, *, hidden: bool) -> None:
        self.builder = PageBuilder(HeadingPath())
        self.omissions = Omissions()
        self.info = {"title": ""}
        self.date: str | None = None
        self.first_heading = ""
        self._hidden = hidden
        self._state = _State()
        self._stack: list[_State] = []
        self._encoding = "cp1252"
        self._fonts: dict[int, str] = {}
        self._styles: dict[int, int] = {}
        self._style_name = ""
        self._font = 0
        self._text: dict[str, list[str]] = {}
        self._bytes = bytearray()
        self._skip = 0
        self._aside: list[str] = []
        self._notes = 0
        self._list: list[str] = []
        self._mark = ""
        self._rows: list[_Row] = []
        self._row = _Row()
        self._pending_merge = ""
        self._margins: dict[str, None] = {}
        self._form: dict[str, int] = {}  # what a field of a form states of itself

    def run(self, text: str) -> None:
        begins = False  # the token before opened a group
        starred = False
        at = 0
        while (token := _TOKEN.match(text, at)) is not None:
            at = token.end()
            word, number, coded, sign, brace, plain = token.groups()
            if coded is None:
                self._decode()
            if brace == "{":
                if len(self._stack) > _MOST_GROUPS:
                    raise IndexError
                self._stack.append(self._state)
                begins, starred = True, False
                continue
            if brace == "}":
                self._end_group()
            elif sign == "*":
                starred = True
                continue
            elif word is not None:
                if word == "bin":
                    at += max(int(number or 0), 0)
                else:
                    self._word(
                        word, int(number) if number else None, begins=begins, starred=starred
                    )
            elif coded is not None:
                if self._skip:  # of the bytes that stand for a character where Unicode is not known
                    self._skip -= 1
                else:
                    self._bytes.append(int(coded, 16))
            elif sign is not None:
                self._put(_SYMBOLS.get(sign, ""))
            elif plain is not None:
                self._put(plain.replace("\r", "").replace("\n", ""))
            begins = starred = False
        self._decode()
        self._paragraph()
        self._flush()
        for kind, heading in (("header", "Page header"), ("footer", "Page footer")):
            texts = [line.partition(":")[2] for line in self._margins if line.startswith(kind)]
            if texts:
                self.builder.close(0)
                self.builder.heading(1, heading)
                self.builder.text("\n".join(texts))

    # --- words and characters

    def _word(self, word: str, number: int | None, *, begins: bool, starred: bool) -> None:
        state = self._state
        if begins and self._begins_group(word, starred=starred):
            return
        on = number != 0
        if word in _CHARACTERS:
            if word in ("par", "sect", "page") and state.into == "body":
                self._paragraph()
            else:
                self._put(_CHARACTERS[word])
        elif word == "u" and number is not None:
            self._put(chr(number % 0x10000), raw=True)
            self._skip = state.unicode_skip
        elif word in ("cell", "nestcell"):
            text = squeeze(_whole(self._text.pop("body", [])))
            mark, self._mark = self._mark, ""
            self._row.cells.append(f"{mark} {text}".strip() if mark != "-" else text)
        elif word in ("row", "nestrow"):
            self._rows.append(_Row(self._row.cells, list(self._row.merged)))
            self._row = _Row(merged=self._row.merged)
        elif word == "trowd":
            self._row.merged = []
        elif word in ("clmgf", "clvmgf"):
            self._pending_merge = f"{'column' if word == 'clmgf' else 'row'} first"
        elif word in ("clmrg", "clvmrg"):
            self._pending_merge = f"{'column' if word == 'clmrg' else 'row'} more"
        elif word == "cellx":
            self._row.merged.append(self._pending_merge)
            self._pending_merge = ""
        elif word == "chftn" and state.into == "body":
            self._notes += 1
            self._put(raise_(str(self._notes)))
        elif word == "f" and number is not None:
            self._font = number
            self._state = replace(state, encoding=self._fonts.get(number, ""))
        elif word == "fcharset" and state.into == "fonttbl":
            self._fonts[self._font] = _CODE_PAGES.get(number or 0, "")
        elif word == "ansicpg" and number:
            self._encoding = f"cp{number}" if number != 65001 else "utf-8"
        elif word == "mac":
            self._encoding = "mac_roman"
        elif word in ("pc", "pca"):
            self._encoding = "cp437" if word == "pc" else "cp850"
        elif word in ("fftype", "ffres", "ffdefres"):
            self._form[word] = number or 0
        elif word in ("yr", "mo", "dy") and state.into in ("revtim", "creatim"):
            self._text.setdefault(state.into, []).append(f"{number or 0:02}")
        else:
            self._state = _formatted(state, word, number, on)

    def _begins_group(self, word: str, *, starred: bool) -> bool:
        """What a group is for; True where the word has no other meaning."""
        into = self._state.into
        if into == "silent":
            return True
        if word == "ud" and into == "upr":
            self._state = self._stack[-2]
            return True
        if word in ("pict", "object") and into in ("body", "note", "shpinst", "shptxt"):
            self.omissions.add("pictures" if word == "pict" else "embedded objects")
        target = ""
        if word in _MARGINS:
            target = word[:6]
        elif word in ("footnote", "annotation") or word in (
            "title",
            "revtim",
            "creatim",
            "stylesheet",
            "fonttbl",
            "listtext",
            "shptxt",
            *_FRAMES,
        ):
            target = word
        elif word == "pntext":  # as the programs before Word 97 wrote it
            target = "listtext"
        elif word in _SILENT or (starred and word not in _OPENED):
            target = "silent"
        if not target:
            return False
        if target in ("footnote", "annotation", "header", "footer", "listtext", "shptxt"):
            self._text[target] = []
        self._state = _State(
            target, encoding=self._state.encoding, unicode_skip=self._state.unicode_skip
        )
        return True

    def _end_group(self) -> None:
        state, self._state = self._state, self._stack.pop()
        ended = self._state.into != state.into
        if state.into == "stylesheet" and not ended:
            name = "".join(self._text.pop("stylesheet", ())).strip().rstrip(";").lower()
            if heading := re.fullmatch(r"heading ([1-9])", name):
                self._styles[state.style] = int(heading[1])
            elif name == "title":
                self._styles[state.style] = 1
        if state.into == "fldinst" and self._form.get("fftype") == 1:
            ticked = self._form.get("ffres", 25)  # 25: as its default
            self._put("☒" if (self._form.get("ffdefres") if ticked == 25 else ticked) else "☐")
            self._form = {}
        if not ended or state.into == "body":
            return
        said = squeeze(_whole(self._text.pop(state.into, [])))
        if state.into == "footnote" and said:
            self._aside.append(f"{settle(raise_(str(self._notes)))} {said}")
        elif state.into == "shptxt":
            self._aside.append(said)
        elif state.into == "annotation":
            if self._hidden and said:
                self._aside.append(f"Comment: {said}")
            elif not self._hidden:
                self.omissions.add("comments", hidden=True)
        elif state.into in ("header", "footer") and re.search(r"[^\W\d_]{2}.*[^\W\d_]{2}", said):
            self._margins[f"{state.into}:{said}"] = None
        elif state.into == "listtext":
            self._mark = said if said and (said[0].isalnum() or said[0] in "(§") else "-"
        elif state.into == "title":
            self.info["title"] = said
        elif state.into in ("revtim", "creatim"):
            self.date = (
                iso_date(said.replace(" ", "-"))
                if self.date is None or state.into == "revtim"
                else self.date
            )

    def _put(self, text: str, *, raw: bool = False) -> None:
        if not raw and self._skip and text:
            taken = min(self._skip, len(text))
            self._skip -= taken
            text = text[taken:]
        state = self._state
        if not text or state.into in ("silent", "fonttbl", *_FRAMES):
            return
        if state.into in ("revtim", "creatim"):
            return
        words = len(text.split())
        for kind, gone, hides in (
            ("hidden", state.hidden and not self._hidden, True),
            ("struck-out", state.struck, False),
        ):
            if gone:
                if words:
                    self.omissions.add(f"words of {kind} text", count=words, hidden=hides)
                return
        if state.deleted:
            if words:
                self.omissions.add("words of tracked deletions", count=words)
            return
        shaped = (
            raise_(text)
            if state.place == "super"
            else lower(text)
            if state.place == "sub"
            else text
        )
        self._text.setdefault(state.into, []).append(shaped)

    def _decode(self) -> None:
        if self._bytes:
            data, self._bytes = bytes(self._bytes), bytearray()
            try:
                text = data.decode(self._state.encoding or self._encoding, "replace")
            except LookupError:
                text = data.decode("cp1252", "replace")
            self._put(text, raw=True)

    # --- blocks

    def _paragraph(self) -> None:
        text = _whole(self._text.pop("body", [])).strip()
        mark, self._mark = self._mark, ""
        state = self._state
        if state.in_table:
            if text:
                self._text["body"] = [f"{mark} {text} ".lstrip()]
            return
        self._end_table()
        level = (
            state.outline + 1
            if state.outline is not None and state.outline < 9
            else self._styles.get(state.style)
        )
        if not text:
            return
        if level is not None:
            self._flush()
            heading = squeeze(f"{mark} {text}" if mark != "-" else text)
            self.first_heading = self.first_heading or label(heading)
            self.builder.heading(level, heading)
        elif mark:
            self._list.append(f"{mark} {text}")
        else:
            self._flush_list()
            self.builder.text(text)
        if not mark:
            self._flush_aside()

    def _end_table(self) -> None:
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        self._flush_list()
        grid = [
            [
                (text, row.merged[at] if at < len(row.merged) else "")
                for at, text in enumerate(row.cells)
            ]
            for row in rows
        ]
        merged_rows: list[list[Cell]] = []
        for top, texts in enumerate(grid):
            cells: list[Cell] = []
            for at, (text, merged) in enumerate(texts):
                if merged == "column more" and cells:
                    cells[-1] = cells[-1]._replace(columns=cells[-1].columns + 1)
                elif merged == "row more" and top:
                    continue
                else:  # a merged one reaches over those that say that they go on with it
                    below = (row[at : at + 1] for row in grid[top + 1 :])
                    more = takewhile(lambda cell: cell and cell[0][1] == "row more", below)
                    cells.append(Cell(text, 1 + (len(list(more)) if merged == "row first" else 0)))
            merged_rows.append(cells)
        table = lay_out(merged_rows)
        self.builder.text(table.title)
        self.builder.table(table.rows)
        self._flush_aside()

    def _flush(self) -> None:
        self._end_table()
        self._flush_list()
        self._flush_aside()

    def _flush_list(self) -> None:
        self.builder.text("\n".join(self._list))
        self._list.clear()

    def _flush_aside(self) -> None:
        waiting, self._aside = self._aside, []
        for text in waiting:
            self.builder.text(text)


def _whole(parts: list[str]) -> str:
    """Parts of a text as one; a character beyond the first 65,536 comes as the two halves that
    UTF-16 makes of it."""
    return settle("".join(parts)).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _formatted(state: _State, word: str, number: int | None, on: bool) -> _State:
    """The group's state after a word that shapes text or paragraph."""
    if word in ("super", "sub"):
        return replace(state, place=word if on else "")
    if word in ("up", "dn"):
        return replace(
            state,
            place=("super" if word == "up" else "sub") if number is None or number > 0 else "",
        )
    if word == "nosupersub":
        return replace(state, place="")
    if word in ("strike", "striked"):
        return replace(state, struck=on)
    if word == "v":
        return replace(state, hidden=on)
    if word == "deleted":
        return replace(state, deleted=on)
    if word == "plain":
        return replace(state, place="", hidden=False, struck=False, deleted=False)
    if word == "pard":
        return replace(state, style=0, outline=None, in_table=False)
    if word == "s" and number is not None:
        return replace(state, style=number)
    if word == "outlinelevel" and number is not None:
        return replace(state, outline=number)
    if word == "intbl":
        return replace(state, in_table=True)
    if word == "uc" and number is not None:
        return replace(state, unicode_skip=max(number, 0))
    return state
