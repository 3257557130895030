"""Small pictures of image files: thumbnails, previews, and the contact sheet."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

from alenv.data import images

SIDE = 96  # of a thumbnail
_PREVIEW = 1000  # longer side of a preview
_IN_BROWSERS = frozenset((".apng", ".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".webp"))
_ACROSS, _LINE, _GAP = 10, 16, 6
_MOST = 500  # pictures of a sheet: longer ones open badly


def thumb(file: Path) -> Image.Image:
    """Returns the middle of an image, 96 x 96 pixels, in color."""
    return Image.fromarray(images.decode(file, (SIDE, SIDE, 3)))


def data_url(picture: Image.Image) -> str:
    """Returns a picture as a JPEG that stands in its own address."""
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def small(file: Path) -> str:
    """Returns a data URL of a thumbnail; empty for an image that cannot be read any more."""
    try:
        return data_url(thumb(file))
    except Exception:  # every format's decoder fails in its own way; a report goes without
        return ""


def preview(file: Path) -> str:
    """Returns a data URL of an image that browsers cannot show; empty for one that they can."""
    if file.suffix.lower() in _IN_BROWSERS:
        return ""
    return data_url(images.picture(file, _PREVIEW))


def sheet(thumbs: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """Returns a contact sheet: thumbnails in rows of ten, each with its rank and a caption; at most 500."""
    shown = list(zip(thumbs, captions, strict=True))[:_MOST]
    wide, high = SIDE + _GAP, SIDE + _LINE + _GAP
    down = -(-len(shown) // _ACROSS)
    page = Image.new("RGB", (min(len(shown), _ACROSS) * wide + _GAP, down * high + _GAP), "white")
    draw = ImageDraw.Draw(page)
    # Pillow's own font knows Latin letters alone.
    font = ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 11)
    for place, (picture, caption) in enumerate(shown):
        left, top = _GAP + place % _ACROSS * wide, _GAP + place // _ACROSS * high
        page.paste(picture, (left, top))
        draw.text((left, top + SIDE + 1), _fitting(f"{place + 1} {caption}", font), "black", font)
    return page


def _fitting(text: str, font: ImageFont.FreeTypeFont) -> str:
    if font.getlength(text) <= SIDE:
        return text
    while text and font.getlength(text + "…") > SIDE:
        text = text[:-1]
    return text + "…"
