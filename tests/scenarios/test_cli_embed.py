"""``alenv embed``: any embedding as a file, usable by ``embedding=``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import error, run

from alenv import data, embedding
from alenv.embedding import embed

SMALL = ("initial_size=10", "query_size=10", "budget=10")


def test_a_file_that_plays_as_what_it_was_made_of(tmp_path: Path) -> None:
    file = tmp_path / "pixels.npy"
    code, out, err = run("embed", "ALDigits-v0", "--with", "pixels", "--out", str(file))
    assert code == 0, err
    assert "1,797 rows (1,297 train, then 500 test) of 64 dimensions" in out
    assert f"embedding={file}" in out
    np.testing.assert_array_equal(np.load(file), embed(data.load("digits"), "pixels"))
    accuracies = []
    for name in ("pixels", str(file)):
        settings = ("--set", f"embedding={name}", *SMALL)
        folder = str(tmp_path / f"runs{len(accuracies)}")
        found = run(
            "compare", "ALDigitsRidge-v0", "--agents", "random", "--seeds", "1", "--out", folder, *settings
        )
        assert found[0] == 0, found[2]
        (curve,) = Path(folder).glob("random-seed0-*/curve.csv")
        accuracies.append(curve.read_text())
    assert accuracies[0] == accuracies[1]


def test_the_settings_of_the_environment_count(tmp_path: Path, image_folder: Path) -> None:
    file = tmp_path / "photos.npy"
    base = ("embed", "ALImageFolder-v0", "--with", "pixels", "--out", str(file))
    code, _, err = run(*base, "--set", f"root={image_folder}", "image_size=10", "embedding_size=5")
    assert code == 0, err
    assert "60" in err  # what was found in the folder
    assert np.load(file).shape == (75, 5)
    said = error(
        *("compare", "ALImageFolder-v0", "--agents", "random", "--out", str(tmp_path / "runs")),
        *("--set", f"root={image_folder}", "image_size=12", f"embedding={file}", *SMALL),
    )
    assert "was written for image_folder with checksum" in said


def test_a_function_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def halves(images):\n    return images.reshape(len(images), -1)[:, :8]\n"
    )
    file = tmp_path / "own.npy"
    code, out, err = run(
        "embed", "ALDigits-v0", "--with", f"{tmp_path / 'own.py'}:halves", "--out", str(file)
    )
    assert code == 0, err
    assert "of 8 dimensions" in out
    assert json.loads(file.with_suffix(".json").read_text())["embedding"].endswith("own.py:halves")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ALDigit-v0", "--with", "pixels"], "did you mean 'ALDigits-v0'?"),
        (["CartPole-v1", "--with", "pixels"], "There is no environment 'CartPole-v1'"),
        (["ALDigits-v0", "--with", "pixel"], "did you mean 'pixels'?"),
        (["ALDigits-v0", "--with", "imagenet-resnet81"], "did you mean 'resnet18'?"),
        (["ALDigits-v0", "--with", "pixels", "--set", "embedding=pixels"], "by --with alone"),
        (["ALDigits-v0", "--with", "pixels", "--set", "quer_size=3"], "did you mean 'query_size'?"),
        (["ALDigits-v0"], "Missing option '--with'"),
    ],
)
def test_every_error_is_one_sentence(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "_compute", None)
    assert said in error("embed", *arguments, "--out", str(tmp_path / "rows.npy"))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_computed_for_a_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "_compute", None)
    (tmp_path / "rows.npy").write_text("mine")
    base = ("embed", "ALDigits-v0", "--with", "patches")
    assert "exists already; delete it" in error(*base, "--out", str(tmp_path / "rows.npy"))
    assert (tmp_path / "rows.npy").read_text() == "mine"
    assert "ends in .npy" in error(*base, "--out", str(tmp_path / "rows.npz"))


def test_an_embedding_is_looked_up_before_any_other_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "_compute", None)
    agents = "random,margin@embedding=imagenet-resnet81"
    base = ("compare", "ALDigitsRidge-v0", "--agents", agents, "--out", str(tmp_path / "runs"))
    assert "did you mean 'resnet18'?" in error(*base, "--set", "embedding=patches", "embedding_size=7")
