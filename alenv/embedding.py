"""Frozen, label-free representations of a dataset: a unit-length row per image, computed once and cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from alenv import embedding_file, errors, imagenet, patches, plugins, pretraining
from alenv.data import Dataset, cache
from alenv.data.dataset import array_digest
from alenv.patches import as_tensor
from alenv.progress import progress
from alenv.runtime import resolve
from alenv.settings import Recipe

NAMES = ("pixels", "patches", *pretraining.NAMES)

# Part of the cache's key: raise it whenever a row would come out differently.
_VERSION = 1
_FIT_IMAGES = 10_000
_FUNCTION_IMAGES = 1024
_NETWORK_IMAGES = 8  # per thread; a device takes sixteen times as many at once

_LOADED: dict[Path, np.ndarray] = {}

Features = Callable[[np.ndarray], Tensor]


def embed(
    dataset: Dataset, name: str, size: int = 256, recipe: Recipe | None = None, device: str = "auto"
) -> np.ndarray:
    """Returns the representation of every image of a dataset, train rows first.

    ``"pixels"`` are the normalized pixels; ``"patches"`` describe each quarter of the image, at two
    resolutions, by its similarity to centroids of small whitened patches. Both are reduced by a principal
    component analysis of train images where they have more than ``size`` dimensions. ``FILE.npy`` holds a
    float array by dataset row. ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION`` is a function of your own from images,
    uint8 (n, H, W, C), to float rows (n, D). ``"rotation"`` and ``"simclr"`` are the features of a trunk that is
    pretrained so on all training images (see ``alenv.pretraining``). ``"imagenet"``, ``"imagenet-NAME"`` and
    ``"timm-NAME"`` are those of a network that was trained on ImageNet (see ``alenv.imagenet``). On a CPU the rows of
    all but the functions and the trunks are computed by single-threaded work on chunks of fixed size, so they do not
    depend on the number of threads.

    Args:
        dataset: The dataset.
        name: ``"pixels"``, ``"patches"``, ``"rotation"``, ``"simclr"``, ``"imagenet"``, ``"imagenet-NAME"``,
            ``"timm-NAME"``, the path of a ``.npy`` file, or a function of your own.
        size: Dimensions D that ``"pixels"`` and ``"patches"`` keep; fewer where they have fewer. The others keep all.
        recipe: Says which trunk is pretrained and how; None = the default recipe.
        device: Where that is done, and where networks compute features: ``"auto"`` or a torch device.

    Returns:
        float32 (n_train + n_test, D), read-only, rows of length 1; a file may hold the train rows alone.
        Memory-mapped where the cache can be written.

    Raises:
        UnknownName: ``name`` is none of these, or there is no such function.
        InvalidRecipe: The file does not exist, or the array that it or the function gives does not fit, or the images
            do not fit the pretraining or the network, or its package or weights are not here.

    Source: Coates, Lee and Ng, An Analysis of Single-Layer Networks in Unsupervised Feature Learning (2011),
        sections 3 and 4 ("patches").

    Differs: 4x4 patches at two resolutions, 128 centroids each, square roots of the sums, then principal
        components; at 256 dimensions this keeps more of the classes than one dictionary of 6x6 patches.
    """
    check(name)
    if name.endswith(".npy"):
        return embedding_file.read(dataset, Path(name).expanduser())
    called, identity, compute = _way(dataset, name, size, recipe or Recipe(), device)
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    folder = cache.root() / "embeddings" / f"{dataset.name}-{called}-{key}"
    if folder not in _LOADED:
        facts = {"dataset": dataset.name, "checksum": dataset.checksum, "embedding": name, "size": size}
        rows = _cached(len(dataset.train_labels) + len(dataset.test_labels), compute, facts, folder)
        rows.setflags(write=False)
        _LOADED[folder] = rows
    return _LOADED[folder]


def check(name: str) -> None:
    """Checks that there is an embedding of this name; nothing is computed or downloaded.

    Raises:
        UnknownName: It is neither a file nor one of those that are known, or there is no such function.
        InvalidRecipe: The file cannot be read, or the package that is needed is not installed.
    """
    if name.endswith(".npy"):
        embedding_file.opened(Path(name).expanduser())
    elif plugins.is_own(name):
        plugins.load(name, "embedding")
    elif imagenet.is_name(name):
        imagenet.find(name)
    elif name not in NAMES:
        known = (*NAMES, *imagenet.SPELLINGS, "FILE.npy", "FILE.py:FUNCTION")
        raise errors.unknown("embedding", name, known)


class _Way(NamedTuple):
    """How rows come about: what they are called, what tells them from others (JSON values), and the computation."""

    called: str
    identity: list[Any]
    compute: Callable[[], np.ndarray]


def _way(dataset: Dataset, name: str, size: int, recipe: Recipe, device: str) -> _Way:
    if plugins.is_own(name):
        own, called = plugins.load(name, "embedding"), name.rpartition(":")[2]
        identity = [dataset.checksum, called, plugins.content(name)]
        return _Way(called, identity, lambda: _from_function(dataset, name, own))
    if name in pretraining.NAMES:
        trunk = pretraining.features_key(dataset, name, recipe)

        def features() -> np.ndarray:
            where = resolve(device, recipe.precision, torch.get_num_threads())
            return pretraining.features(dataset, name, recipe, where)

        return _Way(f"{name}-{recipe.backbone}", [dataset.checksum, name, trunk, _VERSION], features)
    if imagenet.is_name(name):
        network = imagenet.find(name)
        if dataset.image_shape[2] not in (1, 3):
            raise errors.InvalidRecipe(
                f"embedding={name!r} was given for images of {dataset.image_shape[2]} channels; it takes grey and "
                "color images alone."
            )
        of_network = [dataset.checksum, *network.identity, _VERSION]
        return _Way(name, of_network, lambda: _from_network(dataset, network, device))
    return _Way(
        f"{name}-{size}", [dataset.checksum, name, size, _VERSION], lambda: _compute(dataset, name, size)
    )


def _cached(count: int, compute: Callable[[], np.ndarray], facts: dict[str, Any], folder: Path) -> np.ndarray:
    def write(rows: np.ndarray, place: Path) -> None:
        np.save(place / "rows.npy", rows)
        recorded = {**facts, "sha256": array_digest(rows)}
        (place / cache.META).write_text(json.dumps(recorded), encoding="ascii")

    return cache.computed(folder, compute, write, lambda: _stored(folder, count))


def _stored(folder: Path, count: int) -> np.ndarray | None:
    if not cache.is_finished(folder):
        return None
    try:
        rows: np.ndarray = np.load(folder / "rows.npy", mmap_mode="r")
        digest = json.loads((folder / cache.META).read_text(encoding="ascii"))["sha256"]
    except (OSError, LookupError, TypeError, ValueError, EOFError):
        return None
    whole = rows.ndim == 2 and len(rows) == count and rows.dtype == np.float32
    return rows if whole and array_digest(rows) == digest else None


def _from_function(dataset: Dataset, name: str, function: Callable[[np.ndarray], Any]) -> np.ndarray:
    """Applies a user's function to all images, in blocks of ``_FUNCTION_IMAGES``."""
    parts = []
    with progress(f"embedding {dataset.name}", _count(dataset)) as advance:
        for images in (dataset.train_images, dataset.test_images):
            for block in _chunks(images, _FUNCTION_IMAGES):
                rows = np.asarray(function(np.array(block)), dtype=np.float32)
                if rows.ndim != 2 or len(rows) != len(block) or not np.isfinite(rows).all():
                    raise errors.InvalidRecipe(
                        f"The embedding {name} gave an array of shape {rows.shape} for {len(block)} images; it must "
                        "return one row of finite numbers per image, (n, D)."
                    )
                parts.append(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
                advance(len(rows))
    return np.concatenate(parts)


def _compute(dataset: Dataset, name: str, size: int) -> np.ndarray:
    train = dataset.train_images
    with (
        _workers() as pool,
        torch.no_grad(),
        progress(f"embedding {dataset.name}", _count(dataset)) as advance,
    ):
        features, chunk = (_pixels(dataset), 64) if name == "pixels" else (patches.features(dataset), 8)
        # With very long features the Gram matrix of fewer images is the smaller eigenproblem.
        most = _FIT_IMAGES if features(train[:1]).shape[1] <= 4096 else 4096
        sample = train[np.linspace(0, len(train) - 1, min(len(train), most)).astype(np.int64)]
        x = torch.cat(list(pool.map(features, _chunks(sample, chunk))))
        projection = fit_projection(x, size, standardize=name == "patches")

        return _all_rows(dataset, lambda images: projection.apply(features(images)), chunk, pool, advance)


def _from_network(dataset: Dataset, network: imagenet.Pretrained, device: str) -> np.ndarray:
    """Returns the features of all images by a pretrained network, each chunk on one thread or all on one device."""
    where = resolve(device, "fp32", torch.get_num_threads())
    features = network.features(where.device)
    most, chunk = (16, _NETWORK_IMAGES) if where.device == "cpu" else (1, 16 * _NETWORK_IMAGES)
    with (
        where.active(),
        _workers(most) as pool,
        progress(f"embedding {dataset.name}", _count(dataset)) as advance,
    ):
        return _all_rows(dataset, features, chunk, pool, advance)


def _all_rows(
    dataset: Dataset, features: Features, chunk: int, pool: ThreadPoolExecutor, advance: Callable[[int], None]
) -> np.ndarray:
    """Applies ``features`` to all images, train images first, in chunks that several threads share."""

    def rows_of(images: np.ndarray) -> np.ndarray:
        rows = torch.nn.functional.normalize(features(images), eps=1e-12)
        advance(len(rows))
        return rows.numpy()

    splits = (dataset.train_images, dataset.test_images)
    return np.concatenate([rows for split in splits for rows in pool.map(rows_of, _chunks(split, chunk))])


def _count(dataset: Dataset) -> int:
    return len(dataset.train_labels) + len(dataset.test_labels)


def _chunks(images: np.ndarray, size: int) -> list[np.ndarray]:
    return [images[start : start + size] for start in range(0, len(images), size)]


@contextmanager
def _workers(most: int = 16) -> Iterator[ThreadPoolExecutor]:
    """Yields as many threads as torch may use now, at most so many, and lets each operator use one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(min(before, most), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


class Projection(NamedTuple):
    """Centers, scales and rotates features; without a basis it leaves the number of dimensions."""

    mean: Tensor  # (F,)
    scale: Tensor  # (F,)
    basis: Tensor | None  # (F, D)

    def apply(self, features: Tensor) -> Tensor:
        """Returns float32 (n, D) of features, float32 (n, F)."""
        rows = (features - self.mean) / self.scale
        return rows if self.basis is None else rows @ self.basis


def fit_projection(x: Tensor, size: int, standardize: bool) -> Projection:
    """Fits the principal components of features, float32 (n, F), which are overwritten."""
    width = x.shape[1]
    mean = x.mean(0)
    x -= mean
    scale = torch.ones_like(mean)
    if standardize:
        scale = x.square().mean(0).sqrt().clamp_min(1e-6)
        x /= scale
    if width <= size:
        return Projection(mean, scale, None)
    by_gram = len(x) < width
    vectors = torch.linalg.eigh((x @ x.T if by_gram else x.T @ x).double())[1].flip(1)[:, :size].float()
    basis = torch.nn.functional.normalize(x.T @ vectors, dim=0, eps=1e-6) if by_gram else vectors
    # The sign of an eigenvector is arbitrary; fixing it keeps rows equal across linear algebra libraries.
    largest = basis.gather(0, basis.abs().argmax(0, keepdim=True))
    return Projection(mean, scale, basis * torch.where(largest < 0, -1.0, 1.0))


def _pixels(dataset: Dataset) -> Features:
    mean = 255.0 * torch.tensor(dataset.mean)[:, None, None]
    std = 255.0 * torch.tensor(dataset.std)[:, None, None]
    return lambda images: ((as_tensor(images) - mean) / std).flatten(1)
