"""A set of images on the device, by position."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alenv.landmarks import Landmarks
from alenv.learners.augmentation import Augmentation
from alenv.nets import SMALLEST_IMAGE

BLOCK = 128  # images whose embedding is multiplied at once: 256 columns of it fit the second-level cache

_resident: dict[tuple[str, str], Tensor] = {}


def resident(images: np.ndarray, key: str, device: str) -> Tensor:
    """Returns ``images`` as one uint8 tensor on ``device``, once per process.

    Args:
        images: uint8 (n, H, W, C), usually a read-only memory map; on the CPU its pages are shared, not copied.
        key: What identifies the content, so that environments of one process share the tensor.
        device: Torch device.
    """
    if (key, device) not in _resident:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensor = torch.from_numpy(images)  # never written to, so the warning says nothing
        _resident[key, device] = tensor.to(device)
    return _resident[key, device]


class Origin(NamedTuple):
    """Where stored images are from: the name and the checksum of their dataset."""

    name: str
    checksum: str


class ImageSet:
    """Images that are addressed by their position in ``rows``.

    Attributes:
        rows: int64 (n,), positions in the stored images.
        shape: (C, H, W) of one image.
        embedding: float32 (n, D) by position, or None where the recipe names no embedding.
        origin: Which training images are stored, or None where that is not known.
    """

    def __init__(
        self,
        images: Tensor,
        rows: np.ndarray,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        embedding: np.ndarray | None = None,
        origin: Origin | None = None,
    ) -> None:
        """Binds the stored images to the rows that belong to this set.

        Args:
            images: uint8 (m, H, W, C) on the device.
            rows: int64 (n,), values in [0, m).
            mean: Per channel, on [0, 1].
            std: Per channel, on [0, 1].
            embedding: float32 (m, D), the frozen representation of the stored images.
            origin: Which training images these are.
        """
        device = images.device
        self._images, self._statistics = images, (mean, std)
        self.origin = origin
        self.rows = torch.tensor(rows, dtype=torch.int64, device=device)
        self.shape = (images.shape[3], images.shape[1], images.shape[2])
        self._scale = 1 / (255 * torch.tensor(std, device=device))
        self._shift = -torch.tensor(mean, device=device) / torch.tensor(std, device=device)
        self.embedding = None if embedding is None else torch.from_numpy(embedding[rows]).to(device)
        self._fill = (255 * torch.tensor(mean, device=device)).round().to(torch.uint8)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def known_origin(self) -> Origin:
        """Which training images are stored; for the sets of an environment's training images alone."""
        assert self.origin is not None, "asked for only where an environment has said so"
        return self.origin

    @property
    def device(self) -> torch.device:
        """Where the images lie."""
        return self._images.device

    @cached_property
    def embedding_blocks(self) -> Tensor:
        """The embedding in blocks of ``BLOCK`` images, float32 (blocks, D, BLOCK), contiguous, zeros at the end.

        A product of few rows with one block after the other stays in the processor's caches; with the whole
        embedding it waits for memory.
        """
        assert self.embedding is not None, "asked for only where the recipe names an embedding"
        padded = F.pad(self.embedding, (0, 0, 0, -len(self) % BLOCK))
        return padded.reshape(-1, BLOCK, padded.shape[1]).transpose(1, 2).contiguous()

    @cached_property
    def landmarks(self) -> Landmarks:
        """Where the images of the frozen embedding lie relative to fixed ones among them; see ``alenv.landmarks``."""
        embedding = self.embedding
        assert embedding is not None, "asked for only where the recipe names an embedding"
        return Landmarks(lambda indices: embedding[indices], len(self), self.device)

    def whole(self) -> ImageSet:
        """Returns the set of all stored images, each once: those outside the pool too."""
        everything = np.arange(len(self._images))
        return ImageSet(self._images, everything, *self._statistics, origin=self.origin)

    def raw(self, indices: Tensor) -> Tensor:
        """Returns uint8 (n, H, W, C) for int64 positions (n,)."""
        return self._images[self.rows[indices]]

    def normalize(self, raw: Tensor) -> Tensor:
        """Turns uint8 (n, H, W, C) into normalized float32 (n, C, H, W), channels last in memory."""
        return torch.addcmul(self._shift, raw.float(), self._scale).permute(0, 3, 1, 2)

    def augmented(self, raw: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
        """Augments and normalizes uint8 (n, H, W, C) into float32 (n, C, H, W)."""
        return self.normalize(augmentation(raw, self._fill, generator))


def shrink(images: Tensor, scale: float) -> Tensor:
    """Returns images (n, C, H, W) with both sides ``scale`` times as long, but no shorter than a network takes.

    Each new pixel averages what it covers (bilinear with antialiasing).
    """
    sides = [min(side, max(round(scale * side), SMALLEST_IMAGE)) for side in images.shape[2:]]
    smaller = F.interpolate(images, size=sides, mode="bilinear", align_corners=False, antialias=True)
    return smaller.contiguous(memory_format=torch.channels_last)
