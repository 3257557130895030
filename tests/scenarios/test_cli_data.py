"""``alenv data``: what is listed at any width, what is removed, and what is said of folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import error, run
from filelock import FileLock
from PIL import Image

from alenv import data
from alenv.data import cache, catalog, inventory, storage
from alenv.embedding import embed
from alenv.settings import Recipe


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALENV_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "holiday photos"
    for label, name in enumerate(("ant", "bee")):
        (root / name).mkdir(parents=True)
        for number in range(5):
            Image.new("L", (8, 8), 60 * label + number).save(root / name / f"{number}.png")
    return root


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in root.rglob("*.png")}


@pytest.mark.parametrize("width", [60, 80, 120, 250])
def test_no_name_is_cut(photos: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    embed(data.load("image_folder", root=photos), "pixels")
    monkeypatch.setenv("COLUMNS", str(width))
    lines = run("data", "list")[1].splitlines()
    names = [entry.handle for entry in data.listing()]
    assert [name for name in names if not any(line.split()[:1] == [name] for line in lines)] == []
    assert max(map(len, lines[:-1])) <= width
    assert (str(photos) in "\n".join(lines)) is (width == 250)


def test_a_name_longer_than_the_terminal_goes_on_in_the_next_line(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.rename(tmp_path / ("long " * 12))
    data.load("image_folder", root=tmp_path / ("long " * 12))
    monkeypatch.setenv("COLUMNS", "60")
    (name,) = [entry.handle for entry in data.listing() if entry.root]
    assert len(name) > 60
    words = [word for line in run("data", "list")[1].splitlines() for word in line.split()[:1]]
    parts = [word for word in words if len(word) > 3 and word in name]
    assert "".join(parts) == name


def test_the_list_shows_folders_and_embeddings(photos: Path) -> None:
    embed(data.load("image_folder", root=photos), "pixels")
    rows = json.loads(run("data", "list", "--json")[1])
    (folder,) = [row for row in rows if row["name"] == "image_folder"]
    (embedding,) = [row for row in rows if row["state"] == "embedding"]
    assert folder["root"] == embedding["root"] == str(photos)
    assert min(folder["size_bytes"], embedding["size_bytes"]) > 0
    assert embedding["source"] == "embedding of image_folder"


def test_removing_a_folder_frees_its_copies_and_embeddings_alone(photos: Path, place: Path) -> None:
    before = snapshot(photos)
    loaded = data.load("image_folder", root=photos)
    data.load("image_folder", root=photos, image_size=8)
    embed(loaded, "pixels")
    embed(data.load("digits"), "pixels")
    code, out, _ = run("data", "remove", str(photos))
    assert code == 0
    assert out.count("Removed image_folder-") == 3
    assert f"of {photos}, which is untouched" in out
    assert out.endswith("MB are free again.\n")
    assert snapshot(photos) == before
    assert [entry.source for entry in data.listing() if entry.path] == ["embedding of digits"]
    assert not list(place.rglob("*.partial-*"))
    assert data.load("image_folder", root=photos).checksum == loaded.checksum
    np.testing.assert_array_equal(loaded.train_labels, data.load("image_folder", root=photos).train_labels)


def test_pretrained_weights_are_listed_and_go_with_their_images(photos: Path) -> None:
    settings: dict[str, Any] = {"backbone": "convnet", "width": 4, "pretraining_epochs": 1}
    embed(data.load("image_folder", root=photos), "rotation", recipe=Recipe(**settings))
    rows = json.loads(run("data", "list", "--json")[1])
    (weights,) = [row for row in rows if row["state"] == "pretraining"]
    assert weights["root"] == str(photos)
    assert weights["size_bytes"] > 0
    assert weights["source"] == "pretraining of image_folder"
    assert run("data", "remove", str(photos))[1].count("Removed image_folder-") == 3
    assert not [entry for entry in data.listing() if entry.path]


def test_removing_by_name_and_all_folders(photos: Path) -> None:
    data.load("image_folder", root=photos)
    embed(data.load("digits"), "pixels")
    names = [entry.handle for entry in data.listing() if entry.path]
    assert run("data", "remove", *names)[1].count("Removed") == 2
    data.load("image_folder", root=photos)
    data.load("image_folder", root=photos, image_size=8)
    assert run("data", "remove", "--all-folders")[1].count("Removed") == 2
    assert run("data", "remove", "--all-folders")[1] == "0.0 MB are free again.\n"


def test_a_damaged_copy_can_be_removed(photos: Path) -> None:
    data.load("image_folder", root=photos)
    (entry,) = [entry for entry in data.listing() if entry.path]
    assert entry.path is not None
    (entry.path / "train_images.npy").write_bytes(b"")
    assert run("data", "remove", entry.handle)[0] == 0
    assert not entry.path.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["digits"], "digits is built in and takes no space"),
        (["image_folder"], "stands for every image folder"),
        (["svhn"], "Nothing is cached of svhn"),
        (["/nowhere"], "Nothing is cached of /nowhere"),
        (["cifr10"], "Nothing is cached of cifr10"),
        ([], "Nothing was given to remove"),
    ],
)
def test_what_cannot_be_removed(arguments: list[str], said: str) -> None:
    assert said in error("data", "remove", *arguments)


def test_nothing_is_removed_where_one_name_is_wrong(photos: Path) -> None:
    data.load("image_folder", root=photos)
    assert "did you mean 'image_folder-holiday-photos-" in error(
        "data", "remove", str(photos), "image_folder-holi"
    )
    assert [entry.root for entry in data.listing() if entry.path] == [str(photos)]


def test_removal_waits_for_the_writer(photos: Path) -> None:
    data.load("image_folder", root=photos)
    (entry,) = [entry for entry in data.listing() if entry.path]
    code = f"from alenv import data; data.remove([{str(photos)!r}])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with FileLock(f"{entry.path}.lock"):
        remover = subprocess.Popen([sys.executable, "-c", code], env=environment)
        with pytest.raises(subprocess.TimeoutExpired):
            remover.wait(3)
        assert entry.path is not None
        assert cache.is_finished(entry.path)
    assert remover.wait(30) == 0
    assert not entry.path.exists()


def test_a_copy_removed_while_it_is_opened_is_made_again(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = data.load("image_folder", root=photos)
    catalog._LOADED.clear()
    read, removed = storage.read, []

    def remove_first(folder: Path) -> data.Dataset:
        if not removed:
            removed.append(inventory.cache.remove_folder(folder))
        return read(folder)

    monkeypatch.setattr(storage, "read", remove_first)
    assert data.load("image_folder", root=photos).checksum == loaded.checksum
    assert removed[0] > 0


def test_what_was_found_is_said(tmp_path: Path, photos: Path) -> None:
    (photos / "ant" / "notes.txt").write_text("")
    data.load("image_folder", root=photos)
    code, out, err = run("data", "verify", "image_folder")
    assert (code, out.count("is sound")) == (0, 1)
    assert err == (
        f"{photos}: 2 classes (ant, bee), 8 train and 2 test images; passed over as no images: 1 .txt\n"
    )
    for split in ("training", "testing"):
        for label in range(10):
            folder = tmp_path / "svhn" / split / str(label)
            folder.mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(folder / "0.png")
    (tmp_path / "svhn" / "readme.md").write_text("")
    with pytest.warns(UserWarning, match="the official svhn has"):
        _, out, err = run("data", "add", "svhn", "--from", str(tmp_path / "svhn"))
    assert out.startswith("svhn: 10 train and 10 test images")
    assert err.endswith("10 test images (testing/); passed over as no images: 1 .md\n")
    assert data.found_in(data.load("svhn")) is None
