"""TrivialAugment on whole batches: one random operation of random strength on each image, on any device.

The operations are drawn on the CPU, so that a GPU is never waited for; images with one operation are changed
together.

Source: Mueller and Hutter 2021, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", with the
wide set of operations.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BINS = 31
GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
COLORS = (
    *("identity", "brightness", "color", "contrast", "sharpness"),
    *("posterize", "solarize", "auto_contrast", "equalize"),
)
OPERATIONS = (*GEOMETRIC, *COLORS)

_GRAY = (0.2989, 0.587, 0.114)  # ITU-R 601-2, as image libraries turn colors into gray


def trivial_augment(images: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
    """Augments a batch.

    Args:
        images: uint8 (n, H, W, C).
        fill: uint8 (C,), the color beside a turned or shifted image.
        generator: CPU generator.

    Returns:
        A uint8 batch of the same shape.
    """
    n = len(images)
    kinds = torch.randint(len(OPERATIONS), (n,), generator=generator)
    bins = torch.randint(BINS, (n,), generator=generator)
    signs = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    changed = images.clone()
    for kind, name in enumerate(OPERATIONS):
        chosen = (kinds == kind).nonzero().flatten()
        if name != "identity" and len(chosen):
            rows = chosen.to(images.device, non_blocking=True)
            changed[rows] = apply(name, images[rows], bins[chosen], signs[chosen], fill)
    return changed


def apply(name: str, images: Tensor, bins: Tensor, signs: Tensor, fill: Tensor) -> Tensor:
    """Applies one operation to a batch.

    Args:
        name: One of ``OPERATIONS``.
        images: uint8 (n, H, W, C).
        bins: int64 (n,) strengths from 0 to ``BINS`` - 1, on the CPU.
        signs: float32 (n,), -1 or 1, on the CPU; left out of account where an operation has no sign.
        fill: uint8 (C,).
    """
    strength = bins / (BINS - 1)  # (n,) in [0, 1]
    if name in GEOMETRIC:
        return _moved(images, _matrices(name, strength, signs), fill)
    amounts = {
        "posterize": (8 - strength * 6).round(),
        "solarize": 255 * (1 - strength),
    }
    amount = amounts.get(name, 1 + signs * 0.99 * strength)
    return _CHANGES[name](images, amount.to(images.device, non_blocking=True)[:, None, None, None])


def _matrices(name: str, strength: Tensor, signs: Tensor) -> Tensor:
    """Returns float32 (n, 2, 3): where a pixel comes from, by its place relative to the image's center.

    The last column is a shift in pixels, and for a shear the share of the side that keeps the upper left corner
    where it is (see ``_moved``).
    """
    amount = signs * strength
    matrices = torch.eye(2, 3).repeat(len(strength), 1, 1)
    if name == "shear_x":
        matrices[:, 0, 1] = 0.99 * amount
    elif name == "shear_y":
        matrices[:, 1, 0] = 0.99 * amount
    elif name == "translate_x":
        matrices[:, 0, 2] = (32 * amount).trunc()
    elif name == "translate_y":
        matrices[:, 1, 2] = (32 * amount).trunc()
    else:
        angle = torch.deg2rad(135 * amount)
        matrices[:, 0, 0] = matrices[:, 1, 1] = angle.cos()
        matrices[:, 0, 1], matrices[:, 1, 0] = -angle.sin(), angle.sin()
    return matrices


def _moved(images: Tensor, matrices: Tensor, fill: Tensor) -> Tensor:
    """Takes each pixel from where its matrix points to (nearest neighbor), ``fill`` from outside."""
    n, height, width, _ = images.shape
    shear_x, shear_y = matrices[:, 0, 1], matrices[:, 1, 0]
    turned = matrices[:, 0, 0] != 1  # a rotation keeps the center, a shear the upper left corner
    matrices[:, 0, 2] += torch.where(turned, 0.0, shear_x * height / 2)
    matrices[:, 1, 2] += torch.where(turned, 0.0, shear_y * width / 2)
    moved = matrices.to(images.device, non_blocking=True)[:, :, :, None, None]
    y = torch.arange(height, device=images.device)[:, None] + 0.5 - height / 2
    x = torch.arange(width, device=images.device)[None, :] + 0.5 - width / 2
    column = (moved[:, 0, 0] * x + moved[:, 0, 1] * y + moved[:, 0, 2] + width / 2).floor().long()
    row = (moved[:, 1, 0] * x + moved[:, 1, 1] * y + moved[:, 1, 2] + height / 2).floor().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    batch = torch.arange(n, device=images.device)[:, None, None]
    found = images[batch, row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return torch.where(inside[..., None], found, fill)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """Returns factor * images + (1 - factor) * other as uint8, clipped."""
    mixed = images * factor + other * (1 - factor)
    return mixed.clamp(0, 255).to(torch.uint8)


def _gray(images: Tensor) -> Tensor:
    """Returns float32 (n, H, W, 1)."""
    if images.shape[3] != 3:
        return images.float().mean(3, keepdim=True)
    weights = torch.tensor(_GRAY, device=images.device)
    return (images * weights).sum(3, keepdim=True)


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return _blend(images, torch.zeros_like(factor), factor)


def _color(images: Tensor, factor: Tensor) -> Tensor:
    return images if images.shape[3] == 1 else _blend(images, _gray(images), factor)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    return _blend(images, _gray(images).mean((1, 2), keepdim=True), factor)


def _sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Blends with a 3x3 blur; the border stays as it is."""
    if min(images.shape[1:3]) < 3:
        return images
    smooth = images.float()
    around = sum(
        smooth[:, i : i + smooth.shape[1] - 2, j : j + smooth.shape[2] - 2]
        for i in range(3)
        for j in range(3)
    )
    blurred = smooth.clone()
    blurred[:, 1:-1, 1:-1] = ((around + 4 * smooth[:, 1:-1, 1:-1]) / 13).round()
    return _blend(images, blurred, factor)


def _posterize(images: Tensor, bits: Tensor) -> Tensor:
    step = 2 ** (8 - bits)
    return (torch.div(images, step, rounding_mode="floor") * step).to(torch.uint8)


def _solarize(images: Tensor, threshold: Tensor) -> Tensor:
    return torch.where(images >= threshold, 255 - images, images)


def _auto_contrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretches each channel to 0 ... 255; a constant one stays."""
    least, most = images.amin((1, 2), keepdim=True), images.amax((1, 2), keepdim=True)
    flat = most == least
    scale = 255.0 / torch.where(flat, 1, most - least)
    return torch.where(flat, images, ((images - least) * scale).clamp(0, 255).to(torch.uint8))


def _equalize(images: Tensor, _: Tensor) -> Tensor:
    """Makes all levels of each channel about equally frequent."""
    n, height, width, channels = images.shape
    values = images.permute(0, 3, 1, 2).reshape(n * channels, height * width).contiguous()
    levels = torch.arange(256, device=images.device, dtype=torch.uint8)
    ordered = values.sort(1).values  # counting by order is the same on every device
    most = torch.searchsorted(ordered, levels.expand(len(values), -1).contiguous(), right=True)  # (n C, 256)
    below = torch.nn.functional.pad(most[:, :-1], (1, 0))
    highest = values.shape[1] - below.gather(1, ordered[:, -1:].long())
    step = torch.div(values.shape[1] - highest, 255, rounding_mode="floor")
    half = torch.div(step, 2, rounding_mode="floor")
    table = torch.div(below + half, step.clamp(min=1), rounding_mode="floor").clamp(max=255)
    table = torch.where(step == 0, levels, table)
    return (
        table.gather(1, values.long()).to(torch.uint8).reshape(n, channels, height, width).permute(0, 2, 3, 1)
    )


_CHANGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": _brightness,
    "color": _color,
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
}
