"""What every test shares: a data folder of its own, and small sets of images in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

import alenv  # noqa: F401  (registers the environments)
from alenv import data

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLOTHES = (
    *("T-shirt-top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small tensors run faster on one thread, and far faster when test processes share the cores."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Points ALENV_DATA to a folder of this test run."""
    folder = tmp_path_factory.mktemp("alenv-data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALENV_DATA", str(folder))
        yield folder


def write_images(folder: Path, classes: tuple[str, ...], train: int, test: int, size: int, mode: str) -> None:
    """Writes class folders of noise around one random pattern per class."""
    random = np.random.default_rng(7)
    channels = 3 if mode == "RGB" else 1
    for name in classes:
        pattern = random.integers(40, 216, size=(size, size, channels))
        for split, count in (("train", train), ("test", test)):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = (pattern + random.integers(-40, 40, pattern.shape)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels if mode == "RGB" else pixels[:, :, 0]).save(place / f"{number}.png")


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder of three classes, 20 train and 5 test images each, 12x12, colored."""
    folder = tmp_path_factory.mktemp("photos")
    write_images(folder, ("cat", "dog", "fox"), 20, 5, 12, "RGB")
    return folder


@pytest.fixture(scope="session")
def fixture_sets(_data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Caches small sets under the names of the published ones, so that their ids can be made."""
    folder = tmp_path_factory.mktemp("cifar")
    write_images(folder, CLASSES, 12, 4, 32, "RGB")
    with pytest.warns(UserWarning, match="the official cifar10 has"):
        data.add("cifar10", folder)
    clothes = tmp_path_factory.mktemp("clothes")
    write_images(clothes, CLOTHES, 12, 4, 28, "L")
    with pytest.warns(UserWarning, match="the official fashion_mnist has"):
        data.add("fashion_mnist", clothes)
    for name, classes, size in (("cifar100", 100, 32), ("svhn", 10, 32), ("tiny_imagenet", 200, 64)):
        numbered = tmp_path_factory.mktemp(name)
        write_images(numbered, tuple(map(str, range(classes))), 300 // classes, 1, size, "RGB")
        with pytest.warns(UserWarning, match=f"the official {name} has"):
            data.add(name, numbered)
