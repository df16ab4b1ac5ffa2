"""Reads pictures of text, such as scanned letters, when OCR is asked for. Each frame of a TIFF is a
page."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from fieldpack_build.documents import ocr as reader
from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.pages import (
    Content,
    HeadingPath,
    OnProgress,
    PageBuilder,
    say_nothing,
)
from fieldpack_build.errors import DocumentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_MAX_PIXELS = 120_000_000  # A3 at 600 dots an inch has 70 million; in RGB this is 360 MB
_MAX_FRAMES = 2000
_EXIF_DATE = 0x0132


def read(
    data: bytes, name: str, *, ocr: bool = False, on_progress: OnProgress = say_nothing
) -> Content:
    """Read the text in an image, each frame a page.

    Raises DocumentError without `ocr`, and for a file that is damaged or too large.
    """
    from PIL import Image, UnidentifiedImageError

    if not ocr:
        raise DocumentError(f"{name}: is an image: set knowledge.ocr: true to read it")
    try:
        with Image.open(BytesIO(data)) as image:
            date = iso_date(str(image.getexif().get(_EXIF_DATE, "")).replace(":", "-", 2))
            texts: list[str] = []
            for pixels in _frames(image, name):
                texts.append(reader.page_text(pixels))
                on_progress(len(texts), getattr(image, "n_frames", 1), "page")
    except UnidentifiedImageError as error:
        raise DocumentError(f"{name}: is no image, or a damaged one") from error
    # What Pillow's decoders end in on damaged files: OSError cut off, SyntaxError and ValueError
    # bad headers.
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        TypeError,
        Image.DecompressionBombError,
    ) as error:
        raise DocumentError(f"{name}: is a damaged image: {error}") from error
    pages = []
    for number, text in enumerate(texts, start=1):
        builder = PageBuilder(HeadingPath())
        builder.text(text)
        pages.append(builder.page(number if len(texts) > 1 else None))
    return Content("", tuple(pages), date)


def _frames(image: Image, name: str) -> Iterator[NDArray[np.uint8]]:
    """The frames in RGB [height, width, 3], upright."""
    import numpy as np
    from PIL import Image as images
    from PIL import ImageOps

    frames = getattr(image, "n_frames", 1)
    if frames > _MAX_FRAMES:
        raise DocumentError(f"{name}: has {frames:,} frames; split it")
    for number in range(frames):
        image.seek(number)
        if image.width * image.height > _MAX_PIXELS:
            raise DocumentError(
                f"{name}: has {image.width:,} x {image.height:,} pixels; scan it at 300 dots an "
                "inch"
            )
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:  # what is transparent is paper
            layer = upright.convert("RGBA")
            paper = images.new("RGBA", layer.size, "white")
            upright = images.alpha_composite(paper, layer)
        yield np.asarray(upright.convert("RGB"))
