"""Atomic files and folders, deterministic archives, signals held back."""

from __future__ import annotations

import os
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from alenv import files
from alenv.errors import StorageError


def test_write_replaces_whole_files_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "one")
    files.write_text(path, "two")
    assert path.read_text() == "two"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"a\.txt cannot be written \(No space left on device\)"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_npz_bytes_depend_on_values_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arrays = {"a": np.arange(5), "b": np.zeros((2, 0), np.float32)}
    first = files.npz_bytes(arrays)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e6)
    assert files.npz_bytes({k: v.copy() for k, v in arrays.items()}) == first
    (tmp_path / "x.npz").write_bytes(first)
    with np.load(tmp_path / "x.npz") as loaded:
        assert loaded["a"].tolist() == [0, 1, 2, 3, 4]
        assert loaded["b"].shape == (2, 0)
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        dates = [member.date_time for member in archive.infolist()]
    assert dates == [(1980, 1, 1, 0, 0, 0)] * 2  # what a zip archive without a date has


def test_a_folder_is_made_with_its_parents_or_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    files.make_folder(folder)
    (folder / "kept").touch()
    files.make_folder(folder)
    assert os.listdir(folder) == ["kept"]
    with pytest.raises(StorageError, match="cannot be written"):
        files.make_folder(folder / "kept")


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """Lets SIGINT interrupt, which it does not in a process that was started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_uninterrupted_holds_a_signal_until_the_end() -> None:
    done = []

    def interrupted() -> None:
        with files.uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            done.append("inside")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["inside"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_signal_hides_no_other() -> None:
    heard: list[int] = []
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda number, _: heard.append(number)),
    }
    try:
        with files.uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            assert heard == []
        assert heard == [signal.SIGTERM]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_refusal_names_the_place_and_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"file/a cannot be written \(Not a directory\); ask the admin\.$"):
        files.write_text(tmp_path / "file" / "a", "x", advice="ask the admin")
    with pytest.raises(ConnectionError), files.writing(tmp_path):  # no matter of writing
        raise ConnectionError("gone")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "new" / "folder"

    def fill(folder: Path) -> None:
        assert not place.exists()
        (folder / "a.txt").write_text("one")

    def fail(folder: Path) -> None:
        fill(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.publish_folder(place, fail)
    assert os.listdir(tmp_path / "new") == []
    files.publish_folder(place, fill)
    assert os.listdir(place.parent) == ["folder"]
    assert (place / "a.txt").read_text() == "one"


def test_a_folder_is_never_overwritten(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    place.mkdir()
    (place / "a.txt").write_text("one")
    with pytest.raises(StorageError, match="folder cannot be written"):
        files.publish_folder(place, lambda folder: None)
    assert (place / "a.txt").read_text() == "one"
    assert os.listdir(tmp_path) == ["folder"]
