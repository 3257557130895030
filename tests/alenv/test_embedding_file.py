"""Embeddings in files: whose rows they are is checked where a record says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import refuse_bytes

from alenv import data, embedding_file, errors
from alenv.data import Dataset
from alenv.embedding import embed


@pytest.fixture
def digits() -> Dataset:
    return data.load("digits")


@pytest.fixture
def file(tmp_path: Path, digits: Dataset) -> Path:
    written = tmp_path / "new" / "rows.npy"
    embedding_file.write(written, embed(digits, "pixels"), digits, "pixels")
    return written


def test_what_was_written_is_read_again(file: Path, digits: Dataset) -> None:
    rows = embed(digits, str(file))
    np.testing.assert_allclose(rows, embed(digits, "pixels"), atol=1e-6)
    record = json.loads(file.with_suffix(".json").read_text())
    assert {"dataset": "digits", "train": 1297, "test": 500, "embedding": "pixels"}.items() <= record.items()
    assert record["checksum"] == digits.checksum
    assert sorted(each.name for each in file.parent.iterdir()) == ["rows.json", "rows.npy"]


def test_another_dataset_or_order_is_refused(file: Path, digits: Dataset) -> None:
    turned = Dataset.of(
        "turned", (digits.train_images, digits.train_labels), (digits.test_images, digits.test_labels)
    )
    with pytest.raises(errors.InvalidRecipe, match=r"was written for digits with checksum .* not for turned"):
        embed(turned, str(file))
    np.save(file, np.load(file)[::-1])
    with pytest.raises(errors.InvalidRecipe, match=r"is not the one that .*rows\.json describes"):
        embed(digits, str(file))


@pytest.mark.parametrize("content", [None, "{", "[1]", '{"dataset": "mine"}', "\0"])
def test_without_a_record_the_number_of_rows_is_checked(
    file: Path, digits: Dataset, content: str | None
) -> None:
    record = file.with_suffix(".json")
    record.unlink()
    if content is not None:
        record.write_text(content)
    assert embed(replace(digits, checksum="other"), str(file)).shape == (1797, 64)
    np.save(file, np.load(file)[1:])
    with pytest.raises(errors.InvalidRecipe, match="of 1797 rows"):
        embed(digits, str(file))


def test_nothing_is_overwritten(file: Path, digits: Dataset) -> None:
    before = file.read_bytes()
    with pytest.raises(errors.AlenvError, match=r"rows.npy exists already; delete it or give another name\."):
        embedding_file.write(file, np.zeros((1797, 2), np.float32), digits, "zeros")
    assert file.read_bytes() == before
    file.unlink()
    with pytest.raises(errors.AlenvError, match=r"rows\.json exists already"):
        embedding_file.check_free(file)
    with pytest.raises(errors.AlenvError, match=r"give a name that ends in \.npy"):
        embedding_file.check_free(file.with_suffix(".txt"))


def test_a_full_disk_leaves_nothing(tmp_path: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    said = refuse_bytes(monkeypatch)
    with pytest.raises(errors.StorageError, match=said):
        embedding_file.write(tmp_path / "rows.npy", np.ones((1797, 2), np.float32), digits, "ones")
    assert list(tmp_path.iterdir()) == []
