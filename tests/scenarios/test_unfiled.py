"""``suggest`` of images that are no files: arrays, and datasets of Hugging Face."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import fake_datasets
import numpy as np
import photos
import pytest
from command import error, run
from fake_datasets import ClassLabel, Dataset, Value, stored
from PIL import Image

from alenv.errors import AlenvError, CorruptDataset, InvalidLabels, InvalidQuery, InvalidRecipe, RunConflict
from scenarios.suggest import Suggestion, suggest
from scenarios.suggest.inputs import unfiled

KINDS, EACH = 3, 15
FEATURES = "photos:quadrants"


def pixels(side: int = 24) -> np.ndarray:
    """Returns 45 images, uint8 (45, 24, 24, 3), of three kinds in turn."""
    return np.stack([np.asarray(photos.painted(n % KINDS, n, side)) for n in range(KINDS * EACH)])


def asked(*source: Any, size: int = 6, **more: Any) -> Suggestion:
    return suggest(*source, size=size, **{"features": FEATURES, **more})


def labeled(each: int) -> np.ndarray:
    return np.array([n % KINDS if n < KINDS * each else -1 for n in range(KINDS * EACH)])


# ---- arrays --------------------------------------------------------------------------------------------------


def test_an_array_is_written_once_and_goes_on_from_its_batches() -> None:
    images = pixels()
    found = asked(images=images)
    assert found.folder == Path("images-labeling/batch-001").absolute()
    assert found.indices is not None
    assert found.indices.dtype == np.int64
    assert [each.file for each in found.wanted] == [f"{at:07d}.png" for at in found.indices]
    (folder,) = found.folder.parent.glob("images-*")
    with Image.open(folder / found.wanted[0].file) as image:
        assert np.array_equal(np.asarray(image), images[found.indices[0]])
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(before) == 45
    lines = [f"{each.file},{at % KINDS}" for each, at in zip(found.wanted, found.indices, strict=True)]
    (found.folder / "labels.csv").write_text("\n".join(["file,label", *lines]), encoding="utf-8")
    second = asked(images=images.copy())
    assert second.folder.name == "batch-002"
    assert sum(second.labels.values()) == 6
    assert second.indices is not None
    assert not set(found.indices) & set(second.indices)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    json.dumps(second.numbers())
    code, out, err = run(
        "suggest", str(folder), "--out", "images-labeling", "--features", FEATURES, "--size", "4"
    )
    assert (code, err) == (0, "")
    assert "45 images, 6 labeled" in out


@pytest.mark.parametrize(
    "labels",
    [
        labeled(3),
        labeled(3).tolist(),
        [None if label < 0 else int(label) for label in labeled(3)],
        np.where(labeled(3) < 0, "", labeled(3).astype(str)),
        [float("nan") if label < 0 else f" {label} " for label in labeled(3)],
    ],
)
def test_labels_beside_an_array(labels: Any) -> None:
    assert unfiled.of_arrays(pixels(), labels).classes == {at: str(at % KINDS) for at in range(9)}


@pytest.mark.parametrize("shape", [(45, 24, 24), (45, 24, 24, 1)])
def test_grey_arrays(shape: tuple[int, ...], tmp_path: Path) -> None:
    grey = pixels()[..., 0].reshape(shape)
    images = unfiled.of_arrays(grey, None)
    images.write(tmp_path)
    with Image.open(images.folder(tmp_path) / "0000003.png") as image:
        assert np.array_equal(np.asarray(image), grey[3].reshape(24, 24))


@pytest.mark.parametrize(
    ("given", "problem", "sentence"),
    [
        (
            {"images": pixels() / 255},
            InvalidQuery,
            r"images= has float64 values of shape \(45, 24, 24, 3\); give",
        ),
        ({"images": pixels().transpose(0, 3, 1, 2)}, InvalidQuery, r"of shape \(45, 3, 24, 24\); give uint8"),
        ({"images": pixels()[0, 0]}, InvalidQuery, r"of shape \(24, 3\)"),
        ({"images": pixels()[:0]}, InvalidQuery, r"of shape \(0, 24, 24, 3\)"),
        ({"images": [np.zeros((2, 2), np.uint8), np.zeros((3, 3), np.uint8)]}, InvalidQuery, "is no array"),
        ({}, InvalidQuery, "Neither a folder nor an array"),
        ({"images": pixels(), "root": "photos"}, InvalidQuery, "A folder and an array"),
        ({"root": pixels()}, InvalidQuery, "a ndarray was given; .* or an array as images="),
        ({"images": pixels(), "labels": [1, 2]}, InvalidLabels, "2 labels came with 45 images"),
        (
            {"images": pixels(), "labels": "labels.csv"},
            InvalidLabels,
            "labels='labels.csv' came with 45 images",
        ),
        ({"images": pixels(), "labels": [-2] * 45}, InvalidLabels, "label of image 0 is -2; give a whole"),
        ({"images": pixels(), "labels": [0.5] * 45}, InvalidLabels, "label of image 0 is 0.5"),
        ({"images": pixels(), "labels": [True] * 45}, InvalidLabels, "label of image 0 is True"),
        ({"root": ".", "labels": [1, 2]}, InvalidLabels, "Labels that are no files"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_writes_nothing(
    given: dict[str, Any], problem: type[AlenvError], sentence: str
) -> None:
    with pytest.raises(problem, match=sentence):
        asked(**given)
    assert not list(Path.cwd().iterdir())


def test_other_images_and_other_labels_are_refused() -> None:
    images = pixels()
    found = asked(images=images)
    with pytest.raises(RunConflict, match=r"is a project of the images in .*, not of other ones; choose"):
        asked(images=images[::-1])
    assert len(list(found.folder.parent.glob("images-*"))) == 1
    file = found.wanted[0].file
    (found.folder / "labels.csv").write_text(f"file,label\n{file},5\n", encoding="utf-8")
    with pytest.raises(
        InvalidLabels, match=f"{file} is '5' in .* and '7' in the labels that came with the images"
    ):
        asked(images=images, labels=[7] * 45)


# ---- datasets of Hugging Face --------------------------------------------------------------------------------


def dataset(**columns: Any) -> Dataset:
    """Returns a dataset of 45 images with some labels, and further columns as (values, kind)."""
    images = [stored(Image.fromarray(each)) for each in pixels()]
    images[44] = stored(Image.fromarray(pixels()[44]), "JPEG", "some/photo.JPG")
    labels = [None if n == 0 else n % KINDS if n < 10 else -1 for n in range(45)]
    kinds = {"image": fake_datasets.Image(), "label": ClassLabel(["cat", "dog", "fox"])}
    more = {name: kind for name, (_, kind) in columns.items()}
    values = {name: each for name, (each, _) in columns.items()}
    return Dataset({"image": images, "label": labels, **values}, {**kinds, **more})


def test_a_dataset_of_hugging_face() -> None:
    given = dataset(number=(list(range(45)), Value()))
    found = asked(given)
    assert found.labels == {"cat": 3, "dog": 3, "fox": 3}
    (folder,) = found.folder.parent.glob("images-*")
    assert (folder / "0000044.jpg").read_bytes() == given.columns["image"][44]["bytes"]
    again = asked(dataset(), size=36)
    assert again.images == 45
    assert again.indices is not None
    assert sorted(again.indices) == [0, *range(10, 45)]
    assert {each.predicted for each in again.wanted} <= {"cat", "dog", "fox"}


def test_images_that_are_missing_or_elsewhere(tmp_path: Path) -> None:
    given = dataset()
    photos.painted(0, 99).save(tmp_path / "elsewhere.png")
    given.columns["image"][20] = {"bytes": None, "path": str(tmp_path / "elsewhere.png")}
    given.columns["image"][21] = None
    given.columns["image"][22] = {"bytes": None, "path": str(tmp_path / "gone.png")}
    found = asked(given)
    assert found.images == 43
    assert dict(found.unreadable) == {"0000021.png": "empty", "0000022.png": "empty"}


def test_labels_in_a_column_of_another_name_or_kind() -> None:
    coarse = [n % 2 for n in range(45)]
    words = ["left", None, *[""] * 43]
    given = dataset(coarse=(coarse, ClassLabel(["even", "odd"])), side=(words, Value()))
    with pytest.raises(InvalidLabels, match="has the label columns label, coarse; name one"):
        asked(given)
    with pytest.raises(InvalidLabels, match="has no column 'colour'; it has image, label, coarse, side"):
        asked(given, ["colour"])
    with pytest.raises(InvalidLabels, match="were given for a dataset; name the one column"):
        asked(given, ["coarse", "side"])
    assert unfiled.of_dataset(given, "side").classes == {0: "left"}
    assert unfiled.of_dataset(given, "coarse").classes[44] == "even"
    named = Dataset(
        {"image": given.columns["image"], "Target": words},
        {"image": fake_datasets.Image(), "Target": Value()},
    )
    assert unfiled.of_dataset(named).classes == {0: "left"}


class Streamed:
    """As a dataset that is downloaded while it is read."""

    features = ()

    def __getitem__(self, rows: int) -> None: ...


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"train": dataset(), "test": dataset()}, "of the splits train, test was given"),
        (Streamed(), "a dataset that is streamed was given"),
        (Dataset({"image": []}, {"image": fake_datasets.Image()}), "an empty dataset was given"),
        (Dataset({"text": ["a"]}, {"text": Value()}), "has 0 columns of images among text"),
        (
            dataset(other=([None] * 45, fake_datasets.Image())),
            "has 2 columns of images among image, label, other",
        ),
        (7, "a int was given"),
    ],
)
def test_datasets_that_cannot_be_used(given: Any, sentence: str) -> None:
    with pytest.raises(InvalidQuery, match=sentence):
        asked(given)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """What ``save_to_disk`` leaves in a folder, as far as alenv looks at it."""
    folder = tmp_path / "animals"
    folder.mkdir()
    for name in ("dataset_info.json", "state.json"):
        (folder / name).write_text("{}", encoding="utf-8")
    return folder


def test_a_saved_dataset_on_the_command_line(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = dataset(coarse=([0] * 20 + [-1] * 25, ClassLabel(["even", "odd"])))
    read: list[str] = []
    monkeypatch.setattr(
        fake_datasets, "load_from_disk", lambda path: read.append(path) or given, raising=False
    )
    monkeypatch.setitem(sys.modules, "datasets", fake_datasets)
    arguments = ("suggest", str(saved), "--labels", "coarse", "--size", "5", "--features", FEATURES, "--json")
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert read == [str(saved)]
    told = json.loads(out)
    assert Path(told["folder"]) == Path("animals-labeling/batch-001").absolute()
    assert told["labels"] == {"even": 20}
    assert all(at >= 20 for at in told["indices"])


def test_a_saved_dataset_that_cannot_be_read(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "install alenv[hf]" in error("suggest", str(saved), "--features", FEATURES)
    with pytest.raises(InvalidRecipe, match="package datasets is missing"):
        asked(saved)

    def broken(path: str) -> None:
        raise OSError("no arrow\nfile")

    monkeypatch.setitem(sys.modules, "datasets", fake_datasets)
    monkeypatch.setattr(fake_datasets, "load_from_disk", broken, raising=False)
    with pytest.raises(CorruptDataset, match=r"cannot be read \(no arrow file\); save it anew"):
        asked(saved)
    whole = saved.parent / "whole"
    whole.mkdir()
    (whole / "dataset_dict.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InvalidQuery, match="holds a dataset without splits"):
        asked(whole)
    saved.rename(whole / "train")
    with pytest.raises(
        InvalidQuery, match=f"holds the splits train of a dataset; give one, such as {whole}/train"
    ):
        asked(whole)
