"""The features that images can be described by, each with the size it reads images in."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alenv import embedding, errors, files, imagenet, patches, plugins
from alenv.runtime import resolve

Describe = Callable[[np.ndarray], np.ndarray]
Sample = Callable[[], np.ndarray]

_SIDES = {"imagenet": 128, "patches": 32}
_OTHER_SIDE = 256  # what other networks and functions of the user's get
_SIZE = 256  # components that patches keep
_CHUNK = 32  # images that a network reads at a time


@dataclass(frozen=True)
class Kind:
    """A kind of features.

    Attributes:
        name: How it is spelled.
        key: Name of the folder that keeps its rows: another one for whatever gives other rows.
        side: Images come as uint8 (n, side, side, 3).
        start: Given a sample of the images, and the folder, returns the function from images to rows (n, D), float32
            but for the images themselves.
    """

    name: str
    key: str
    side: int
    start: Callable[[Sample, Path], Describe]


def default() -> str:
    """Returns ``"imagenet"`` where its extra is installed, else ``"patches"``."""
    try:
        imagenet.find(imagenet.NAME)
    except errors.InvalidRecipe:
        return "patches"
    return imagenet.NAME


def find(name: str, root: Path) -> Kind:
    """Finds a kind of features by its name; nothing is computed.

    Args:
        name: ``"imagenet"``, ``"imagenet-NAME"``, ``"timm-NAME"``, ``"patches"``, or a function of your own.
        root: The folder of the images; patches have a dictionary of their own for each.

    Raises:
        UnknownName: There are no such features.
        InvalidRecipe: The package that is needed is not installed.
    """
    side = _SIDES.get(name, _OTHER_SIDE)
    if plugins.is_own(name):
        function = plugins.load(name, "features")
        identity = [name.rpartition(":")[2], plugins.content(name)]
        return Kind(name, _key("own", identity), side, lambda *_: _of_function(name, function))
    if imagenet.is_name(name):
        network = imagenet.find(name)
        return Kind(name, _key(name, network.identity), side, lambda *_: _of_network(network))
    if name == "patches":
        return Kind(name, _key(name, str(root)), side, _of_patches)
    raise errors.unknown(
        "kind of features", name, ("patches", *imagenet.SPELLINGS, "FILE.npy", "FILE.py:NAME")
    )


def pixels(side: int) -> Kind:
    """Returns the images themselves, uint8 (n, side * side * 3) a row, for networks that are trained on them."""
    name = f"pixels-{side}"
    return Kind(name, name, side, lambda *_: lambda images: images.reshape(len(images), -1))


def _key(name: str, identity: Any) -> str:
    return f"{name}-{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]}"


def _of_function(name: str, function: Callable[[np.ndarray], Any]) -> Describe:
    def describe(images: np.ndarray) -> np.ndarray:
        rows = np.asarray(function(images), dtype=np.float32)
        if rows.ndim != 2 or len(rows) != len(images) or not np.isfinite(rows).all():
            raise errors.InvalidRecipe(
                f"The features {name} gave an array of shape {rows.shape} for {len(images)} images; the function must "
                "return one row of finite numbers per image, (n, D)."
            )
        return rows

    return describe


def _of_network(network: imagenet.Pretrained) -> Describe:
    where = resolve("auto", "fp32", torch.get_num_threads())
    features = network.features(where.device)

    @torch.no_grad()
    def describe(images: np.ndarray) -> np.ndarray:
        chunks = np.split(images, range(_CHUNK, len(images), _CHUNK))
        return torch.cat([features(chunk) for chunk in chunks]).numpy()

    return describe


def _of_patches(sample: Sample, folder: Path) -> Describe:
    """Learns the dictionary at first use and keeps it, so that rows of old images stay what they are."""
    file = folder / "dictionary.pt"
    if not file.exists():
        images = sample()
        scales = patches.dictionaries(images)
        described = patches.described_by(scales)
        chunks = np.split(images, range(_CHUNK, len(images), _CHUNK))
        projection = embedding.fit_projection(torch.cat([described(chunk) for chunk in chunks]), _SIZE, True)
        kept = io.BytesIO()
        torch.save([[(size, tuple(words)) for size, words in scales], tuple(projection)], kept)
        files.make_folder(folder)
        files.write_bytes(file, kept.getvalue())
    stored, projected = torch.load(file, weights_only=True)
    described = patches.described_by([(size, patches.Dictionary(*words)) for size, words in stored])
    projection = embedding.Projection(*projected)

    def describe(images: np.ndarray) -> np.ndarray:
        chunks = np.split(images, range(_CHUNK, len(images), _CHUNK))
        return torch.cat([projection.apply(described(chunk)) for chunk in chunks]).numpy()

    return describe
