"""Frozen representations against slow versions, and their cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from alenv import data, embedding, errors, patches
from alenv.data import Dataset
from alenv.embedding import embed


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALENV_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(embedding, "_LOADED", {})
    return tmp_path / "data"


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes dictionaries of 16 words from few patches, for speed."""
    monkeypatch.setattr(patches, "FIT_PATCHES", 2000)
    monkeypatch.setattr(patches, "CENTROIDS", 16)


def toy(train: int = 40, test: int = 10, shape: tuple[int, int, int] = (20, 18, 3)) -> Dataset:
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (train + test, *shape), dtype=np.uint8)
    labels = np.arange(train + test) % 2
    mean, std = (0.5,) * shape[2], (0.25,) * shape[2]
    splits = (images[:train], labels[:train], images[train:], labels[train:])
    return Dataset("toy", *splits, ("a", "b"), "checksum", "made up", mean, std)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def standardized_pixels(dataset: Dataset) -> np.ndarray:
    images = np.concatenate([dataset.train_images, dataset.test_images]).transpose(0, 3, 1, 2)
    mean, std = (np.reshape(value, (-1, 1, 1)) for value in (dataset.mean, dataset.std))
    return ((images / 255.0 - mean) / std).reshape(len(images), -1)


def test_pixels_that_fit_are_kept() -> None:
    digits = data.load("digits")
    rows = embed(digits, "pixels")
    assert (rows.shape, rows.dtype) == ((1797, 64), np.float32)
    pixels = standardized_pixels(digits)
    np.testing.assert_allclose(rows, unit(pixels - pixels[:1297].mean(0)), atol=1e-5)


@pytest.mark.parametrize("train", [40, 300])  # fewer and more images than pixels: both eigenproblems
def test_more_pixels_are_reduced_as_by_scikit_learn(train: int) -> None:
    dataset = toy(train, shape=(12, 12, 1))
    rows = embed(dataset, "pixels", 9)
    pixels = standardized_pixels(dataset)
    expected = unit(PCA(9, svd_solver="full").fit(pixels[:train]).transform(pixels))
    assert rows.shape == (train + 10, 9)
    # Each component's sign is free.
    np.testing.assert_allclose(np.abs(rows), np.abs(expected), atol=2e-3)


@pytest.mark.usefixtures("_small")
def test_quarter_sums_are_those_of_an_explicit_loop() -> None:
    generator = torch.Generator().manual_seed(3)
    x = 255 * torch.rand((2, 3, 9, 10), generator=generator)
    whitening = torch.randn((48, 48), generator=generator)
    mean = torch.randn(48, generator=generator)
    centroids = torch.randn((patches.CENTROIDS, 48), generator=generator)
    ones = torch.ones(1, patches.CENTROIDS)
    words = patches.Dictionary(
        mean, whitening, torch.cat([-2 * centroids.T, ones, centroids.square().sum(1)[None]])
    )
    expected = torch.zeros(2, 4, patches.CENTROIDS)
    for image in range(2):
        for row in range(6):
            for column in range(7):
                patch = x[image, :, row : row + 4, column : column + 4].reshape(-1)
                patch = (patch - patch.mean()) / torch.sqrt(patch.var(unbiased=False) + 10.0)
                far = torch.linalg.norm((patch - mean) @ whitening - centroids, dim=1)
                quarter = 2 * (row >= 3) + (column >= 4)
                expected[image, quarter] += torch.clamp(far.mean() - far, min=0)
    torch.testing.assert_close(patches.quarter_sums(x, words), expected.flatten(1), rtol=1e-3, atol=1e-2)


def test_a_dictionary_whitens_its_patches() -> None:
    dataset = toy(200, shape=(16, 16, 1))
    words = patches.dictionary(dataset.train_images, 1, torch.Generator().manual_seed(0))
    windows = patches.windows_of(patches.as_tensor(dataset.train_images)).reshape(-1, 16)
    white = (patches.contrast_normalized(windows) - words.mean) @ words.whitening
    covariance = torch.cov(white.T)
    # Noise of equal strength everywhere: 15 equal directions, none for the brightness that was taken out.
    values = torch.linalg.eigvalsh(covariance)
    assert values[0] < 0.01
    np.testing.assert_allclose(values[1:], 1 / 1.1, atol=0.1)
    np.testing.assert_allclose(white.mean(0), 0, atol=0.05)


def test_patches_separate_the_digits() -> None:
    digits = data.load("digits")
    rows = embed(digits, "patches", 64)
    assert (rows.shape, rows.dtype) == ((1797, 64), np.float32)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-4)
    targets = np.eye(10)[digits.train_labels]
    weights = np.linalg.lstsq(rows[:1297], targets, rcond=None)[0]
    assert ((rows[1297:] @ weights).argmax(1) == digits.test_labels).mean() > 0.97


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(
    ("shape", "width"),
    [((8, 8, 1), 64), ((15, 15, 3), 64), ((20, 18, 3), 128), ((28, 28, 1), 128), ((70, 50, 3), 128)],
)
def test_every_image_size_gets_rows(shape: tuple[int, int, int], width: int) -> None:
    rows = embed(toy(12, 3, shape), "patches", 4096)
    assert rows.shape == (15, width)
    assert np.isfinite(rows).all()


@pytest.mark.usefixtures("_small")
def test_even_images_get_finite_rows() -> None:
    dataset = toy()
    flat = replace(dataset, train_images=np.zeros_like(dataset.train_images))
    for name in ("pixels", "patches"):
        assert np.isfinite(embed(flat, name, 8)).all()


@pytest.mark.usefixtures("_small")
def test_rows_depend_on_images_alone() -> None:
    dataset = toy()
    before = torch.get_num_threads()
    shuffled = replace(
        dataset, train_labels=dataset.train_labels[::-1], test_labels=dataset.test_labels[::-1]
    )
    state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002  (looked at, not used)
    try:
        torch.set_num_threads(1)
        one = embedding._compute(dataset, "patches", 16)
        torch.set_num_threads(2)
        two = embedding._compute(shuffled, "patches", 16)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert one.tobytes() == two.tobytes()
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002  (the global one)


def test_rows_are_computed_once_and_memory_mapped(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = toy()
    rows = embed(dataset, "pixels", 8)
    assert isinstance(rows, np.memmap)
    assert not rows.flags.writeable
    assert embed(dataset, "pixels", 8) is rows
    with monkeypatch.context() as patch:
        patch.setattr(embedding, "_LOADED", {})
        patch.setattr(embedding, "_compute", None)
        np.testing.assert_array_equal(embed(dataset, "pixels", 8), rows)
    others = [embed(dataset, "pixels", 9), embed(replace(dataset, checksum="other"), "pixels", 8)]
    assert [other.shape[1] for other in others] == [9, 8]
    assert len(list(place.glob("embeddings/*/rows.npy"))) == 3


def test_a_damaged_cache_is_computed_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.array(embed(toy(), "pixels", 8))
    file = next(place.glob("embeddings/*/rows.npy"))
    whole = file.read_bytes()
    for damaged in (whole[:100], whole[:-8] + bytes(8)):
        file.write_bytes(damaged)
        monkeypatch.setattr(embedding, "_LOADED", {})
        np.testing.assert_array_equal(embed(toy(), "pixels", 8), rows)


def test_no_disk_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.array(embed(toy(), "pixels", 8))
    monkeypatch.setenv("ALENV_DATA", "/dev/null/nothing")
    again = embed(toy(), "pixels", 8)
    np.testing.assert_array_equal(again, rows)
    assert not again.flags.writeable


def test_a_file_by_dataset_row(tmp_path: Path) -> None:
    dataset = toy()
    content = np.random.default_rng(0).normal(size=(50, 7))
    np.save(tmp_path / "all.npy", content)
    rows = embed(dataset, str(tmp_path / "all.npy"), 3)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, unit(content), atol=1e-6)
    np.save(tmp_path / "train.npy", content[:40].astype(np.float16))
    assert embed(dataset, str(tmp_path / "train.npy")).shape == (40, 7)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.zeros((49, 3)), r"shape \(49, 3\); toy needs a 2-D float array of 50 rows"),
        (np.zeros(50), r"shape \(50,\)"),
        (np.zeros((50, 2), int), "int64 of shape"),
        (np.full((50, 2), np.nan), "NaN or infinite"),
        (np.array([{}]), "cannot be read as a .npy array"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, content: np.ndarray, said: str) -> None:
    np.save(tmp_path / "rows.npy", content, allow_pickle=True)
    with pytest.raises(errors.InvalidRecipe, match=said):
        embed(toy(), str(tmp_path / "rows.npy"))


def test_unknown_names_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(errors.UnknownName, match="no embedding 'pixel'; did you mean 'pixels'"):
        embed(toy(), "pixel")
    with pytest.raises(errors.InvalidRecipe, match="cannot be read"):
        embed(toy(), str(tmp_path / "nothing.npy"))
