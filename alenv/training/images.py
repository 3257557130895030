"""A set of images on the device, and the random changes that training applies to a batch of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alenv.nets import SMALLEST_IMAGE
from alenv.recipe import Recipe

INFERENCE_BATCH = 256  # one size for every pass: the last bits of a row depend on the batch it runs in
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


@dataclass(frozen=True)
class Augmentation:
    """Random crop, flip and cutout of uint8 batches, as index arithmetic; TrivialAugment, image by image.

    Attributes:
        flip: Horizontal flip with probability one half.
        crop_padding: Zero pixels on each side before the random crop back to size.
        trivial: One random operation (geometry or color) of random strength on each image, after the crop.
        cutout: Side of a random square that is filled with the mean color; 0 for none.

    Source: the paper, section 3 (flip, crop after zero padding by 4); Mueller and Hutter 2021 for
    TrivialAugment, with torchvision's wide set of operations; DeVries and Taylor 2017 for cutout.
    """

    flip: bool
    crop_padding: int
    trivial: bool
    cutout: int

    @classmethod
    def of(cls, recipe: Recipe) -> Augmentation:
        """Reads the augmentation of a recipe; ``augment=False`` switches all of it off."""
        if not recipe.augment:
            return cls(False, 0, False, 0)
        return cls(recipe.flip, recipe.crop_padding, recipe.trivial_augment, recipe.cutout)

    def __call__(self, images: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
        """Augments a batch.

        Args:
            images: uint8 (n, H, W, C).
            fill: uint8 (C,), the color inside the cutout square and beside a turned or shifted image.
            generator: CPU generator; it advances by the same amount whatever is switched on, and with TrivialAugment
                by one number more.

        Returns:
            A uint8 batch of the same shape.
        """
        n, height, width, _ = images.shape
        # One draw per batch and one copy to the device: flip, crop row and column, cutout row and column.
        draw = torch.rand(n, 5, generator=generator).to(images.device)
        if self.flip or self.crop_padding:
            images = self._crop_and_flip(images, draw, height, width)
        if self.trivial:
            images = _trivial_augment(images, fill, generator)
        if self.cutout:
            images = self._cut(images, draw, fill, height, width)
        return images

    def _crop_and_flip(self, images: Tensor, draw: Tensor, height: int, width: int) -> Tensor:
        n, pad, device = len(images), self.crop_padding, images.device
        rows = torch.arange(height, device=device).expand(n, height)
        columns = torch.arange(width, device=device).expand(n, width)
        if self.flip:
            columns = torch.where(draw[:, :1] < 0.5, columns.flip(1), columns)
        if pad:
            images = F.pad(images, (0, 0, pad, pad, pad, pad))
            rows = rows + (draw[:, 1:2] * (2 * pad + 1)).long()
            columns = columns + (draw[:, 2:3] * (2 * pad + 1)).long()
        batch = torch.arange(n, device=device)[:, None, None]
        return images[batch, rows[:, :, None], columns[:, None, :]]

    def _cut(self, images: Tensor, draw: Tensor, fill: Tensor, height: int, width: int) -> Tensor:
        # The square's center lies anywhere in the image, so squares at the border are smaller.
        top = (draw[:, 3:4] * height).long() - self.cutout // 2
        left = (draw[:, 4:5] * width).long() - self.cutout // 2
        rows = torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device)
        inside_rows = (rows >= top) & (rows < top + self.cutout)
        inside_columns = (columns >= left) & (columns < left + self.cutout)
        square = inside_rows[:, :, None] & inside_columns[:, None, :]
        return torch.where(square[..., None], fill, images)


def _trivial_augment(images: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
    from torchvision.transforms import v2  # noqa: PLC0415  (a second or more, only where it is used)

    augment = v2.TrivialAugmentWide(fill=fill.tolist())
    seed = int(torch.randint(2**62, (1,), generator=generator))
    with torch.random.fork_rng(devices=[]):  # torchvision draws from torch's global generator
        torch.default_generator.manual_seed(seed)
        return torch.stack([augment(image.permute(2, 0, 1)).permute(1, 2, 0) for image in images])


class ImageSet:
    """Images that are addressed by their position in ``rows``.

    Attributes:
        rows: int64 (n,), positions in the stored images.
        shape: (C, H, W) of one image.
        embedding: float32 (n, D) by position, or None where the recipe names no embedding.
    """

    def __init__(
        self,
        images: Tensor,
        rows: np.ndarray,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        embedding: np.ndarray | None = None,
    ) -> None:
        """Binds the stored images to the rows that belong to this set.

        Args:
            images: uint8 (m, H, W, C) on the device.
            rows: int64 (n,), values in [0, m).
            mean: Per channel, on [0, 1].
            std: Per channel, on [0, 1].
            embedding: float32 (m, D), the frozen representation of the stored images.
        """
        device = images.device
        self._images = images
        self.rows = torch.tensor(rows, dtype=torch.int64, device=device)
        self.shape = (images.shape[3], images.shape[1], images.shape[2])
        self._scale = 1 / (255 * torch.tensor(std, device=device))
        self._shift = -torch.tensor(mean, device=device) / torch.tensor(std, device=device)
        self.embedding = None if embedding is None else torch.from_numpy(embedding[rows]).to(device)
        self._fill = (255 * torch.tensor(mean, device=device)).round().to(torch.uint8)

    def __len__(self) -> int:
        return len(self.rows)

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


def in_batches(indices: Tensor, score: Callable[[Tensor], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Scores positions in batches of one size, the last one padded with its first position.

    Args:
        indices: int64 (n,) positions, n >= 1.
        score: Maps ``INFERENCE_BATCH`` positions to tensors with that many rows.

    Returns:
        The tensors of ``score`` with n rows.
    """
    parts: list[dict[str, Tensor]] = []
    for chunk in torch.split(indices, INFERENCE_BATCH):
        missing = INFERENCE_BATCH - len(chunk)
        padded = torch.cat([chunk, chunk[:1].expand(missing)]) if missing else chunk
        parts.append({name: values[: len(chunk)] for name, values in score(padded).items()})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
