"""Bytes to text for the formats that do not state their encoding reliably. Knows nothing of
documents."""

from __future__ import annotations

import codecs
import re

from fieldpack_build.documents.pages import clean
from fieldpack_build.errors import DocumentError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""")
# Files that begin like this are no text, whatever their suffix says.
_BINARY = {
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "a zip, perhaps an Office file",
    b"\xd0\xcf\x11\xe0": "an Office 97 to 2003 or encrypted Office file",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"\x1f\x8b": "a gzip file",
    b"\x7fELF": "a program",
    b"SQLite format 3": "a database",
}
_CONTROLS = bytes(
    [*range(9), *range(14, 27), *range(28, 32), 127]
)  # all but \t \n \v \f \r and escape
_MOST_CONTROLS = (
    0.3  # of valid UTF-8; a log padded with NULs has more, a text with a few lost ones less
)
_MOST_CONTROLS_ELSE = 0.02  # of other bytes; compressed data has 0.1, text in any old encoding none
_SAMPLE = 1 << 15
# The old encodings still met, one for each that shares most of its letters: cp1252 is latin-1 and
# more. Left to all of its 90, charset-normalizer 3.5 took Polish in iso8859_2 for iso8859_3.
_OLD = (
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1254",
    "cp1255",
    "iso8859_2",
    "koi8_r",
    "cp866",
    "cp932",
    "euc_jp",
    "gb18030",
    "big5",
    "cp949",
)
# Western encodings that no statistics tell apart, as they differ in a few bytes only: the likeliest
# first.
_WESTERN = ("cp1252", "iso8859_15", "mac_roman", "cp437", "cp850")
_WESTERN_SIGNS = frozenset("‘’“”„‚–—…€£§°«»‹›·•©®™¿¡ºª²³×\u00a0%±½¼µ†‡¢¥")
_DOUBTFUL = frozenset(
    "½¼¾ºª¢¥µ×"
)  # signs that stand beside figures or at a word's end, and never begin a word
_BLOB = re.compile(
    r"data:[\w.+-]+/[\w.+-]+(?:;[\w=.+-]+)*;base64,[A-Za-z0-9+/=_\-]+"  # a file in a link
    # the same bare: no word of any language is as long
    r"|(?<![A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{1000,}={0,2}"
    # and in lines, as e-mails have it
    r"|(?<![^\n])(?:[A-Za-z0-9+/]{60,80}\r?\n){16,}(?:[A-Za-z0-9+/]*={0,2}(?=\n|\Z))?"
)
_OLD_FROM = 12  # bytes beyond ASCII: fewer are too few to tell by
_OLD_SHARE = 0.05  # of the letters: fewer is English, German or Nordic, and cp1252


def decode(data: bytes, declared: str | None = None) -> str:
    """Return the text of some bytes, cleaned: by byte order mark, else as UTF-16 or UTF-8 if it can
    be, else as `declared`, else in the likeliest old encoding.

    Never fails: bytes with no meaning become U+FFFD.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return clean(data[len(mark) :].decode(encoding, "replace"))
    if wide := _wide(data):
        return clean(data.decode(wide, "replace"))
    try:
        return clean(data.decode("utf-8"))
    except UnicodeDecodeError:
        return clean(data.decode(declared or _guessed(data), "replace"))


def decode_markup(data: bytes) -> str:
    """Return the text of some bytes of markup; see `decode`.

    The encoding that an HTML or XML head declares comes before a guess, and UTF-8 before the
    declaration: text that is valid UTF-8 beyond ASCII is UTF-8, whatever its head says.
    """
    return decode(data, declared_encoding(data))


def refuse_binary(data: bytes, name: str) -> None:
    """Raise DocumentError for data that is no text in any encoding."""
    for magic, kind in _BINARY.items():
        if data.startswith(magic):
            raise DocumentError(f"{name}: is no text but {kind}; give it its own suffix")
    if any(data.startswith(mark) for mark, _ in _MARKS) or _wide(data):
        return
    share = (len(data) - len(data.translate(None, _CONTROLS))) / max(len(data), 1)
    if share > (_MOST_CONTROLS if _is_utf8(data) else _MOST_CONTROLS_ELSE):
        raise DocumentError(f"{name}: is no text: {share:.0%} of its bytes are control characters")


def decode_text(data: bytes, name: str) -> str:
    """Return the text of some bytes; see `decode`.

    Raises DocumentError for data that is no text.
    """
    refuse_binary(data, name)
    return decode(data)


def read_text(data: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    """Return the text of some bytes, and what a user should know of it.

    That is a guessed encoding, and files in base64 that were left out. Raises DocumentError for
    data that is no text.
    """
    text, warnings = without_blobs(decode_text(data, name))
    return text, (*guess_warning(data), *warnings)


def guess_warning(data: bytes, declared: str | None = None) -> tuple[str, ...]:
    """Return a line where letters may be wrong.

    There the encoding of `data` is neither UTF-8 or UTF-16 nor stated.
    """
    if (
        declared
        or any(data.startswith(mark) for mark, _ in _MARKS)
        or _wide(data)
        or _is_utf8(data)
    ):
        return ()
    guess = _guessed(data)
    if guess == "utf-8":
        broken = data.decode("utf-8", "replace").count("\ufffd")
        return (f"{broken:,} characters are no UTF-8; they stand as \ufffd",)
    guessed = f"its encoding is not stated and was guessed: {guess}"
    return (f"{guessed}; where letters are wrong, save it as UTF-8",)


def without_blobs(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the text without files in base64, and a line that counts them.

    Such are pictures in the links of Markdown.
    """
    shorter, count = _BLOB.subn("", text)
    return (shorter, (f"not read: {count:,} embedded files in base64",)) if count else (text, ())


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: in Latin text every other byte, or three of four, is NUL."""
    sample = data[: _SAMPLE & ~3]
    if len(sample) < 8 or len(data) % 2:
        return None
    nuls = [sample[place::4].count(0) / len(sample[place::4]) for place in range(4)]
    full, empty = 0.6, 0.1
    shapes = {"utf-32-le": "x000", "utf-32-be": "000x", "utf-16-le": "x0x0", "utf-16-be": "0x0x"}
    for encoding, shape in shapes.items():
        if all(
            share > full if place == "0" else share < empty
            for share, place in zip(nuls, shape, strict=True)
        ):
            return encoding
    return None


def _guessed(data: bytes) -> str:
    """UTF-8 with a few broken bytes, else one of the old encodings."""
    sample = data[:_SAMPLE]
    high = len(sample) - len(sample.translate(None, bytes(range(128, 256))))
    broken = sample.decode("utf-8", "replace").count("\ufffd")
    if broken * 10 < high:
        return "utf-8"
    letters = len(re.findall(rb"[A-Za-z]", sample))
    if high < _OLD_FROM or high < _OLD_SHARE * (high + letters):
        return _western(sample)
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=list(_OLD)).best()
    return best.encoding if best and best.encoding != "cp1252" else _western(sample)


def _western(sample: bytes) -> str:
    """The western encoding under which the bytes beyond ASCII are letters inside words and usual
    signs, cp1252 if all are."""
    return max(
        _WESTERN,
        key=lambda encoding: (_fit(sample.decode(encoding, "replace")), -_WESTERN.index(encoding)),
    )


def _fit(text: str) -> int:
    """One for each character beyond ASCII that fits where it stands, minus one for each that does
    not."""
    score = 0
    for match in re.finditer(r"[^\x00-\x7f]", text):
        char, start, end = match[0], match.start(), match.end()
        before, after = text[max(start - 1, 0) : start], text[end : end + 1]
        if "\u00c0" <= char <= "\u024f" and char not in "×÷":
            amid_figures = before.isdigit() or after.isdigit()
            fits = not amid_figures and not (char.isupper() and before.islower())
        else:
            amid_letters = before.isalpha() or after.isalpha()
            fits = char in _WESTERN_SIGNS and not (char in _DOUBTFUL and amid_letters)
        score += 1 if fits else -1
    return score


def declared_encoding(data: bytes) -> str | None:
    """Return the encoding that an HTML or XML head declares, None where we know of none."""
    declaration = _DECLARED.search(data[:4096])
    if declaration is None:
        return None
    try:
        info = codecs.lookup(declaration[1].decode("ascii"))
    except LookupError:
        return None
    # UTF-8 has failed already; a UTF-16 that states itself in ASCII letters is not UTF-16; "hex"
    # and "rot13" are codecs to Python but no character sets.
    return (
        None
        if info.name.startswith("utf") or not getattr(info, "_is_text_encoding", True)
        else info.name
    )
