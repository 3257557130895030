"""Pixels of every kind: transparent ones, deep ones, and files that cannot be decoded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from by_hand import classes
from PIL import Image

from alenv import data, errors
from alenv.data import images, unreadable

Build = Callable[[Path], object]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALENV_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def load(root: Path, **options: object) -> data.Dataset:
    return data.load("image_folder", root=root, image_size=8, **options)


# Pixels


def circle_on_nothing(kind: str, file: Path, inverted: bool) -> None:
    """Draws with black on a transparent ground, whose hidden color is black too."""
    alpha = np.zeros((8, 8), np.uint8)
    alpha[2:6, 2:6] = 255
    alpha = 255 - alpha if inverted else alpha
    file.parent.mkdir(parents=True, exist_ok=True)
    if kind in ("LA", "RGBA"):
        black = Image.new(kind, (8, 8), 0)
        black.putalpha(Image.fromarray(alpha))
        black.save(file)
    elif kind == "P":
        picture = Image.fromarray((alpha == 0).astype(np.uint8), mode="P")
        picture.putpalette([0] * 768)
        picture.save(file, transparency=1)
    else:  # one value stands for "transparent"
        picture = Image.fromarray(np.where(alpha == 0, 1, 0).astype(np.uint8)).convert(kind)
        picture.save(file, transparency=1 if kind == "L" else (1, 1, 1))


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
@pytest.mark.parametrize("kind", ["LA", "RGBA", "P", "L", "RGB"])
def test_transparent_parts_are_white(tmp_path: Path, kind: str) -> None:
    for name, inverted in (("disc", False), ("hole", True)):
        for number in range(3):
            circle_on_nothing(kind, tmp_path / "shapes" / name / f"{number}.png", inverted)
    found = load(tmp_path / "shapes")
    for image, label in zip(found.train_images, found.train_labels, strict=True):
        assert image[4, 4, 0] == (0, 255)[label]
        assert image[0, 0, 0] == (255, 0)[label]


def test_half_transparent_is_half_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (200, 0, 0, 128)).save(tmp_path / "red.png")
    np.testing.assert_allclose(images.decode(tmp_path / "red.png", (8, 8, 3))[0, 0], [227, 127, 127], atol=1)


def deep(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(file)


@pytest.mark.parametrize("bits", [8, 12, 14, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deep_grey_is_scaled_for_the_whole_folder(tmp_path: Path, bits: int, suffix: str) -> None:
    """The darker class stays half as bright as the other, and both keep their grey levels."""
    top = 2**bits - 1
    ramp = np.linspace(0, top, 64).astype(np.uint16).reshape(8, 8)
    for number in range(4):
        deep(tmp_path / "photos" / "bright" / f"{number}.{suffix}", ramp)
        deep(tmp_path / "photos" / "dark" / f"{number}.{suffix}", ramp // 2)
    found = load(tmp_path / "photos")
    assert found.image_shape == (8, 8, 1)
    for image, label in zip(found.train_images, found.train_labels, strict=True):
        expected = (ramp >> label >> (bits - 8)).astype(np.uint8)
        np.testing.assert_array_equal(image[..., 0], expected)
        assert len(np.unique(image)) > 60


@pytest.mark.parametrize("bits", [8, 12, 14, 16])
def test_one_deep_image_is_scaled_by_the_bits_that_it_needs(tmp_path: Path, bits: int) -> None:
    ramp = np.linspace(0, 2**bits - 1, 64).astype(np.uint16).reshape(8, 8)
    deep(tmp_path / "one.png", ramp)
    expected = (ramp >> (bits - 8)).astype(np.uint8)
    np.testing.assert_array_equal(images.decode(tmp_path / "one.png", (8, 8, 1))[..., 0], expected)
    np.testing.assert_array_equal(np.asarray(images.picture(tmp_path / "one.png", 8))[..., 1], expected)


def test_counts_of_more_than_sixteen_bits(tmp_path: Path) -> None:
    for number in range(4):
        deep(tmp_path / "photos" / "a" / f"{number}.tif", np.full((8, 8), 2**20 - 1, np.int32))
        deep(tmp_path / "photos" / "b" / f"{number}.tif", np.full((8, 8), 2**19, np.int32))
    assert set(np.unique(load(tmp_path / "photos").train_images)) == {128, 255}


def sixteen_bit_colors(file: Path, value: int) -> None:
    """Writes an 8x8 PNG of 16 bits a color, which Pillow reads but cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        sum_ = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + sum_

    rows = (b"\0" + struct.pack(">H", value) * 24) * 8
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def test_deep_colors_are_read_in_full_and_refused_where_levels_would_be_lost(tmp_path: Path) -> None:
    for number in range(4):
        sixteen_bit_colors(tmp_path / "photos" / "a" / f"{number}.png", 65535)
        sixteen_bit_colors(tmp_path / "photos" / "b" / f"{number}.png", 4095)
    assert set(np.unique(load(tmp_path / "photos").train_images)) == {15, 255}
    for number in range(4):
        sixteen_bit_colors(tmp_path / "photos" / "a" / f"{number}.png", 2047)
    with pytest.raises(
        errors.UnreadableImages, match=r"8 with 16-bit colors of which .* save with 8 bits a color"
    ):
        load(tmp_path / "photos")


# What cannot be decoded


def half_a_jpeg(file: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, format="JPEG")
    file.write_bytes(file.read_bytes()[:-2000])


def bomb(file: Path) -> None:
    sixteen_bit_colors(file, 0)
    content = bytearray(file.read_bytes())
    content[16:24] = struct.pack(">II", 50_000, 50_000)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("x.png", lambda f: f.write_bytes(b""), "1 empty (b/x.png: copy again)"),
        ("x.png", lambda f: f.write_bytes(b"words, words, words"), "1 not an image (b/x.png: remove or"),
        ("x.jpg", half_a_jpeg, "1 cut off (b/x.jpg: copy again)"),
        ("x.png", bomb, "1 with too many pixels (b/x.png: make smaller)"),
        ("x.tif", lambda f: Image.new("F", (8, 8)).save(f), "1 with floating-point pixels"),
        ("x.tif", lambda f: deep(f, np.full((8, 8), -5, np.int32)), "1 with negative pixels"),
        ("x.png", lambda f: f.symlink_to("nowhere.png"), "1 a link to nowhere (b/x.png: mend or remove"),
        (
            "x.heic",
            lambda f: f.write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40),
            "kind that this Pillow cannot",
        ),
    ],
)
def test_the_reason_is_named(tmp_path: Path, name: str, make: Build, said: str) -> None:
    root = classes(tmp_path / "photos", "a b")
    make(root / "b" / name)
    with pytest.raises(errors.UnreadableImages) as caught:
        load(root)
    assert said in str(caught.value)
    assert "1 of 11 images" in str(caught.value)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = classes(tmp_path / "photos", "a b")
    opened = images.open_image

    def forbid(file: Path) -> object:
        if file == root / "b" / "0.png":
            raise PermissionError(13, "Permission denied", str(file))  # root may read everything
        return opened(file)

    monkeypatch.setattr(images, "open_image", forbid)
    with pytest.raises(
        errors.UnreadableImages, match=r"1 without permission to read \(b/0\.png: make readable"
    ):
        load(root)


def test_every_reason_has_its_advice() -> None:
    reasons = {value for name, value in vars(unreadable).items() if name.isupper() and name[0] != "_"}
    assert reasons == set(unreadable._ADVICE)
