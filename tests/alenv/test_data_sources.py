"""Every published dataset in its official file format, from a local server and from local copies."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import http.server
import io
import os
import pickle
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torchvision.datasets as published
from PIL import Image

from alenv import data, errors
from alenv.data import catalog, fashion_mnist, svhn, tiny_imagenet
from alenv.data.cifar import CIFAR10

COUNT = 24  # images per split; official counts are far larger, which only image folders are compared with

Splits = dict[str, tuple[np.ndarray, np.ndarray]]


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def random_splits(shape: tuple[int, ...], classes: int) -> Splits:
    generator = np.random.default_rng(0)
    return {
        name: (
            generator.integers(0, 256, (COUNT, *shape), dtype=np.uint8),
            generator.integers(0, classes, COUNT),
        )
        for name in ("train", "test")
    }


def assert_same(loaded: data.Dataset, splits: Splits) -> None:
    np.testing.assert_array_equal(loaded.train_images, splits["train"][0])
    np.testing.assert_array_equal(loaded.train_labels, splits["train"][1])
    np.testing.assert_array_equal(loaded.test_images, splits["test"][0])
    np.testing.assert_array_equal(loaded.test_labels, splits["test"][1])
    assert loaded.source == "official archive"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALENV_DATA", str(tmp_path / "data"))
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return tmp_path / "data"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Yields the address of a local web server and the folder it serves."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    class Tolerant(http.server.ThreadingHTTPServer):
        def handle_error(self, *connection: Any) -> None:
            # torchvision asks where an address leads, and hangs up before the body is sent.
            if not isinstance(sys.exc_info()[1], ConnectionError):
                super().handle_error(*connection)

    with Tolerant(("127.0.0.1", 0), partial(Silent, directory=folder)) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/", folder
        running.shutdown()


Patch = pytest.MonkeyPatch


def write_cifar(folder: Path, url: str, patch: Patch, name: str = "cifar10") -> Splits:
    """Writes a small official CIFAR archive, and its unpacked folder beside it."""
    reader = {"cifar10": published.CIFAR10, "cifar100": published.CIFAR100}[name]
    classes, key = (10, "labels") if name == "cifar10" else (100, "fine_labels")
    splits = random_splits((32, 32, 3), classes)

    def batch(images: np.ndarray, labels: np.ndarray) -> bytes:
        rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        return pickle.dumps({"data": rows, key: labels.tolist()})

    files = {}
    train_files = [entry[0] for entry in reader.train_list]
    for number, file in enumerate(train_files):
        images, labels = (part[number :: len(train_files)] for part in splits["train"])
        files[file] = batch(images, labels)
    order = np.concatenate(
        [np.arange(COUNT)[number :: len(train_files)] for number in range(len(train_files))]
    )
    splits["train"] = (splits["train"][0][order], splits["train"][1][order])
    files[reader.test_list[0][0]] = batch(*splits["test"])
    names = [f"class {label:03}" for label in range(classes)]
    files[reader.meta["filename"]] = pickle.dumps({reader.meta["key"]: names})

    (folder / reader.base_folder).mkdir()
    with tarfile.open(folder / reader.filename, "w:gz") as archive:
        for file, content in files.items():
            (folder / reader.base_folder / file).write_bytes(content)
            entry = tarfile.TarInfo(f"{reader.base_folder}/{file}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    patch.setattr(reader, "train_list", [[file, md5(files[file])] for file in train_files])
    patch.setattr(reader, "test_list", [[file, md5(files[file])] for file, _ in reader.test_list])
    patch.setattr(reader, "meta", {**reader.meta, "md5": md5(files[reader.meta["filename"]])})
    patch.setattr(reader, "url", url + reader.filename)
    patch.setattr(reader, "tgz_md5", md5((folder / reader.filename).read_bytes()))
    return splits


def write_svhn(folder: Path, url: str, patch: Patch) -> Splits:
    splits = random_splits((32, 32, 3), 10)
    listed = {}
    for name, (images, labels) in splits.items():
        file = folder / f"{name}_32x32.mat"
        marks = np.where(labels == 0, 10, labels)[:, None]  # the files call the digit 0 "10"
        scipy.io.savemat(file, {"X": images.transpose(1, 2, 3, 0), "y": marks.astype(np.uint8)})
        listed[name] = [url + file.name, file.name, md5(file.read_bytes())]
    patch.setattr(published.SVHN, "split_list", listed)
    return splits


def write_fashion_mnist(folder: Path, url: str, patch: Patch) -> Splits:
    splits = random_splits((28, 28, 1), 10)
    resources, contents = [], {}
    for name, (images, labels) in splits.items():
        prefix = "train" if name == "train" else "t10k"
        sizes = np.array([2051, COUNT, 28, 28], dtype=">i4")
        for file, content in (
            (f"{prefix}-images-idx3-ubyte.gz", sizes.tobytes() + images.tobytes()),
            (
                f"{prefix}-labels-idx1-ubyte.gz",
                np.array([2049, COUNT], ">i4").tobytes() + bytes(labels.tolist()),
            ),
        ):
            (folder / file).write_bytes(gzip.compress(content))
            resources.append((file, md5((folder / file).read_bytes())))
            contents[file] = md5(content)
    patch.setattr(published.FashionMNIST, "mirrors", [url])
    patch.setattr(published.FashionMNIST, "resources", resources)
    patch.setattr(fashion_mnist, "_ARCHIVES", contents)
    return splits


def write_tiny_imagenet(folder: Path, url: str, patch: Patch) -> None:
    """Writes a small official TinyImageNet; each image is filled with its label, so order can be checked."""
    top = folder / "tiny-imagenet-200"
    ids = ["n01", "n02", "n03"]
    (top / "val" / "images").mkdir(parents=True)
    lines = []
    for label, wnid in enumerate(ids):
        (top / "train" / wnid / "images").mkdir(parents=True)
        for number in range(8):
            grey = number == 0  # the official set has grey files too
            picture = Image.new("L" if grey else "RGB", (64, 64), 10 * label if grey else (10 * label,) * 3)
            picture.save(top / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", quality=100)
            picture.save(top / "val" / "images" / f"val_{3 * number + label}.JPEG", quality=100)
            lines.append(f"val_{3 * number + label}.JPEG\t{wnid}\t0\t0\t62\t62\n")
        (top / "train" / wnid / f"{wnid}_boxes.txt").write_text("no image")
    (top / "val" / "val_annotations.txt").write_text("".join(lines))
    (top / "words.txt").write_text("n01\tgoldfish, Carassius auratus\nn02\tcrane\nn03\tcrane\nn04\tunused\n")
    (top / "test" / "images").mkdir(parents=True)
    with zipfile.ZipFile(folder / tiny_imagenet.ARCHIVE, "w") as archive:
        for file in sorted(top.rglob("*")):
            archive.write(file, file.relative_to(folder))
    patch.setattr(tiny_imagenet, "URL", url + tiny_imagenet.ARCHIVE)
    patch.setattr(tiny_imagenet, "MD5", md5((folder / tiny_imagenet.ARCHIVE).read_bytes()))


WRITERS = {
    "cifar10": write_cifar,
    "cifar100": partial(write_cifar, name="cifar100"),
    "svhn": write_svhn,
    "fashion_mnist": write_fashion_mnist,
}


@pytest.mark.parametrize("name", list(WRITERS))
def test_download(name: str, server: tuple[str, Path], place: Path, monkeypatch: Patch) -> None:
    url, folder = server
    splits = WRITERS[name](folder, url, monkeypatch)
    loaded = data.load(name)
    assert_same(loaded, splits)
    source = catalog.PUBLISHED[name]
    assert loaded.image_shape == source.image_shape
    assert loaded.num_classes == source.num_classes
    assert loaded.mean == source.mean
    assert data.load(name) is loaded
    assert sorted(p.name for p in place.iterdir()) == [name, f"{name}.lock"]
    assert sorted(p.name for p in (place / name).iterdir()) == [
        "meta.json",
        "test_images.npy",
        "test_labels.npy",
        "train_images.npy",
        "train_labels.npy",
    ]


def assert_tiny_imagenet(loaded: data.Dataset) -> None:
    assert loaded.class_names == ("goldfish", "n02", "n03")  # two classes share the word "crane"
    assert loaded.image_shape == (64, 64, 3)
    for images, labels in (
        (loaded.train_images, loaded.train_labels),
        (loaded.test_images, loaded.test_labels),
    ):
        assert sorted(labels.tolist()) == [0] * 8 + [1] * 8 + [2] * 8
        assert labels.tolist() != sorted(labels.tolist())
        np.testing.assert_allclose(images.mean((1, 2, 3)), 10.0 * labels, atol=2.0)


def test_download_of_tiny_imagenet(server: tuple[str, Path], monkeypatch: Patch) -> None:
    write_tiny_imagenet(server[1], server[0], monkeypatch)
    assert_tiny_imagenet(data.load("tiny_imagenet"))


@pytest.mark.parametrize("name", list(WRITERS))
def test_add_official_files(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    splits = WRITERS[name](tmp_path, "http://127.0.0.1:9/", monkeypatch)
    assert_same(data.add(name, tmp_path), splits)
    assert_same(data.load(name), splits)
    assert data.verify(name)


def test_add_tiny_imagenet_packed_and_unpacked(tmp_path: Path, monkeypatch: Patch) -> None:
    write_tiny_imagenet(tmp_path, "http://127.0.0.1:9/", monkeypatch)
    packed = data.add("tiny_imagenet", tmp_path / tiny_imagenet.ARCHIVE)
    assert_tiny_imagenet(packed)
    assert packed.source == "other images in the official layout"  # 24 images, not 100,000
    small = dataclasses.replace(tiny_imagenet.TINY_IMAGENET, num_classes=3, counts=(24, 24))
    monkeypatch.setattr(tiny_imagenet, "TINY_IMAGENET", small)
    again = data.add("tiny_imagenet", tmp_path / tiny_imagenet.ARCHIVE, replace=True)
    assert again.source == "official archive"
    unpacked = data.add("tiny_imagenet", tmp_path / "tiny-imagenet-200")
    assert unpacked.checksum == packed.checksum


def test_add_an_archive_or_its_unpacked_folder(tmp_path: Path, monkeypatch: Patch) -> None:
    splits = write_cifar(tmp_path, "http://127.0.0.1:9/", monkeypatch)
    assert_same(data.add("cifar10", str(tmp_path / "cifar-10-python.tar.gz")), splits)
    (tmp_path / "cifar-10-python.tar.gz").unlink()
    assert_same(data.add("cifar10", tmp_path), splits)
    assert_same(data.add("cifar10", tmp_path / "cifar-10-batches-py"), splits)


def test_add_fashion_mnist_packed_by_another_program(tmp_path: Path, monkeypatch: Patch) -> None:
    splits = write_fashion_mnist(tmp_path, "http://127.0.0.1:9/", monkeypatch)
    for file in tmp_path.glob("*.gz"):
        file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), compresslevel=1, mtime=7))
    assert_same(data.add("fashion_mnist", tmp_path), splits)


@pytest.mark.parametrize("name", [*WRITERS, "tiny_imagenet"])
def test_offline(name: str, place: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    nobody = "http://127.0.0.1:9/"
    {**WRITERS, "tiny_imagenet": write_tiny_imagenet}[name](tmp_path, nobody, monkeypatch)
    with pytest.raises(errors.DatasetNotFound) as caught:
        data.load(name)
    said = str(caught.value)
    assert "connect to the internet once" in said
    assert f"alenv data add {name} --from DIR" in said
    assert "\n" not in said
    assert [p.name for p in place.iterdir()] == [f"{name}.lock"]


@pytest.mark.parametrize("name", [*WRITERS, "tiny_imagenet"])
def test_a_download_that_is_cut_off_never_counts(
    name: str, place: Path, server: tuple[str, Path], monkeypatch: Patch
) -> None:
    {**WRITERS, "tiny_imagenet": write_tiny_imagenet}[name](server[1], server[0], monkeypatch)
    for file in server[1].iterdir():
        if file.is_file():
            file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(errors.DatasetNotFound, match=f"{name} is not cached and could not be downloaded"):
        data.load(name)
    assert [p.name for p in place.iterdir()] == [f"{name}.lock"]


@pytest.mark.parametrize("name", [*WRITERS, "tiny_imagenet"])
def test_a_damaged_local_copy(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    {**WRITERS, "tiny_imagenet": write_tiny_imagenet}[name](tmp_path, "http://127.0.0.1:9/", monkeypatch)
    for file in tmp_path.iterdir():
        if file.is_file():
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 255
            file.write_bytes(content)
    with pytest.raises(errors.CorruptDataset, match="download"):
        data.add(name, tmp_path)


def test_a_damaged_unpacked_copy(tmp_path: Path, monkeypatch: Patch) -> None:
    write_cifar(tmp_path, "http://127.0.0.1:9/", monkeypatch)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(b"")
    with pytest.raises(errors.CorruptDataset, match="does not hold the official files of cifar10"):
        data.add("cifar10", tmp_path / "cifar-10-batches-py")


def write_pictures(
    root: Path, names: tuple[str, ...], per_class: int = 3, size: int = 32, mode: str = "RGB"
) -> None:
    """Writes ``train`` and ``test`` class folders; the grey level tells class and number."""
    for split in ("train", "test"):
        for label, name in enumerate(names):
            (root / split / name).mkdir(parents=True)
            for number in range(per_class):
                level = 20 * label + number
                picture = Image.new(mode, (size, size), level if mode == "L" else (level,) * 3)
                picture.save(root / split / name / f"{number}.png")


@pytest.mark.parametrize("folders", [CIFAR10.class_names, tuple("0123456789")])
def test_add_pictures(tmp_path: Path, folders: tuple[str, ...], place: Path) -> None:
    write_pictures(tmp_path / "pictures", folders)
    with pytest.warns(
        UserWarning, match=r"holds 30 train and 30 test images; the official cifar10 has 50000 and 10000"
    ):
        loaded = data.add("cifar10", tmp_path / "pictures")
    assert loaded.class_names == CIFAR10.class_names
    assert loaded.source == "re-encoded images"
    assert (loaded.mean, loaded.std) == (CIFAR10.mean, CIFAR10.std)
    np.testing.assert_array_equal(loaded.train_images[:, 0, 0, 0] // 20, loaded.train_labels)
    assert np.bincount(loaded.train_labels).tolist() == [3] * 10
    assert (np.diff(loaded.train_labels) < 0).any(), "stored sorted by class"
    assert '"order_seed": 0' in (place / "cifar10" / "meta.json").read_text()
    assert "airplane" in (place / "cifar10" / "files.json").read_text() or folders[0] == "0"


def test_names_of_cifar10_are_the_official_ones_in_order() -> None:
    assert CIFAR10.class_names is not None
    assert list(CIFAR10.class_names) == sorted(CIFAR10.class_names)
    assert CIFAR10.class_names[0] == "airplane"
    assert CIFAR10.class_names[-1] == "truck"


@pytest.mark.filterwarnings("ignore:.*the official fashion_mnist has")  # a few pictures
def test_add_pictures_by_names_whose_order_is_not_alphabetical(tmp_path: Path) -> None:
    names = tuple(name.lower().replace("/", "_").replace(" ", "-") for name in fashion_mnist._CLASS_NAMES)
    write_pictures(tmp_path, names, size=28, mode="L")
    loaded = data.add("fashion_mnist", tmp_path)
    assert loaded.image_shape == (28, 28, 1)
    np.testing.assert_array_equal(loaded.train_images[:, 0, 0, 0] // 20, loaded.train_labels)


def test_add_refuses_other_class_folders(tmp_path: Path) -> None:
    write_pictures(tmp_path, ("cat", "dog", "zebra"))
    with pytest.raises(errors.UnreadableImages, match=r"3 class folders \(cat, dog, zebra\)"):
        data.add("cifar10", tmp_path)


@pytest.mark.filterwarnings("ignore:.*the official cifar10 has")  # a few pictures
def test_add_refuses_unreadable_pictures(tmp_path: Path, place: Path) -> None:
    write_pictures(tmp_path, CIFAR10.class_names or ())
    (tmp_path / "train" / "cat" / "1.png").write_bytes(b"not a picture")
    with pytest.raises(errors.UnreadableImages, match=r"1 images .*train/cat/1\.png"):
        data.add("cifar10", tmp_path)
    assert not (place / "cifar10").exists()


def test_add_says_what_it_wants(tmp_path: Path, monkeypatch: Patch) -> None:
    write_svhn(tmp_path, "", monkeypatch)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        errors.DatasetNotFound, match=r"does not hold cifar10 as cifar-10-python\.tar\.gz, or as"
    ):
        data.add("cifar10", tmp_path / "empty")
    with pytest.raises(errors.DatasetNotFound, match="does not exist"):
        data.add("cifar10", tmp_path / "nowhere")
    with pytest.raises(errors.DatasetNotFound, match=r"train_32x32\.mat is not cifar10 as"):
        data.add("cifar10", tmp_path / "train_32x32.mat")
    (tmp_path / "test_32x32.mat").unlink()
    with pytest.raises(errors.DatasetNotFound, match=r"lacks test_32x32\.mat"):
        data.add("svhn", tmp_path / "train_32x32.mat")


@pytest.mark.filterwarnings("ignore:.*the official cifar10 has")  # a few pictures
def test_add_never_replaces_other_data_silently(tmp_path: Path, monkeypatch: Patch) -> None:
    splits = write_cifar(tmp_path, "http://127.0.0.1:9/", monkeypatch)
    data.add("cifar10", tmp_path)
    data.add("cifar10", tmp_path)  # the same data again is fine
    write_pictures(tmp_path / "pictures", CIFAR10.class_names or ())
    with pytest.raises(errors.StorageError, match=r"cached already, with other pixels .*--replace"):
        data.add("cifar10", tmp_path / "pictures")
    assert_same(data.load("cifar10"), splits)
    assert data.add("cifar10", tmp_path / "pictures", replace=True).source == "re-encoded images"
    assert len(data.load("cifar10").train_labels) == 30


@pytest.mark.parametrize("name", ["digits", "image_folder"])
def test_what_cannot_be_added(name: str, tmp_path: Path) -> None:
    with pytest.raises(errors.UnknownName, match="never added"):
        data.add(name, tmp_path)


def test_official_constants_are_those_of_the_reader() -> None:
    assert dict(catalog.PUBLISHED["cifar10"].archives()) == {
        "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"
    }
    assert list(svhn.SVHN.archives()) == ["train_32x32.mat", "test_32x32.mat"]
    assert [name for name, _ in published.FashionMNIST.resources] == list(fashion_mnist._ARCHIVES)


def test_no_output_where_nobody_watches(
    server: tuple[str, Path], monkeypatch: Patch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_cifar(server[1], server[0], monkeypatch)
    data.load("cifar10")
    assert capfd.readouterr() == ("", "")


def test_one_process_downloads_for_all(server: tuple[str, Path], monkeypatch: Patch) -> None:
    write_svhn(server[1], server[0], monkeypatch)
    data.load("svhn")
    for file in server[1].iterdir():
        os.remove(file)
    catalog._LOADED.clear()
    assert len(data.load("svhn").train_labels) == COUNT
