"""The cache under concurrency, kills, full disks, read-only places and damaged files."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from alenv import data, errors
from alenv.data import cache, catalog, storage

ROOT = Path(__file__).parents[2]

PREAMBLE = """
import sys, time
from pathlib import Path
import numpy as np
from alenv.data import cache, storage

def blocks(count, pause=0.0):
    for start in range(0, count, 10):
        images = np.full((10, 4, 4, 1), start % 256, np.uint8)
        yield storage.RowBlock(images, np.zeros(10, np.int64))
        time.sleep(pause)

def store(count, pause=0.0, started=lambda: None):
    folder = cache.root() / "toy"
    def fill(writer):
        started()
        writer.split("train", (4, 4, 1), blocks(count, pause))
        writer.split("test", (4, 4, 1), blocks(10))
        return storage.Provenance("toy", ("a", "b"), "official archive")
    storage.store(folder, fill, keep=lambda: cache.is_finished(folder))
    return storage.read(folder)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALENV_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def start(code: str, place: Path, **options: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "ALENV_DATA": str(place), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + code],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, problem = process.communicate(timeout=60)
    assert process.returncode == 0, problem
    return out.strip()


def fill_with(images: np.ndarray, labels: np.ndarray) -> storage.Writer:
    def fill(writer: storage.Writer) -> storage.Provenance:
        half = max(1, len(images) // 2)
        for name in ("train", "test"):
            parts = [
                storage.RowBlock(images[:half], labels[:half]),
                storage.RowBlock(images[half:], labels[half:]),
            ]
            writer.split(name, images.shape[1:], parts)
        return storage.Provenance("toy", ("a", "b"), "official archive")

    return fill


def store(images: np.ndarray, labels: np.ndarray) -> Path:
    folder = cache.root() / "toy"
    storage.store(folder, fill_with(images, labels), keep=lambda: False)
    return folder


def some_images(count: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, 5, 4, 3), dtype=np.uint8), np.arange(count) % 2


@settings(max_examples=25)
@given(
    images=hnp.arrays(np.uint8, st.tuples(*(st.integers(1, 6),) * 3, st.sampled_from([1, 3]))),
    ordered=st.booleans(),
)
def test_what_is_stored_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, images: np.ndarray, ordered: bool
) -> None:
    labels = np.arange(len(images)) % 2
    if not ordered:  # a view with strides, as a transposed archive gives
        images = images[:, ::-1]
    folder = tmp_path_factory.mktemp("data") / "toy"
    storage.store(folder, fill_with(images, labels), keep=lambda: False)
    data = storage.read(folder)
    np.testing.assert_array_equal(data.train_images, images)
    np.testing.assert_array_equal(data.test_labels, labels)
    assert (data.train_images.dtype, data.train_labels.dtype) == (np.uint8, np.int64)
    np.testing.assert_allclose(data.mean, images.reshape(-1, images.shape[-1]).mean(0) / 255, atol=1e-9)
    spread = np.maximum(images.reshape(-1, images.shape[-1]).astype(float).std(0), 1.0) / 255
    np.testing.assert_allclose(data.std, spread, atol=1e-9)
    storage.verify(folder)


def test_arrays_are_read_only_memory_maps(place: Path) -> None:
    data = storage.read(store(*some_images()))
    assert isinstance(data.train_images, np.memmap)
    for array in (data.train_images, data.train_labels, data.test_images, data.test_labels):
        assert not array.flags.writeable


def test_checksum_is_that_of_the_content(place: Path) -> None:
    first = storage.read(store(*some_images())).checksum
    assert storage.read(store(*some_images())).checksum == first
    images, labels = some_images()
    images[3, 2, 1, 0] ^= 1
    assert storage.read(store(images, labels)).checksum != first
    images, labels = some_images()
    labels[0] ^= 1
    assert storage.read(store(images, labels)).checksum != first


def test_processes_that_start_at_once_write_once(place: Path) -> None:
    code = "data = store(200, 0.02, lambda: print('wrote'))\nprint(data.checksum)"
    outputs = [finish(process) for process in [start(code, place) for _ in range(3)]]
    assert sum(output.startswith("wrote") for output in outputs) == 1
    assert len({output.split()[-1] for output in outputs}) == 1
    assert sorted(p.name for p in place.iterdir()) == ["toy", "toy.lock"]


def test_a_killed_writer_leaves_nothing_that_looks_finished(place: Path) -> None:
    process = start("store(100_000, 0.05, lambda: print('writing', flush=True))", place)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "writing"
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not cache.is_finished(place / "toy")
    assert list(place.glob("toy.partial-*")), "the kill came too early or too late to test anything"
    finish(start("store(20)", place))
    assert sorted(p.name for p in place.iterdir()) == ["toy", "toy.lock"]
    assert len(storage.read(place / "toy").train_labels) == 20


def test_a_full_disk_is_one_sentence_and_leaves_nothing(place: Path) -> None:
    code = """
from alenv import data, errors
try:
    store(5000)
except errors.StorageError as problem:
    print(problem)
"""

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    said = finish(start(code, place, preexec_fn=small_files))
    assert "free some space or set ALENV_DATA" in said
    assert said.count("\n") == 0
    assert [p.name for p in place.iterdir()] == ["toy.lock"]


def test_a_failed_replacement_keeps_the_old_data(place: Path) -> None:
    before = storage.read(store(*some_images())).checksum

    def fill(writer: storage.Writer) -> storage.Provenance:
        writer.split("train", (4, 4, 1), [])
        raise errors.DatasetNotFound("gone")

    with pytest.raises(errors.DatasetNotFound):
        storage.store(place / "toy", fill, keep=lambda: False)
    assert storage.read(place / "toy").checksum == before
    assert sorted(p.name for p in place.iterdir()) == ["toy", "toy.lock"]


@pytest.mark.parametrize("killed", [False, True])
def test_a_replacement_stopped_between_its_renames_loses_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    before = storage.read(store(*some_images())).checksum
    rename, done = Path.rename, []

    def stopped(self: Path, target: Path) -> Path:
        done.append(target)
        if len(done) == 2 or (killed and len(done) > 2):
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stopped)
        with pytest.raises(KeyboardInterrupt):
            store(*some_images(seed=1))
    assert cache.is_finished(place / "toy") is not killed
    storage.store(place / "toy", lambda _: pytest.fail("nothing is lost"), keep=lambda: True)
    assert storage.read(place / "toy").checksum == before


def test_an_open_dataset_survives_its_replacement(place: Path) -> None:
    images, labels = some_images()
    old = storage.read(store(images, labels))
    store(*some_images(seed=1))
    np.testing.assert_array_equal(old.train_images, images)


def test_a_place_that_cannot_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ALENV_DATA", str(tmp_path / "file"))
    with pytest.raises(errors.StorageError, match="file"):
        store(*some_images())
    monkeypatch.setenv("ALENV_DATA", str(tmp_path / "file" / "data"))
    with pytest.raises(errors.StorageError, match="ALENV_DATA"):
        store(*some_images())


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
def test_a_read_only_place_is_read_and_never_written(
    place: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    images, labels = some_images()
    store(images, labels)

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    # What the system answers there; the tests may run as root, whom permissions do not stop.
    monkeypatch.setattr(Path, "mkdir", refuse)
    np.testing.assert_array_equal(storage.read(place / "toy").train_images, images)
    with pytest.raises(errors.StorageError, match=re.escape(os.strerror(code))):
        store(*some_images(seed=1))


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["train_images", "train_labels", "test_images", "test_labels"])
def test_verify_names_the_damaged_file(place: Path, name: str) -> None:
    folder = store(*some_images())
    storage.verify(folder)
    flip_a_byte(folder / f"{name}.npy")
    storage.read(folder)  # cheap checks only: loading does not read every byte
    with pytest.raises(errors.CorruptDataset, match=rf"{name}\.npy is damaged; delete the folder .*toy"):
        storage.verify(folder)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def reshape(file: Path) -> None:
    np.save(file, np.load(file)[:-1])


@pytest.mark.parametrize("damage", [cut, reshape, Path.unlink])
def test_loading_notices_sizes_and_shapes(place: Path, damage: object) -> None:
    folder = store(*some_images())
    damage(folder / "test_images.npy")  # type: ignore[operator]  # each is a function
    with pytest.raises(errors.CorruptDataset, match=r"test_images\.npy is damaged"):
        storage.read(folder)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 99, "arrays": {}}'])
def test_a_damaged_record(place: Path, text: str) -> None:
    folder = store(*some_images())
    (folder / cache.META).write_text(text)
    with pytest.raises(errors.CorruptDataset, match=r"meta\.json is damaged"):
        storage.read(folder)


def test_an_edited_checksum_is_noticed(place: Path) -> None:
    folder = store(*some_images())
    meta = json.loads((folder / cache.META).read_text())
    meta["checksum"] = "0" * 64
    (folder / cache.META).write_text(json.dumps(meta))
    with pytest.raises(errors.CorruptDataset, match=r"meta\.json is damaged"):
        storage.verify(folder)


def test_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALENV_DATA", "~/somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.root() == tmp_path / "somewhere"
    monkeypatch.delenv("ALENV_DATA")
    assert cache.root().name == "alenv"


def test_a_dataset_is_at_hand_by_its_checksum(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALENV_DATA", str(tmp_path))
    monkeypatch.setattr(catalog, "_LOADED", {})
    loaded = data.load("image_folder", root=image_folder, image_size=12)
    catalog._LOADED.clear()
    before = sorted(tmp_path.rglob("*"))
    found = data.at_hand(loaded.checksum)
    assert found is not loaded
    assert (found.train_images == loaded.train_images).all()
    assert data.at_hand(data.load("digits").checksum).name == "digits"
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "meta.json").write_text("{}")
    with pytest.raises(
        errors.DatasetNotFound, match=r"^The dataset with checksum 000000000000\.\.\. is not in"
    ):
        data.at_hand("0" * 64)
    (tmp_path / "broken" / "meta.json").unlink()
    (tmp_path / "broken").rmdir()
    assert sorted(tmp_path.rglob("*")) == before
