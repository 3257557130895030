"""Atomic files, deterministic archives, signals held back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from alenv.errors import StorageError
from scenarios import storage


def test_write_replaces_whole_files_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    storage.write_text(path, "one")
    storage.write_text(path, "two")
    assert path.read_text() == "two"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    storage.write_text(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"a\.txt cannot be written \(No space left on device\)"):
        storage.write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_npz_bytes_depend_on_values_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arrays = {"a": np.arange(5), "b": np.zeros((2, 0), np.float32)}
    first = storage.npz_bytes(arrays)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e6)
    assert storage.npz_bytes({k: v.copy() for k, v in arrays.items()}) == first
    (tmp_path / "x.npz").write_bytes(first)
    with np.load(tmp_path / "x.npz") as loaded:
        assert loaded["a"].tolist() == [0, 1, 2, 3, 4]
        assert loaded["b"].shape == (2, 0)


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
        with storage.uninterrupted():
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
        with storage.uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            assert heard == []
        assert heard == [signal.SIGTERM]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
