"""Features of images by small whitened patches, whose dictionaries are learned from training images.

Source: Coates, Lee and Ng 2011, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", sections 3
and 4; ``alenv.embedding.embed`` says how this differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alenv import geometry
from alenv.data import Dataset

# A change of these, or of what they do, needs another version of embeddings (see ``alenv.embedding``).
SEED = 0
FIT_PATCHES = 40_000
CENTROIDS = 128
PATCH = 4


def as_tensor(images: np.ndarray) -> Tensor:
    """Turns uint8 (b, H, W, C) into float32 (b, C, H, W)."""
    return torch.from_numpy(np.asarray(images, dtype=np.float32)).permute(0, 3, 1, 2)


def features(dataset: Dataset) -> Callable[[np.ndarray], Tensor]:
    """Learns patch dictionaries from train images at two resolutions; returns the image features, 8 * K wide.

    Square roots tame the few centroids that match large even areas; without them they rule the principal
    components. The coarser resolution doubles what a patch sees.
    """
    return described_by(dictionaries(dataset.train_images))


def dictionaries(images: np.ndarray) -> Scales:
    """Learns dictionaries from images, uint8 (n, H, W, C), each with the reduction that it belongs to."""
    sides = images.shape[1:3]
    sizes = [-(-max(sides) // 32)]  # larger images are first averaged down to 32 pixels at most
    if min(sides) // (2 * sizes[0]) >= 8:
        sizes.append(2 * sizes[0])
    generator = torch.Generator().manual_seed(SEED)
    return [(size, dictionary(images, size, generator)) for size in sizes]


def described_by(scales: Scales) -> Callable[[np.ndarray], Tensor]:
    """Returns the features by given dictionaries: images, uint8 (b, H, W, C), to float32 (b, 8 * K)."""

    def of(images: np.ndarray) -> Tensor:
        x = as_tensor(images)
        return torch.cat([quarter_sums(_reduced(x, size), words) for size, words in scales], dim=1).sqrt()

    return of


class Dictionary(NamedTuple):
    """Whitening and centroids of small patches, laid out for one matrix product."""

    mean: Tensor  # (d,)
    whitening: Tensor  # (d, d)
    # Rows (z, |z|^2, 1) of whitened patches z times this are squared distances to the centroids.
    distances: Tensor  # (d + 2, K)


Scales = list[tuple[int, Dictionary]]


def dictionary(images: np.ndarray, reduction: int, generator: torch.Generator) -> Dictionary:
    """Clusters whitened patches of images, uint8 (n, H, W, C), that are first averaged down by ``reduction``."""
    rows = torch.randint(len(images), (FIT_PATCHES,), generator=generator)
    parts = []
    for block in torch.split(rows, 1000):
        windows = windows_of(_reduced(as_tensor(images[block.numpy()]), reduction))  # (b, h, w, d)
        down = torch.randint(windows.shape[1], (len(block),), generator=generator)
        across = torch.randint(windows.shape[2], (len(block),), generator=generator)
        parts.append(windows[torch.arange(len(block)), down, across])
    sample = contrast_normalized(torch.cat(parts))
    mean = sample.mean(0)
    sample -= mean
    values, vectors = torch.linalg.eigh((sample.T @ sample / len(sample)).double())
    whitening = ((vectors / torch.sqrt(values.clamp_min(0.0) + 0.1)) @ vectors.T).float()
    centroids = geometry.k_means(sample @ whitening, CENTROIDS, generator).centers
    ones = torch.ones(1, CENTROIDS)
    return Dictionary(mean, whitening, torch.cat([-2.0 * centroids.T, ones, centroids.square().sum(1)[None]]))


def quarter_sums(x: Tensor, words: Dictionary) -> Tensor:
    """Returns how near the patches of each quarter are to each centroid, (b, 4 * K), for x (b, C, H, W)."""
    windows = windows_of(x)
    count, down, across, length = windows.shape
    white = (contrast_normalized(windows.reshape(-1, length)) - words.mean) @ words.whitening
    norms = white.square().sum(1, keepdim=True)
    far = torch.cat([white, norms, torch.ones_like(norms)], dim=1) @ words.distances
    far.clamp_(min=0.0).sqrt_()
    # "Triangle" activation: how much nearer than the average centroid.
    near = torch.sub(far.mean(1, keepdim=True), far, out=far).clamp_(min=0.0)
    return (_quarters(down, across) @ near.view(count, down * across, -1)).flatten(1)


def _reduced(x: Tensor, reduction: int) -> Tensor:
    return x if reduction == 1 else torch.nn.functional.avg_pool2d(x, reduction)


def windows_of(x: Tensor) -> Tensor:
    """Returns the patch around every position of x (b, C, H, W), as (b, H - s + 1, W - s + 1, C * s * s)."""
    patches = x.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (b, C, h, w, s, s)
    return patches.permute(0, 2, 3, 1, 4, 5).flatten(3)


def contrast_normalized(patches: Tensor) -> Tensor:
    """Takes out brightness and contrast; 10 grey levels squared keep flat patches from becoming noise."""
    centered = patches - patches.mean(1, keepdim=True)
    return centered / (centered.square().mean(1, keepdim=True) + 10.0).sqrt()


def _quarters(down: int, across: int) -> Tensor:
    """Returns the 0/1 matrix that sums a down x across map over its four quarters, (4, down * across)."""
    top = torch.arange(down) < (down + 1) // 2
    left = torch.arange(across) < (across + 1) // 2
    parts = [y[:, None] & x[None, :] for y in (top, ~top) for x in (left, ~left)]
    return torch.stack(parts).flatten(1).float()
