"""TrivialAugment on batches against torchvision's operations, image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from alenv.learners import trivial
from alenv.learners.trivial import BINS, OPERATIONS, apply

FILL = (90, 120, 60)
BIN = torch.arange(BINS)


def pictures(channels: int = 3, size: int = 32) -> Tensor:
    """Smooth and noisy images, uint8 (31, H, W, C), one per strength."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(BINS):
        coarse = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC), dtype=int)
        found.append((smooth * 0.8 + 20 + random.integers(-8, 8, smooth.shape)).clip(0, 255).astype(np.uint8))
    return torch.from_numpy(np.stack(found)[..., :channels])


def reference(name: str, image: Tensor, strength: int, sign: float) -> Tensor:
    """One image (C, H, W) through torchvision."""
    share = strength / (BINS - 1)
    amount, fill = sign * share, list(FILL[: len(image)])
    still = {"scale": 1.0, "translate": [0, 0], "shear": [0.0, 0.0], "angle": 0.0, "fill": fill}
    degrees = float(np.degrees(np.arctan(0.99 * amount)))
    calls = {
        "shear_x": lambda: F.affine(image, **{**still, "shear": [degrees, 0.0], "center": [0, 0]}),
        "shear_y": lambda: F.affine(image, **{**still, "shear": [0.0, degrees], "center": [0, 0]}),
        "translate_x": lambda: F.affine(image, **{**still, "translate": [int(32 * amount), 0]}),
        "translate_y": lambda: F.affine(image, **{**still, "translate": [0, int(32 * amount)]}),
        "rotate": lambda: F.rotate(image, 135 * amount, fill=fill),
        "identity": lambda: image,
        "brightness": lambda: F.adjust_brightness(image, 1 + 0.99 * amount),
        "color": lambda: F.adjust_saturation(image, 1 + 0.99 * amount),
        "contrast": lambda: F.adjust_contrast(image, 1 + 0.99 * amount),
        "sharpness": lambda: F.adjust_sharpness(image, 1 + 0.99 * amount),
        "posterize": lambda: F.posterize(image, round(8 - 6 * share)),
        "solarize": lambda: F.solarize(image, 255 * (1 - share)),
        "auto_contrast": lambda: F.autocontrast(image),
        "equalize": lambda: F.equalize(image),
    }
    return calls[name]()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [each for each in OPERATIONS if each != "identity"])
def test_every_operation_at_every_strength_is_torchvisions(name: str, channels: int) -> None:
    images, fill = pictures(channels), torch.tensor(FILL[:channels], dtype=torch.uint8)
    for sign in (-1.0, 1.0):
        ours = apply(name, images, BIN, torch.full((BINS,), sign), fill)
        assert ours.dtype == torch.uint8
        assert ours.shape == images.shape
        for strength in range(BINS):
            # The sign of a geometric operation is drawn, so which way it goes is a matter of name.
            theirs = [
                reference(name, images[strength].permute(2, 0, 1), strength, way).permute(1, 2, 0)
                for way in ((sign, -sign) if name in trivial.GEOMETRIC else (sign,))
            ]
            far = [(ours[strength].int() - each.int()).abs() for each in theirs]
            if name in trivial.GEOMETRIC:  # a pixel on the border between two may be taken from either
                assert min(float((each > 1).float().mean()) for each in far) < 0.02, strength
            else:
                assert min(int(each.max()) for each in far) <= 1, strength


def test_each_image_has_an_operation_of_its_own() -> None:
    images = pictures()[:1].expand(4000, -1, -1, -1)
    found = trivial.trivial_augment(
        images, torch.tensor(FILL, dtype=torch.uint8), torch.Generator().manual_seed(0)
    )
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(len(OPERATIONS), (4000,), generator=generator)
    bins = torch.randint(BINS, (4000,), generator=generator)
    counts = torch.bincount(kinds, minlength=len(OPERATIONS))
    assert counts.min() > 220  # 286 expected of each
    assert torch.bincount(bins, minlength=BINS).min() > 80
    same = (found == images).flatten(1).all(1)
    assert same[kinds == OPERATIONS.index("identity")].all()
    assert not same[(kinds == OPERATIONS.index("rotate")) & (bins > 3)].any()
    one = 7  # an image does not depend on its neighbors
    name = OPERATIONS[int(kinds[one])]
    signs = torch.where(torch.rand(4000, generator=generator) < 0.5, -1.0, 1.0)
    alone = apply(
        name,
        images[one : one + 1],
        bins[one : one + 1],
        signs[one : one + 1],
        torch.tensor(FILL, dtype=torch.uint8),
    )
    assert torch.equal(found[one], alone[0])


@pytest.mark.parametrize(("height", "width"), [(8, 8), (2, 2), (28, 20)])
def test_any_size(height: int, width: int) -> None:
    images = torch.randint(0, 256, (200, height, width, 1), dtype=torch.uint8)
    fill = torch.tensor([7], dtype=torch.uint8)
    assert trivial.trivial_augment(images, fill, torch.Generator()).shape == images.shape
