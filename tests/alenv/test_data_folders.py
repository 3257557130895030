"""Image folders, the embedded digits, splits, and the catalog of datasets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from alenv import data, errors
from alenv.data import catalog, class_folders, images, inventory
from alenv.data.splits import stratified_split


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALENV_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def save(
    file: Path, level: int, size: tuple[int, int] = (16, 16), mode: str = "RGB", **options: object
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).convert(mode).save(file, **options)


def write_folder(root: Path, per_class: int = 10, names: tuple[str, ...] = ("ant", "bee", "cat")) -> Path:
    """Writes one folder of class folders whose grey level is 60 * class + number."""
    for label, name in enumerate(names):
        for number in range(per_class):
            save(root / name / f"{number:02}.png", 60 * label + number)
    return root


def rows_by_level(loaded: data.Dataset) -> dict[int, int]:
    """Returns {grey level: label} over both splits."""
    return {
        int(image[0, 0, 0]): int(label)
        for split, labels in (
            (loaded.train_images, loaded.train_labels),
            (loaded.test_images, loaded.test_labels),
        )
        for image, label in zip(split, labels, strict=True)
    }


# Digits


def test_digits_are_the_real_ones_split_evenly_and_mixed() -> None:
    digits = data.load("digits")
    assert digits.train_images.shape == (1297, 8, 8, 1)
    assert digits.test_images.shape == (500, 8, 8, 1)
    assert (digits.train_images.dtype, digits.train_labels.dtype) == (np.uint8, np.int64)
    assert (digits.train_images.min(), digits.train_images.max()) == (0, 255)
    listed = inventory.listing()[0]
    assert (listed.train_count, listed.test_count) == (len(digits.train_labels), len(digits.test_labels))
    assert (listed.num_classes, listed.image_shape) == (digits.num_classes, digits.image_shape)
    assert listed.source == digits.source
    original = load_digits()
    real = sorted(
        (image.tobytes(), label) for image, label in zip(original.images, original.target, strict=True)
    )
    stored = np.concatenate([digits.train_images, digits.test_images])[..., 0]
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    sixteenths = np.rint(stored / 255.0 * 16.0)
    assert sorted((image.tobytes(), label) for image, label in zip(sixteenths, labels, strict=True)) == real
    shares = np.bincount(digits.test_labels) / np.bincount(labels)
    assert np.ptp(shares) < 0.01
    # A row number must say nothing about the class; in scikit-learn's order neighbours are 0, 1, 2, ...
    steps = np.bincount(np.diff(digits.train_labels) % 10, minlength=10) / 1296
    assert steps.max() < 0.15


def test_digits_never_change() -> None:
    assert data.load("digits").checksum == "555b22aa5949e5fd43ae1e8cc5bb0ac756cae00b9d493cf10b651de27eb0a50a"


def test_digits_need_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALENV_DATA", "/dev/null/nothing")
    monkeypatch.setattr(catalog, "_LOADED", {})
    assert data.load("digits").num_classes == 10


# Splits


@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=6),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 5),
)
def test_stratified_split(sizes: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    wanted = max(1, round(share * len(labels)))
    train, test = stratified_split(labels, wanted, seed)
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert len(test) <= wanted
    for label, size in enumerate(sizes):
        held = int((labels[test] == label).sum())
        assert size - held >= 1
        assert abs(held - size * wanted / len(labels)) <= 1.0 or held == size - 1


# Image folders


def test_one_folder_is_split_with_a_seed(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos")
    loaded = data.load("image_folder", root=root, image_size=16)
    assert (loaded.train_images.shape, loaded.test_images.shape) == ((24, 16, 16, 3), (6, 16, 16, 3))
    assert loaded.class_names == ("ant", "bee", "cat")
    assert np.bincount(loaded.test_labels).tolist() == [2, 2, 2]
    levels = rows_by_level(loaded)
    assert len(levels) == 30
    assert all(level // 60 == label for level, label in levels.items())
    assert (np.diff(loaded.train_labels) < 0).any(), "stored sorted by class"
    assert loaded.paths is not None
    for row, path in enumerate(loaded.paths):
        with Image.open(path) as picture:
            assert picture.getpixel((0, 0))[0] == loaded.train_images[row, 0, 0, 0]
    assert loaded.mean == pytest.approx([loaded.train_images.mean() / 255] * 3)
    other = data.load("image_folder", root=root, image_size=16, split_seed=1, test_share=0.5)
    assert len(other.test_labels) == 15
    assert set(data.load("image_folder", root=root, image_size=16, split_seed=1).paths or ()) != set(
        loaded.paths
    )


def test_train_and_test_folders_are_kept(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", 4)
    write_folder(tmp_path / "test", 2)
    write_folder(tmp_path / "extra", 1)
    loaded = data.load("image_folder", root=str(tmp_path), image_size=8)
    assert np.bincount(loaded.train_labels).tolist() == [4, 4, 4]
    assert np.bincount(loaded.test_labels).tolist() == [2, 2, 2]
    np.testing.assert_array_equal(loaded.train_images[:, 0, 0, 0] // 60, loaded.train_labels)
    assert all("train" in path for path in loaded.paths or [""])


def test_other_files_are_passed_over_and_deep_ones_found(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", 3)
    (root / "ant" / "notes.txt").write_text("no image")
    (root / "ant" / ".hidden.png").write_text("no image")
    (root / ".git").mkdir()
    (root / "readme.md").write_text("no class")
    (root / "ant" / ".thumbnails").mkdir()
    save(root / "ant" / ".thumbnails" / "0.png", 99)
    save(root / "ant" / "more" / "10.PNG", 10)
    levels = rows_by_level(data.load("image_folder", root=root))
    assert sorted(levels) == [0, 1, 2, 10, 60, 61, 62, 120, 121, 122]


def test_the_channels(tmp_path: Path) -> None:
    grey = tmp_path / "grey"
    for number, mode in enumerate(("L", "LA", "1", "L")):
        save(grey / "ant" / f"{number}.png", 255, mode=mode)
        save(grey / "bee" / f"{number}.png", 0, mode=mode)
    assert data.load("image_folder", root=grey).image_shape == (32, 32, 1)
    save(grey / "bee" / "9.png", 0, mode="RGB")
    mixed = data.load("image_folder", root=grey)
    assert mixed.image_shape == (32, 32, 3)
    np.testing.assert_array_equal(mixed.train_images[..., 0], mixed.train_images[..., 2])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L", "LA", "1", "I;16"])
def test_every_mode_gives_its_grey_level(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("picture.tif" if mode == "CMYK" else "picture.png")
    if mode == "I;16":
        Image.fromarray(np.full((9, 9), 255 * 256 + 7, np.uint16)).save(file)
    else:
        save(file, 255, (9, 9), mode)
    for channels in (1, 3):
        decoded = images.decode(file, (6, 6, channels))
        assert (decoded.shape, decoded.dtype) == ((6, 6, channels), np.uint8)
        np.testing.assert_allclose(decoded, 255, atol=1)


def test_a_picture_of_the_right_size_keeps_its_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    np.testing.assert_array_equal(images.decode(tmp_path / "picture.png", (12, 12, 3)), pixels)


def test_the_shorter_side_is_resized_and_the_longer_cropped(tmp_path: Path) -> None:
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, 30:70] = 200  # the middle square; the rest must be cropped away
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    decoded = images.decode(tmp_path / "wide.png", (20, 20, 3))
    np.testing.assert_array_equal(decoded[:, 1:-1], 200)
    Image.fromarray(pixels.transpose(1, 0, 2)).save(tmp_path / "tall.png")
    np.testing.assert_array_equal(
        images.decode(tmp_path / "tall.png", (20, 20, 3)), decoded.transpose(1, 0, 2)
    )


def test_resizing_averages_instead_of_picking(tmp_path: Path) -> None:
    board = (255 * (np.indices((64, 64)).sum(0) % 2)).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "board.png")
    decoded = images.decode(tmp_path / "board.png", (8, 8, 1))
    np.testing.assert_allclose(decoded, 127.5, atol=3)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 250  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise: bright on the right
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    decoded = images.decode(tmp_path / "turned.jpg", (16, 16, 3))
    assert decoded[:, 12:].mean() > 200 > 50 > decoded[:, :4].mean()


def test_a_huge_photograph_decodes_like_a_small_one(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1))
    Image.fromarray(ramp).convert("RGB").save(tmp_path / "photo.jpg", quality=95)
    decoded = images.decode(tmp_path / "photo.jpg", (16, 16, 3)).astype(float)
    centers = (80 + (np.arange(16) + 0.5) * 30) / 640 * 255
    np.testing.assert_allclose(decoded[8, :, 0], centers, atol=5)


def spoil(root: Path, count: int) -> list[str]:
    files = sorted(root.rglob("*.png"))[:count]
    for number, file in enumerate(files):
        file.write_bytes(b"" if number % 2 else file.read_bytes()[:30])
    return [str(file.relative_to(root)) for file in files]


def test_unreadable_images_are_named(tmp_path: Path, place: Path) -> None:
    root = write_folder(tmp_path / "photos", 20)
    spoilt = spoil(root, 12)
    with pytest.raises(errors.UnreadableImages) as caught:
        data.load("image_folder", root=root)
    said = str(caught.value)
    assert said.startswith("12 of 60 images")
    assert f"6 cut off ({', '.join(spoilt[0:10:2])}, ...: copy again)" in said
    assert f"6 empty ({', '.join(spoilt[1:10:2])}, ...: copy again)" in said
    assert spoilt[10] not in said
    assert 'on_corrupt="skip"' in said
    assert not [p for p in place.iterdir() if p.is_dir()]


def test_a_link_to_nowhere_is_an_unreadable_image(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos")
    (root / "ant" / "gone.png").symlink_to(tmp_path / "nothing.png")
    with pytest.raises(errors.UnreadableImages, match=r"1 of 31 images .*gone\.png"):
        data.load("image_folder", root=root)
    with pytest.warns(UserWarning, match=r"gone\.png.*skipped"):
        assert len(data.load("image_folder", root=root, on_corrupt="skip").class_names) == 3


@pytest.mark.parametrize("root", [5, ["photos"]])
def test_a_root_that_is_no_path(root: Any) -> None:
    with pytest.raises(errors.DatasetNotFound, match="not the path"):
        data.load("image_folder", root=root)


def test_unreadable_images_are_skipped_on_request(tmp_path: Path, place: Path) -> None:
    root = write_folder(tmp_path / "photos")
    spoilt = spoil(root, 3)
    with pytest.warns(UserWarning, match=r"3 of 30 images .*ant/00\.png.*skipped"):
        loaded = data.load("image_folder", root=root, on_corrupt="skip")
    levels = rows_by_level(loaded)
    assert sorted(levels) == [*range(3, 10), *range(60, 70), *range(120, 130)]
    assert all(level // 60 == label for level, label in levels.items())
    for path, label in zip(loaded.paths or (), loaded.train_labels, strict=True):
        assert Path(path).parent.name == loaded.class_names[label]
    meta = json.loads(next(place.glob("image_folder-photos-*/meta.json")).read_text())
    assert meta["skipped"] == dict(zip(spoilt, ("cut off", "empty", "cut off"), strict=True))
    catalog._LOADED.clear()
    assert data.load("image_folder", root=root, on_corrupt="skip").checksum == loaded.checksum


def test_skipping_everything_is_refused(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", 2)
    spoil(root, 6)
    with pytest.raises(errors.UnreadableImages, match="leaves no train images of ant, bee, cat"):
        data.load("image_folder", root=root, on_corrupt="skip")


def test_a_changed_folder_is_read_again_and_an_unchanged_one_is_not(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder(tmp_path / "photos")
    first = data.load("image_folder", root=root)
    assert data.load("image_folder", root=root) is first
    catalog._LOADED.clear()
    with monkeypatch.context() as patch:
        patch.setattr(images, "decode", None)  # the cache answers
        assert data.load("image_folder", root=root).checksum == first.checksum
    save(root / "ant" / "new.png", 50)
    assert len(data.load("image_folder", root=root).train_labels) == 25
    os.utime(root / "ant" / "new.png", ns=(1, 1))
    catalog._LOADED.clear()
    assert data.load("image_folder", root=root).checksum
    assert len(list(place.glob("image_folder-photos-*/meta.json"))) == 1, (
        "the outdated pixels stay on the disk"
    )


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda root: root.mkdir(), "has 0 class folders"),
        (lambda root: save(root / "one" / "0.png", 1), "has 1 class folders"),
        (lambda root: (write_folder(root), (root / "empty").mkdir()), "without images: empty"),
        (lambda root: (write_folder(root / "test"), write_folder(root / "val")), "holds test/, val/"),
        (
            lambda root: (write_folder(root / "train"), write_folder(root / "test", names=("ant", "dog"))),
            r"differ \(bee, cat, dog\)",
        ),
        (lambda root: write_folder(root, 1), "one image per class"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, build: object, said: str) -> None:
    build(tmp_path / "photos")  # type: ignore[operator]  # each is a function
    with pytest.raises(errors.UnreadableImages, match=said):
        data.load("image_folder", root=tmp_path / "photos")


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(errors.DatasetNotFound, match="nowhere cannot be read as an image folder"):
        data.load("image_folder", root=tmp_path / "nowhere")
    with pytest.raises(errors.DatasetNotFound, match='needs root="FOLDER"'):
        data.load("image_folder")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image_size": 0}, "image_size is 0"),
        ({"image_size": 32.5}, "image_size is 32.5"),
        ({"test_share": 1.0}, "test_share is 1.0"),
        ({"split_seed": -1}, "split_seed is -1"),
        ({"on_corrupt": "ignore"}, "no value of on_corrupt 'ignore'"),
        ({"imagesize": 3}, "did you mean 'image_size'"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(errors.AlenvError, match=said):
        data.load("image_folder", root=write_folder(tmp_path / "photos"), **options)


def test_file_names_that_are_no_text(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos")
    name = os.fsdecode(b"strange-\xff-\n.png")
    try:
        os.rename(root / "ant" / "00.png", root / "ant" / name)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    loaded = data.load("image_folder", root=root, test_share=0.1)
    assert sum(name in path for path in loaded.paths or ()) == 1


def test_the_stored_order_is_fixed(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", 4)
    write_folder(tmp_path / "test", 4)
    splits = class_folders.find_splits(tmp_path)
    assert splits == class_folders.Splits("train", "test", ())
    train, test = class_folders.list_splits(tmp_path, splits)
    again, _ = class_folders.list_splits(tmp_path, splits)
    assert train.files == again.files
    assert [file.removeprefix("train") for file in train.files] != [
        file.removeprefix("test") for file in test.files
    ]


# The catalog


def test_names() -> None:
    assert data.names() == (
        "digits",
        "cifar10",
        "cifar100",
        "svhn",
        "fashion_mnist",
        "tiny_imagenet",
        "image_folder",
    )


def test_unknown_names_and_options() -> None:
    for function in (data.load, data.verify, lambda name: data.add(name, "/tmp")):
        with pytest.raises(errors.UnknownName, match="no dataset 'cifar'; did you mean 'cifar10'"):
            function("cifar")
    with pytest.raises(errors.UnknownName, match="'digits' takes no option 'root'"):
        data.load("digits", root="/tmp")
    assert data.load("digits", root=None, image_size=None).name == "digits"


def test_listing_and_verify(tmp_path: Path, place: Path) -> None:
    entries = {entry.name: entry for entry in data.listing()}
    assert tuple(entries) == data.names()
    assert entries["digits"].state == "built in"
    assert entries["cifar10"].state == entries["image_folder"].state == "not cached"
    root = write_folder(tmp_path / "photos")
    data.load("image_folder", root=root)
    data.load("image_folder", root=root, image_size=8)
    found = [entry for entry in data.listing() if entry.name == "image_folder"]
    assert [entry.state for entry in found] == ["cached", "cached"]
    assert {entry.image_shape for entry in found} == {(32, 32, 3), (8, 8, 3)}
    assert {(entry.train_count, entry.test_count, entry.root) for entry in found} == {(24, 6, str(root))}
    assert all(entry.size_bytes > 0 for entry in found)
    assert len(data.verify("image_folder")) == 2
    assert data.verify("digits") == ()
    with pytest.raises(errors.DatasetNotFound, match="svhn is not cached"):
        data.verify("svhn")
    assert found[0].path is not None
    (found[0].path / "test_labels.npy").unlink()
    assert "damaged" in [entry.state for entry in data.listing() if entry.name == "image_folder"]
    with pytest.raises(errors.CorruptDataset, match=r"test_labels\.npy is damaged"):
        data.verify("image_folder")


def test_importing_the_data_package_is_light() -> None:
    code = (
        "import sys, alenv.data; print([m for m in ('torch', 'sklearn', 'PIL', 'rich') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Labels in a file


def labeled(root: Path, text: str) -> Path:
    """Writes a file of labels beside the folder."""
    file = root.parent / "labels.csv"
    file.write_text(text)
    return file


def test_labels_may_come_from_a_file(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine", names=("x", "unlabeled", "test"))
    save(root / "loose.png", 200)
    lines = [f"x/{n:02}.png,{'odd' if n % 2 else 'even'}" for n in range(10)]
    lines += [f"unlabeled/{n:02}.png,third" for n in range(5)] + ["loose.png,odd", "x/05.png,"]
    file = labeled(root, "\n".join(["file,label", *lines]))
    loaded = data.load("image_folder", root=str(root), labels=str(file), image_size=16)
    assert loaded.class_names == ("even", "odd", "third")
    found = rows_by_level(loaded)
    assert found == {
        **{n: n % 2 for n in range(10)},
        **{60 + n: 2 for n in range(5)},
        200: 1,
    }
    assert loaded.found is not None
    assert "15 images without a label in labels.csv" in loaded.found


def test_a_changed_label_is_another_dataset(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    text = "file,label\n" + "".join(f"{c}/{n:02}.png,{c}\n" for c in ("ant", "bee") for n in range(5))
    given = {"root": str(root), "labels": str(labeled(root, text)), "image_size": 16}
    first = data.load("image_folder", **given)
    assert data.load("image_folder", **given) is first
    labeled(root, text.replace("ant/00.png,ant", "ant/00.png,bee"))
    second = data.load("image_folder", **given)
    assert second.checksum != first.checksum
    assert rows_by_level(second)[0] == 1
    assert data.load("image_folder", root=str(root), image_size=16).class_names == ("ant", "bee", "cat")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,label\nant/00.png,ant\nno.png,bee\n", r"names 1 images that are not in .*: no\.png"),
        ("file,label\nant/00.png,ant\nant/01.png,ant\n", "names 1 classes; give labels of at least two"),
        ("file,label\nant/00.png,ant\nbee/00.png,bee\n", "one image per class"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    root = write_folder(tmp_path / "mine")
    with pytest.raises(errors.AlenvError, match=sentence):
        data.load("image_folder", root=str(root), labels=str(labeled(root, text)))


def test_only_labeled_images_form_the_pool(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine", per_class=20)
    lines = [f"{c}/{n:02}.png,{c}" for c in ("ant", "bee", "cat") for n in range(15)]
    env = gym.make(
        "ALImageFolderRidge-v0",
        root=str(root),
        labels=str(labeled(root, "\n".join(["file,label", *lines]))),
        embedding="pixels",
        **{"validation": 6, "initial_size": 6, "query_size": 3, "budget": 9, "image_size": 16},
    )
    env.reset(seed=0)
    assert len(env.unwrapped.rows) == 30  # 45 labeled, 9 of them the test set, 6 the validation split
    assert all(int(Path(path).stem) < 15 for path in env.unwrapped.paths)
