"""Decoding of image files of any size and mode into rows of one shape."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from alenv.data import unreadable
from alenv.data.class_folders import ClassFolders
from alenv.data.storage import RowBlock, Writer
from alenv.progress import progress

if TYPE_CHECKING:
    from PIL import Image, ImageFile

_BLOCK_BYTES = 1 << 24
_FULL_BITS = 16

# Pillow has further formats; these hold pictures, and none of them starts another program.
_FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"),
    *("MPO", "AVIF", "HEIF", "JPEG2000", "DIB", "QOI"),
)


class _Decoded(NamedTuple):
    row: np.ndarray  # uint8 (H, W, C)
    peak: int  # of a deep image the largest value before it is scaled, else 0
    several: bool  # whether there are further frames or pages


@dataclass
class Reading:
    """How the files of one folder are decoded, and what decoding them has shown.

    Attributes:
        shape: Height, width and channels (1 or 3) of every row.
        bits: Depth of the deep images, those of more than 8 bits: their full scale is ``2 ** bits - 1``.
        peak: The largest value in any deep image, 0 where there is none.
        several: How many files hold further frames or pages, which are not read.
        failed: {file: reason} of what cannot be decoded and is left out.
    """

    shape: tuple[int, int, int]
    bits: int = _FULL_BITS
    peak: int = 0
    several: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def again(self) -> Reading | None:
        """Returns how to decode anew at the depth that the deep images need, or None where it was right."""
        needed = max(8, self.peak.bit_length())
        return Reading(self.shape, needed) if self.peak and needed != self.bits else None


def write_splits(
    root: Path, splits: Mapping[str, ClassFolders], shape: tuple[int, int, int], writer: Writer
) -> Reading:
    """Decodes the files of ``"train"`` and ``"test"`` into the cache.

    All deep images are scaled alike, by the depth that the largest value of the whole folder needs, so that
    12-bit counts fill the range and brightness stays comparable between images.

    Returns:
        What decoding has shown, the files that are left out among it.
    """
    following: Reading | None = Reading(shape)
    while following is not None:
        reading = following
        for name, split in splits.items():
            writer.split(name, shape, decode_all(root, split, reading, f"Reading {name} images"))
        following = reading.again()
    return reading


def open_image(file: Path) -> ImageFile.ImageFile:
    """Opens an image file by its content, whatever its name."""
    from PIL import Image  # noqa: PLC0415  (`import alenv` stays light)

    # TGA files start with no mark, so that other files pass for one.
    return Image.open(file, formats=("TGA",) if file.suffix.lower() == ".tga" else _formats())


def all_grey(root: Path, files: Sequence[str]) -> bool:
    """Tells whether every readable image is stored in a grey mode; pixels are not looked at."""
    for name in files:
        try:
            with open_image(root / name) as image:
                if not _is_grey(image.mode):
                    return False
        except Exception:  # decoding reports the file, with the reason
            continue
    return True


def decode(file: Path, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Reads one image: upright, shorter side resized with antialiasing, center cropped.

    Args:
        file: The image file, of which the first frame is read; color is turned to luminance for one channel,
            grey repeated for three, transparent parts laid on white, grey of more than 8 bits scaled by the bits that
            this image needs.
        image_shape: Height, width and channels (1 or 3) of the result. An image that has this size already
            keeps its pixels.

    Returns:
        uint8 (H, W, C).

    Raises:
        Exception: Whatever the decoder of that format raises.
    """
    return _decode(file, image_shape, None).row


def picture(file: Path, most: int) -> Image.Image:
    """Reads one image whole: upright, in color, reduced where it is larger than ``most`` pixels; see ``decode``.

    Args:
        file: The image file, of which the first frame is read.
        most: Pixels that neither side of the result has more of.

    Raises:
        Exception: Whatever the decoder of that format raises.
    """
    with open_image(file) as opened:
        opened.draft(opened.mode, (2 * most, 2 * most))
        found = _upright(opened, None).image.convert("RGB")
    found.thumbnail((most, most))
    return found


def decode_all(root: Path, split: ClassFolders, reading: Reading, title: str) -> Iterator[RowBlock]:
    """Yields the rows of image files in their order, decoded by threads.

    Args:
        root: The folder that the files are relative to.
        split: The files and their labels.
        reading: The shape of each row; it receives the files that are left out, and the largest deep value.
        title: What the progress bar says.
    """

    def attempt(name: str) -> _Decoded | None:
        try:
            return _decode(root / name, reading.shape, reading.bits)
        except unreadable.UnusablePixels as problem:
            reading.failed[name] = str(problem)
        except Exception as problem:  # every format's decoder fails in its own way; none is hidden
            reading.failed[name] = unreadable.reason(root / name, problem)
        return None

    size = max(16, _BLOCK_BYTES // int(np.prod(reading.shape)))
    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
        progress(title, len(split.files)) as advance,
    ):
        for start in range(0, len(split.files), size):
            names = split.files[start : start + size]
            found = list(pool.map(attempt, names))
            kept = [position for position, one in enumerate(found) if one is not None]
            decoded = [one for one in found if one is not None]
            if kept:
                yield RowBlock(
                    np.stack([one.row for one in decoded]),
                    split.labels[start : start + size][kept],
                    tuple(names[position] for position in kept),
                )
                reading.peak = max(reading.peak, *(one.peak for one in decoded))
                reading.several += sum(one.several for one in decoded)
            advance(len(names))


def _decode(file: Path, shape: tuple[int, int, int], bits: int | None) -> _Decoded:
    """Reads the first frame of an image at the depth of ``bits``, None = its own; see :func:`decode`."""
    from PIL import Image, ImageOps  # noqa: PLC0415  (`import alenv` stays light)

    height, width, channels = shape
    with open_image(file) as opened:
        # The second picture of an MPO file is the other eye's view, or a preview.
        several = opened.format != "MPO" and bool(getattr(opened, "is_animated", False))
        if min(opened.size) >= 4 * max(height, width):
            # A JPEG decodes several times faster at a power-of-two fraction of its size.
            opened.draft(opened.mode, (2 * width, 2 * height))
        upright = _upright(opened, bits)
        image = upright.image.convert("L" if channels == 1 else "RGB")
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
        return _Decoded(np.asarray(image, dtype=np.uint8).reshape(shape), upright.peak, several)


class _Upright(NamedTuple):
    image: Image.Image
    peak: int  # see ``_Decoded``


def _upright(opened: ImageFile.ImageFile, bits: int | None) -> _Upright:
    """Turns a picture upright, scales it to eight bits a color and lays it on white."""
    from PIL import ImageOps  # noqa: PLC0415  (`import alenv` stays light)

    # A file of 16 bits a color; a BMP's "BGR;16" has 16 bits a pixel.
    deep_color = opened.mode[0] != "I" and re.search(r"(?<!BGR);16", str(opened.tile)) is not None
    image, peak = ImageOps.exif_transpose(opened), 0
    if image.mode == "F":
        raise unreadable.UnusablePixels(unreadable.FLOAT)
    if image.mode.startswith("I"):
        image, peak = _eight_bit(image, bits)
    elif deep_color:
        peak = _peak_of_colors(image, bits or _FULL_BITS)
    return _Upright(_on_white(image), peak)


@functools.cache
def _formats() -> tuple[str, ...]:
    """Returns the formats that this Pillow knows, plug-ins included."""
    from PIL import Image  # noqa: PLC0415  (`import alenv` stays light)

    Image.init()
    return tuple(kind for kind in _FORMATS if kind in Image.OPEN)


def _is_grey(mode: str) -> bool:
    return mode in ("1", "L", "LA", "La") or mode.startswith("I")


def _eight_bit(image: Image.Image, bits: int | None) -> tuple[Image.Image, int]:
    """Scales grey of ``bits`` bits, None = as many as it needs, to eight, and returns its largest value too."""
    from PIL import Image  # noqa: PLC0415  (`import alenv` stays light)

    # Pillow opens 16-bit PNG and TIFF as "I;16", older versions as "I"; its own conversion clips at 255.
    pixels = np.asarray(image).astype(np.int64)
    if pixels.min() < 0:
        raise unreadable.UnusablePixels(unreadable.NEGATIVE)
    peak = int(pixels.max())
    bits = bits or max(8, peak.bit_length())
    return Image.fromarray(np.clip(pixels >> (bits - 8), 0, 255).astype(np.uint8)), peak


def _peak_of_colors(image: Image.Image, bits: int) -> int:
    """Returns the largest value of 16-bit colors, of which Pillow keeps the upper eight bits alone."""
    if bits != _FULL_BITS:
        raise unreadable.UnusablePixels(unreadable.DEEP_COLOR)
    colors = [band for band in image.getbands() if band not in "Aa"]
    return max(int(np.asarray(image.getchannel(band)).max()) for band in colors) << 8 | 255


def _on_white(image: Image.Image) -> Image.Image:
    """Lays the transparent parts of an image on white."""
    from PIL import Image  # noqa: PLC0415  (`import alenv` stays light)

    if image.mode == "La":
        image = image.convert("LA")
    if image.mode not in ("LA", "PA", "RGBA", "RGBa") and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    return ground
