"""Image folders as people make them: read rightly, or refused by name; nothing is dropped uncounted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from by_hand import classes, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from alenv import data, errors
from alenv.data import catalog, folder_names, image_folder
from alenv.data.files_below import is_litter

Build = Callable[[Path], object]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALENV_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def flat(root: Path, count: int = 4) -> Path:
    for number in range(count):
        save(root / f"{number}.png")
    return root


def load(root: Path, **options: object) -> data.Dataset:
    return data.load("image_folder", root=root, image_size=8, **options)


# What names of folders say


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda r: (flat(r / "labeled"), flat(r / "unlabeled")), "labeled/, unlabeled/, which name parts"),
        (lambda r: (classes(r / "labeled"), flat(r / "unlabeled")), r"give root=.*photos/labeled \("),
        (lambda r: (classes(r), flat(r / "unlabeled")), "holds unlabeled/, which"),
        (
            lambda r: (classes(r / "images"), flat(r / "annotations")),
            r"annotations/, images/.*root=.*/images",
        ),
        (lambda r: (flat(r / "images"), flat(r / "masks")), "holds images/, masks/"),
        (lambda r: [classes(r / f"fold{k}") for k in range(3)], "holds fold0/, fold1/, fold2/"),
        (lambda r: [classes(r / f"Fold {k}") for k in range(3)], "holds Fold 0/"),
        (lambda r: [classes(r / f"{k}") for k in range(3)], r"same names \(ant, bee, cat\) below several"),
        (lambda r: [classes(r / k) for k in ("amazon", "webcam")], "either could be the classes"),
        (
            lambda r: [classes(r / "train" / k) for k in ("a", "b")] and classes(r / "test", "a b"),
            "same names",
        ),
        (lambda r: [classes(r / k, "train test") for k in ("ant", "bee")], r"ant holds test/ with images"),
        (lambda r: (classes(r), flat(r / "ant" / "masks")), "ant holds masks/ with images"),
        (lambda r: (classes(r), classes(r / "val")), "holds val/, which name splits"),
        (lambda r: (classes(r), flat(r / "test")), "holds test/, which name splits"),
        (lambda r: (classes(r), classes(r / "train")), "holds train/, which name splits"),
        (lambda r: [classes(r / k) for k in ("train", "val", "dev")], "holds train/, dev/, val/"),
        (lambda r: [classes(r / k) for k in ("train", "training", "test")], "train/, training/, test/"),
        (lambda r: [classes(r / k) for k in ("train", "test", "test2")], "holds train/, test/, test2/"),
        (lambda r: [classes(r / k, "images masks") for k in ("train", "test")], "images/, masks/"),
        (lambda r: (flat(r / "train"), flat(r / "test")), "train has 0 class folders"),
        (lambda r: classes(r / "photos"), "has 1 class folders; give root=.*photos/photos"),
        (lambda r: (classes(r, "cafe\u0301"), classes(r, "caf\u00e9")), "twice, in two spellings"),
    ],
)
def test_names_that_are_no_classes_are_refused(tmp_path: Path, build: Build, said: str) -> None:
    build(tmp_path / "photos")
    with pytest.raises(errors.UnreadableImages, match=said):
        load(tmp_path / "photos")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Train", "TEST"),
        ("training", "testing"),
        ("train_images", "test_images"),
        ("trainset", "testset"),
        ("train", "val"),
        ("train2017", "val2017"),
        ("train", "dev"),
        ("seg_train", "seg_test"),
        ("birds-training", "birds-test"),
        ("train/train", "test/test"),
    ],
)
def test_splits_by_any_clear_name_are_read(tmp_path: Path, train: str, test: str) -> None:
    classes(tmp_path / train, count=4)
    classes(tmp_path / test, count=2)
    found = load(tmp_path)
    assert found.class_names == ("ant", "bee", "cat")
    assert np.bincount(found.train_labels).tolist() == [4, 4, 4]
    assert np.bincount(found.test_labels).tolist() == [2, 2, 2]
    np.testing.assert_array_equal(found.train_images[:, 0, 0, 0] // 60, found.train_labels)
    said = f"12 train images ({train.split('/', maxsplit=1)[0]}/) and 6 test images ({test.split('/', maxsplit=1)[0]}/)"
    assert said in str(data.found_in(found))


def test_what_lies_beside_the_splits_is_left_out_and_counted(tmp_path: Path) -> None:
    for name, count in (("training", 4), ("testing", 2), ("val", 1), ("extra", 3)):
        classes(tmp_path / name, count=count)
    save(tmp_path / "loose.png")
    save(tmp_path / "training" / "loose.jpg")
    (tmp_path / "labels.csv").write_text("")
    (tmp_path / "extra" / "read.me").write_text("")
    found = load(tmp_path)
    assert (len(found.train_labels), len(found.test_labels)) == (12, 6)
    assert str(data.found_in(found)).endswith(
        "; left out: extra/ (9 images), val/ (3 images), 2 images outside the class folders; "
        "passed over as no images: 1 .csv, 1 .me"
    )


def test_a_train_may_be_a_vehicle(tmp_path: Path) -> None:
    assert load(classes(tmp_path / "a", "bus car train")).class_names == ("bus", "car", "train")
    for split in ("train", "test"):
        classes(tmp_path / "b" / split, "bus car train")
    assert load(tmp_path / "b").class_names == ("bus", "car", "train")


@pytest.mark.parametrize(
    "name", ["bullet_train", "train_station", "test_tube", "face_mask", "dev_kit", "images2go"]
)
def test_names_of_classes(name: str) -> None:
    assert set(folder_names.roles([name, "other"]).values()) == {""}


def test_deep_folders_that_are_no_classes_are_read(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for name in ("ant", "bee"):
        flat(root / name / "images")
    save(root / "ant" / "images" / "2021" / "x.png")
    assert len(load(root).train_labels) + len(load(root).test_labels) == 9


def test_names_and_links(tmp_path: Path) -> None:
    root = classes(tmp_path / "meine fotos", "süß 猫")
    flat(tmp_path / "elsewhere", 3)
    save(root / "a b" / "one two.png")
    (root / "a b" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "a b" / "circle").symlink_to(root)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    found = load(root)
    assert found.class_names == ("a b", "süß", "猫")
    assert len(found.train_labels) + len(found.test_labels) == 14
    assert "passed over as no images: 1 dead link, 1 link in a circle" in str(found.found)


def test_accents_are_spelled_in_two_ways(tmp_path: Path) -> None:
    classes(tmp_path / "train", "caf\u00e9 bar")
    classes(tmp_path / "test", "cafe\u0301 bar")
    assert load(tmp_path).class_names == ("bar", "caf\u00e9")


# Which files are images


@pytest.mark.parametrize(
    ("extension", "kind"),
    [
        *(
            ("jfif", "JPEG"),
            ("jpe", "JPEG"),
            ("JPEG", "JPEG"),
            ("jpg", "PNG"),
            ("png", "JPEG"),
            ("tif", "TIFF"),
        ),
        *(("webp", "WEBP"), ("bmp", "BMP"), ("gif", "GIF"), ("ppm", "PPM"), ("pgm", "PPM"), ("tga", "TGA")),
        *(("jp2", "JPEG2000"), ("", "PNG"), ("img", "JPEG"), ("bak", "TIFF"), ("x", "BMP"), ("y", "WEBP")),
        *(("dib", "DIB"), ("apng", "PNG"), ("mpo", "JPEG"), ("z", "GIF")),
    ],
)
def test_images_are_known_by_extension_or_content(tmp_path: Path, extension: str, kind: str) -> None:
    root = classes(tmp_path / "photos", "a b", 2)
    for name in ("a", "b"):
        Image.new("RGB", (8, 8), (30,) * 3).save(root / name / f"other.{extension}".rstrip("."), format=kind)
    found = load(root)
    assert len(found.train_labels) + len(found.test_labels) == 6
    assert "passed over" not in str(found.found)


@pytest.mark.parametrize(
    ("name", "said"), [("x.gif", True), ("x.tif", True), ("x.webp", True), ("x.mpo", False)]
)
def test_files_of_several_frames_are_counted(tmp_path: Path, name: str, said: bool) -> None:
    root = classes(tmp_path / "photos", "a b", 2)
    frames = [Image.new("RGB", (8, 8), (level,) * 3) for level in (10, 240)]
    for folder in ("a", "b"):
        frames[0].save(root / folder / name, save_all=True, append_images=frames[1:])
    found = load(root)
    assert ("read of 2 files: the first frame or page alone" in str(found.found)) is said
    assert max(found.train_images.max(), found.test_images.max()) < 100


def test_other_files_are_counted_by_kind_and_litter_is_not(tmp_path: Path) -> None:
    root = classes(tmp_path / "photos", "a b")
    for name in ("x.txt", "y.TXT", "z.csv", "movie.mp4", "README"):
        (root / "a" / name).write_text("words")
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "__MACOSX", ".ipynb_checkpoints", "@eaDir"):
        assert is_litter(name)
    (root / "Thumbs.db").write_text("")
    save(root / "__MACOSX" / "x.png")
    save(root / "a" / ".ipynb_checkpoints" / "x.png")
    found = load(root)
    assert found.class_names == ("a", "b")
    assert len(found.train_labels) + len(found.test_labels) == 10
    assert str(found.found).endswith(
        "passed over as no images: 2 .txt, 1 .csv, 1 .mp4, 1 file without extension"
    )


def test_what_is_no_file_is_counted_and_never_opened(tmp_path: Path) -> None:
    root = classes(tmp_path / "photos", "a b")
    os.mkfifo(root / "a" / "pipe.png")
    assert str(load(root).found).endswith("passed over as no images: 1 special file")


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = classes(tmp_path / "photos", "a b")
    flat(root / "b" / "locked")
    listed = os.scandir

    def forbid(folder: str | Path) -> object:
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(folder))  # root may list everything
        return listed(folder)

    monkeypatch.setattr(os, "scandir", forbid)
    with pytest.raises(errors.UnreadableImages, match=r"b/locked cannot be listed \(Permission denied\)"):
        load(root)


def test_a_class_of_other_files_is_refused_with_their_kinds(tmp_path: Path) -> None:
    root = classes(tmp_path / "photos", "a b")
    (root / "c").mkdir()
    (root / "c" / "clip.mp4").write_text("")
    with pytest.raises(errors.UnreadableImages, match=r"without images: c \(1 \.mp4\)"):
        load(root)


# What is skipped and said


@pytest.mark.parametrize("split", ["train", "test"])
def test_skipping_a_whole_class_is_refused(tmp_path: Path, split: str) -> None:
    for name in ("train", "test"):
        classes(tmp_path / name)
    for file in (tmp_path / split / "bee").iterdir():
        file.write_bytes(b"")
    with pytest.raises(errors.UnreadableImages, match=f"leaves no {split} images of bee"):
        load(tmp_path, on_corrupt="skip")


def test_what_was_skipped_is_said_at_every_load(tmp_path: Path) -> None:
    root = classes(tmp_path / "photos", count=10)
    (root / "ant" / "3.png").write_bytes(b"")
    (root / "ant" / "4.png").write_bytes(b"nonsense, not an image")
    with pytest.warns(UserWarning, match="skipped"):
        first = load(root, on_corrupt="skip")
    catalog._LOADED.clear()
    (root / "notes.txt").write_text("")
    again = load(root, on_corrupt="skip")
    said = "; skipped as unreadable: 1 empty, 1 not an image"
    assert str(data.found_in(first)).endswith(said)
    assert str(data.found_in(again)).endswith(f"passed over as no images: 1 .txt{said}")
    assert again.checksum == first.checksum
    assert data.found_in(data.load("digits")) is None


def test_a_class_without_test_images_is_named(tmp_path: Path) -> None:
    said = str(load(classes(tmp_path / "photos", count=3)).found)
    assert "3 classes (ant, bee, cat), 7 train and 2 test images; no test images of cat" in said


def test_many_classes_are_shortened(tmp_path: Path) -> None:
    names = " ".join(f"c{number:02}" for number in range(12))
    said = str(load(classes(tmp_path / "photos", names)).found)
    assert "12 classes (c00, c01, c02, c03, c04, ..., c11), 48 train and 12 test images" in said


# Any mixture

LAYOUTS = (
    ("cat", "dog", "ünü 1"),
    ("cat", "dog/deep/er"),
    ("train/cat", "train/dog", "Test/cat", "Test/dog"),
    ("seg_train/cat", "seg_train/dog", "seg_val/cat", "seg_val/dog"),
)
BESIDE = (
    "",
    "cat",
    "cat/more",
    "val/cat",
    "train/cat/x",
    "train",
    "unlabeled",
    "images",
    "fold1/cat",
    "masks",
)
CONTENTS = (*["image"] * 6, "grey", "deep", "gif", "empty", "words", "transparent")
NAMES = ("1.png", "2.png", "3.jpg", "4.gif", "5.JFIF", "6.tif", "notes.txt", "noextension", "7.dat", "8.webp")


def write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if content in ("empty", "words"):
        file.write_bytes(b"" if content == "empty" else b"some words that are no image")
    elif content == "deep":
        Image.fromarray(np.full((9, 7), 3000, np.uint16)).save(file, format="PNG")
    else:
        mode, kind = {"gif": ("P", "GIF"), "grey": ("L", "JPEG"), "transparent": ("RGBA", "PNG")}.get(
            content, ("RGB", "PNG")
        )
        Image.new(mode, (13, 6)).save(file, format=kind)


def read_or_refused(root: Path) -> data.Dataset | None:
    """Returns what is read, or None where the folder is refused in one sentence that names it."""
    try:
        return load(root, on_corrupt="skip")
    except errors.UnreadableImages as problem:
        said = str(problem)
    assert str(root) in said
    assert "\n" not in said
    return None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=st.sampled_from(LAYOUTS),
    beside=st.sets(st.sampled_from(BESIDE), max_size=2),
    contents=st.lists(st.sampled_from(CONTENTS), min_size=len(NAMES), max_size=len(NAMES)),
)
@pytest.mark.filterwarnings("ignore:.*they are skipped")
def test_any_folder_is_read_with_every_file_counted_or_refused(
    tmp_path_factory: pytest.TempPathFactory, layout: tuple[str, ...], beside: set[str], contents: list[str]
) -> None:
    root = tmp_path_factory.mktemp("photos")
    folders = sorted({*layout, *beside})
    for folder in folders:
        for name, content in zip(NAMES, contents, strict=True):
            write(root / folder / name, content)
    total = len(folders) * len(NAMES)
    found = read_or_refused(root)
    if found is None:
        return
    listed = image_folder.inspect(root, image_size=8, on_corrupt="skip")
    aside = listed.findings
    elsewhere = sum(aside.left_out.values()) + aside.loose + sum(aside.passed.values())
    assert len(listed.train.files) + len(listed.test.files) + elsewhere == total
    skipped = str(found.found).partition("skipped as unreadable: ")[2]
    lost = sum(int(word) for word in skipped.split() if word.isdigit())
    assert len(found.train_labels) + len(found.test_labels) + lost + elsewhere == total
    assert not {name for name in found.class_names if folder_names.role(name)} - {"train"}  # the vehicle


@pytest.mark.parametrize("top", ["", "train", "test"])
def test_folders_below_class_folders_are_named_where_a_class_has_several(tmp_path: Path, top: str) -> None:
    """Kinds within kinds are read by the upper ones: what was found says so, for they may not be what was meant."""
    root = tmp_path / "photos"
    if top:
        classes(root / "train", "ant bee")
        classes(root / "test", "ant bee")
    for number in range(10):
        save(root / top / "ant" / "red" / f"{number}.png", number)
        save(root / top / "ant" / "black" / f"{number}.png", 20 + number)
        save(root / top / "bee" / f"b{number}.png", 40 + number)
    loaded = data.load("image_folder", root=root, image_size=8)
    assert loaded.class_names == ("ant", "bee")
    assert "images of 2 folders below the class folders (ant/black, ant/red) taken for" in str(loaded.found)


def test_one_folder_below_each_class_folder_is_no_matter(tmp_path: Path) -> None:
    for number in range(10):
        save(tmp_path / "photos" / "ant" / "images" / f"{number}.png", number)
        save(tmp_path / "photos" / "bee" / "pictures" / f"{number}.png", 40 + number)
    assert "below the class" not in str(
        data.load("image_folder", root=tmp_path / "photos", image_size=8).found
    )
