"""Small images of a few kinds, and features of them, for tests of labeling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def painted(kind: int, number: int, side: int = 24) -> Image.Image:
    """Returns an image of a color of its kind, with noise of its number."""
    random = np.random.default_rng([kind, number])
    color = np.random.default_rng(kind).integers(30, 220, 3)
    pixels = color + random.integers(-30, 30, (side, side, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write(folder: Path, kinds: int, each: int) -> dict[str, str]:
    """Writes ``kinds * each`` images and returns {file: class}."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for kind in range(kinds):
        for number in range(each):
            name = f"{number:02d}-{kind}.png"
            painted(kind, number).save(folder / name)
            truth[name] = f"kind {kind}"
    return truth


def quadrants(images: np.ndarray) -> np.ndarray:
    """Features of images, uint8 (n, H, W, 3): the mean color of each quarter, and some pixels."""
    half = images.shape[1] // 2
    x = images.astype(np.float32) / 255 - 0.5
    means = [x[:, i : i + half, j : j + half].mean((1, 2)) for i in (0, half) for j in (0, half)]
    fine = x[:, ::32, ::32].reshape(len(x), -1)  # without it all images of one color were near-duplicates
    return np.concatenate([*means, 0.5 * fine], axis=1)


def nothing(images: np.ndarray) -> np.ndarray:
    """Features of images that say nothing of their kind."""
    return np.random.default_rng(0).normal(size=(len(images), 8)).astype(np.float32)
