"""Random views of images for contrastive learning, as operations on whole batches, on any device."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

AREA = (0.2, 1.0)  # of the crop, as a share of the image
LOG_RATIO = math.log(4 / 3)  # width over height lies between 3/4 and 4/3
JITTER, GRAY = 0.8, 0.2  # shares of the images that are jittered, and that lose their colors
STRENGTH = 0.4  # of brightness, contrast and saturation
HUE = 0.1  # of a full turn

_DRAWS = 11
# RGB to luma and two axes of color, and back (the YIQ space of television).
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def views(images: Tensor, flip: bool, generator: torch.Generator) -> Tensor:
    """Draws one random view of each image.

    A random crop of a fifth to all of the area brought back to size (bilinear), a horizontal flip where allowed, and
    changes of brightness and contrast; with three channels also of saturation and hue, and some images in gray.

    Args:
        images: uint8 (n, H, W, C).
        flip: Whether half of the views are flipped.
        generator: CPU generator; it advances by the same amount whatever is switched on.

    Returns:
        float32 (n, H, W, C), from 0 to 255.

    Source: Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations", appendix A;
        jitter of 0.4, 0.4, 0.4 and 0.1 and no blur, as is usual for small images.
    Differs: crops that would leave the image are narrowed instead of drawn again, and are not rounded to pixels; hue
        turns in YIQ instead of HSV, which makes all color changes of an image one affine map; values are clipped
        once at the end, so that the order of the changes does not matter.
    """
    # One draw per batch and one copy to the device.
    draw = torch.rand(len(images), _DRAWS, generator=generator).to(images.device)
    cropped = _cropped(images.float().permute(0, 3, 1, 2), draw, flip).permute(0, 2, 3, 1)
    return _recolored(cropped, draw).clamp(0, 255)


def _cropped(images: Tensor, draw: Tensor, flip: bool) -> Tensor:
    """Crops images (n, C, H, W) by the first five numbers of each row of ``draw``."""
    n, _, height, width = images.shape
    area = (AREA[0] + (AREA[1] - AREA[0]) * draw[:, 0]) * height * width
    ratio = torch.exp(LOG_RATIO * (2 * draw[:, 1] - 1))
    across = ((area * ratio).sqrt() / width).clamp(max=1)  # (n,) shares of the sides
    down = ((area / ratio).sqrt() / height).clamp(max=1)
    matrices = images.new_zeros(n, 2, 3)  # where a pixel comes from, in [-1, 1]
    mirrored = torch.where(draw[:, 4] < 0.5, -1.0, 1.0) if flip else 1.0
    matrices[:, 0, 0], matrices[:, 1, 1] = across * mirrored, down
    matrices[:, 0, 2] = (1 - across) * (2 * draw[:, 2] - 1)
    matrices[:, 1, 2] = (1 - down) * (2 * draw[:, 3] - 1)
    grid = F.affine_grid(matrices, [n, 1, height, width], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _recolored(images: Tensor, draw: Tensor) -> Tensor:
    """Changes the colors of images (n, H, W, C) by the last six numbers of each row of ``draw``."""
    n, height, width, channels = images.shape
    jittered = draw[:, 5] < JITTER
    brightness, contrast, saturation = (
        torch.where(jittered, 1 + STRENGTH * (2 * draw[:, column] - 1), 1.0) for column in (6, 7, 8)
    )
    mean = images.mean((1, 2))  # (n, C)
    if channels == 3:
        to_yiq = torch.tensor(_YIQ)
        from_yiq = torch.linalg.inv(to_yiq).to(images.device)
        to_yiq = to_yiq.to(images.device)
        mean = (mean @ to_yiq[0])[:, None]
        angle = torch.where(jittered, 2 * math.pi * HUE * (2 * draw[:, 9] - 1), 0.0)
        saturation = torch.where(draw[:, 10] < GRAY, 0.0, saturation)
        turn = images.new_zeros(n, 3, 3)
        turn[:, 0, 0] = 1
        turn[:, 1, 1] = turn[:, 2, 2] = saturation * angle.cos()
        turn[:, 1, 2], turn[:, 2, 1] = -saturation * angle.sin(), saturation * angle.sin()
        change = from_yiq @ turn @ to_yiq  # (n, 3, 3)
        images = (images.reshape(n, -1, 3) @ change.transpose(1, 2)).view(n, height, width, 3)
    scale = (brightness * contrast)[:, None, None, None]
    shift = (brightness * (1 - contrast))[:, None] * mean  # contrast keeps the mean luma
    return images * scale + shift[:, None, None, :]
