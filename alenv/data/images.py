"""Decoding of image files of any size and mode into rows of one shape."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alenv.data.class_folders import ClassFolders
from alenv.data.storage import RowBlock
from alenv.progress import progress

if TYPE_CHECKING:
    from PIL import Image

_BLOCK_BYTES = 1 << 24


def all_grey(root: Path, files: Sequence[str]) -> bool:
    """Tells whether every readable image is stored in a grey mode; pixels are not looked at."""
    from PIL import Image  # noqa: PLC0415  (`import alenv` stays light)

    for name in files:
        try:
            with Image.open(root / name) as image:
                if not _is_grey(image.mode):
                    return False
        except Exception:  # decoding reports the file, with the reason
            continue
    return True


def decode(file: Path, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Reads one image: upright, shorter side resized with antialiasing, center cropped.

    Args:
        file: The image file; colour is turned to luminance for one channel, grey repeated for three, an
            alpha channel dropped, 16-bit grey divided by 256.
        image_shape: Height, width and channels (1 or 3) of the result. An image that has this size already
            keeps its pixels.

    Returns:
        uint8 (H, W, C).

    Raises:
        Exception: Whatever the decoder of that format raises.
    """
    from PIL import Image, ImageOps  # noqa: PLC0415  (`import alenv` stays light)

    height, width, channels = image_shape
    with Image.open(file) as opened:
        if min(opened.size) >= 4 * max(height, width):
            # A JPEG decodes several times faster at a power-of-two fraction of its size.
            opened.draft(opened.mode, (2 * width, 2 * height))
        image = _eight_bit(ImageOps.exif_transpose(opened))
        image = image.convert("L" if channels == 1 else "RGB")
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
        return np.asarray(image, dtype=np.uint8).reshape(image_shape)


def decode_all(
    root: Path,
    split: ClassFolders,
    image_shape: tuple[int, int, int],
    unreadable: dict[str, str],
    title: str,
) -> Iterator[RowBlock]:
    """Yields the rows of image files in their order, decoded by threads.

    Args:
        root: The folder that the files are relative to.
        split: The files and their labels.
        image_shape: Height, width and channels of each row.
        unreadable: Receives {file: reason} for the files that are left out.
        title: What the progress bar says.
    """

    def attempt(name: str) -> np.ndarray | None:
        try:
            return decode(root / name, image_shape)
        except Exception as problem:  # every format's decoder fails in its own way; none is hidden
            unreadable[name] = str(problem)
            return None

    size = max(16, _BLOCK_BYTES // int(np.prod(image_shape)))
    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
        progress(title, len(split.files)) as advance,
    ):
        for start in range(0, len(split.files), size):
            names = split.files[start : start + size]
            rows = list(pool.map(attempt, names))
            kept = [position for position, row in enumerate(rows) if row is not None]
            if kept:
                yield RowBlock(
                    np.stack([row for row in rows if row is not None]),
                    split.labels[start : start + size][kept],
                    tuple(names[position] for position in kept),
                )
            advance(len(names))


def _is_grey(mode: str) -> bool:
    return mode in ("1", "L", "LA", "La") or mode.startswith("I")


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range")
    if not image.mode.startswith("I"):
        return image
    from PIL import Image  # noqa: PLC0415  (`import alenv` stays light)

    # Pillow opens 16-bit PNG and TIFF as "I;16", older versions as "I"; its own conversion clips at 255.
    return Image.fromarray((np.clip(np.asarray(image), 0, 65535) // 256).astype(np.uint8))
