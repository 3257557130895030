"""What a user writes in one file is found by ``FILE.py:NAME``: objectives, learners, embeddings, datasets."""

from __future__ import annotations

# To mypy, gym.Env lacks what the environment adds: hence the ignored attr-defined in this file.
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import alenv
from alenv import errors, plugins
from alenv.registration import known_id

OWN = Path(__file__).parents[1] / "own"
QUICK: dict[str, Any] = {"epochs": 2, "width": 4, "initial_size": 10, "query_size": 5, "budget": 10}


def played(steps: int = 1, **settings: Any) -> Any:
    env = gym.make("ALDigits-v0", **{**QUICK, **settings}).unwrapped
    env.reset(seed=0)
    for _ in range(steps):
        env.step(env.view.unlabeled[:5])  # type: ignore[attr-defined]  # gym.Env knows no view
    return env


# ---- finding ----


def test_an_object_of_a_file_is_loaded_once_and_anew_when_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("thing = [1]")
    first = plugins.load(f"{file}:thing", "thing")
    assert plugins.load(f"{file}:thing", "thing") is first
    before = plugins.content(f"{file}:thing")
    file.write_text("thing = [2]")
    assert plugins.load(f"{file}:thing", "thing") == [2]
    assert plugins.content(str(file)) != before
    other = tmp_path / "other" / "mine.py"
    other.parent.mkdir()
    other.write_text("thing = [1]")
    assert plugins.load(f"{other}:thing", "thing") is not first


def test_what_a_file_imports_beside_it_is_part_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "mine_a.py").write_text("import os\nfrom helper_of_mine import value\nthing = value")
    (tmp_path / "helper_of_mine.py").write_text("import deeper_of_mine\nvalue = 3")
    (tmp_path / "deeper_of_mine.py").write_text("x = 1")
    (tmp_path / "unrelated.py").write_text("x = 1")
    text = f"{tmp_path / 'mine_a.py'}:thing"
    assert plugins.load(text, "thing") == 3
    found = plugins.content(text)
    assert set(found) == {"mine_a.py", "helper_of_mine.py", "deeper_of_mine.py"}
    (tmp_path / "deeper_of_mine.py").write_text("x = 2")
    assert plugins.content(text)["deeper_of_mine.py"] != found["deeper_of_mine.py"]
    assert str(tmp_path) not in sys.path


def test_a_module_is_found_by_name_in_the_current_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("thing = 5")
    (package / "other.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert plugins.load("package_of_mine.part:thing", "thing") == 5
    assert set(plugins.content("package_of_mine.part:thing")) == {"__init__.py", "part.py", "other.py"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}/none.py:X", "none.py"),
        ("{}/bad.py:X", "cannot be imported .SyntaxError"),
        ("{}/fails.py:X", "ZeroDivisionError: division by zero"),
        ("{}/lacks.py:X", "no_such_module_anywhere"),
        ("{}/good.py:thng", "did you mean .*thing"),
        ("{}/good.py:", "write FILE.py:NAME"),
        ("no_such_module_at_all:X", "no module 'no_such_module_at_all'"),
        ("os.no_such_part:X", "no module 'os.no_such_part'"),
        ("a b:c d", "write FILE.py:NAME"),
    ],
)
def test_what_cannot_be_found_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad.py").write_text("def (:")
    (tmp_path / "fails.py").write_text("1 / 0")
    (tmp_path / "lacks.py").write_text("import no_such_module_anywhere")
    (tmp_path / "good.py").write_text("thing = 1")
    with pytest.raises(errors.AlenvError, match=words) as caught:
        plugins.load(text.format(tmp_path), "thing")
    assert "\n" not in str(caught.value)
    assert not [name for name in sys.modules if name.startswith("alenv_own_bad")]


def test_every_file_of_a_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alenv.learners import objectives
    from alenv.learners.objectives import registry

    (tmp_path / "found_by_walking.py").write_text(
        "from alenv.learners.objectives import Objective, register\n"
        "@register('walked')\nclass Walked(Objective): pass"
    )
    (tmp_path / "_hidden.py").write_text("raise AssertionError('a file with _ in front is not imported')")
    monkeypatch.setattr(objectives, "__path__", [*objectives.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "_OBJECTIVES", dict(registry._OBJECTIVES))
    assert {"walked", "loss_prediction"} <= set(alenv.objectives())
    sys.modules.pop("alenv.learners.objectives.found_by_walking")


# ---- using ----


def test_an_objective_of_ones_own_trains_and_offers_its_score() -> None:
    spelling = f"{OWN / 'teacher.py'}:Teacher"
    env = played(joint=spelling, joint_weight=0.5)
    assert "labeled_score" in env.offers
    assert env.view.labeled_score([1, 2]).shape == (2,)
    assert env.view.recipe.joint == "file"
    again = played(joint=spelling, joint_weight=0.5)
    assert torch.equal(again.view.logits(), env.view.logits())
    other = gym.make("ALDigits-v0", **QUICK, joint=spelling, joint_weight=0.5).unwrapped
    other.reset(options={"state": env.get_state()})
    assert torch.equal(other.view.logits(), env.view.logits())  # type: ignore[attr-defined]
    with pytest.raises(errors.UnknownName, match="joint_weight"):
        gym.make("ALDigits-v0", **QUICK, joint=spelling, joint_wieght=1.0)
    with pytest.raises(errors.UnknownName, match="no objective"):
        gym.make("ALDigits-v0", **QUICK, joint=f"{OWN / 'longest.py'}:Longest")


def test_a_learner_of_ones_own_is_an_ensemble() -> None:
    env = played(head=f"{OWN / 'five.py'}:Five")
    view = env.view
    members = view.member_probabilities(5, view.candidates)
    assert members.shape == (5, len(view.candidates), 10)
    assert len({tuple(each.flatten().tolist()) for each in members}) == 5  # no two members alike
    torch.testing.assert_close(view.probabilities(view.candidates), members.mean(0))
    alone = played(start="warm")  # member 0 is the plain recipe, bit for bit
    plain = played(head=f"{OWN / 'five.py'}:Five", start="warm")
    assert torch.equal(plain.view.features(), alone.view.features())
    other = gym.make("ALDigits-v0", **QUICK, head=f"{OWN / 'five.py'}:Five").unwrapped
    other.reset(options={"state": env.get_state()})
    assert torch.equal(other.view.logits(), view.logits())  # type: ignore[attr-defined]
    assert torch.equal(other.view.previous.logits([3]), view.previous.logits([3]))  # type: ignore[attr-defined]
    with pytest.raises(errors.UnknownName, match="no learner"):
        gym.make("ALDigits-v0", head=f"{OWN / 'longest.py'}:Longest")
    with pytest.raises(errors.UnknownName, match="did you mean 'ridge'"):
        gym.make("ALDigits-v0", head="rigde")


def test_an_embedding_of_ones_own(tmp_path: Path) -> None:
    env = gym.make("ALDigitsRidge-v0", embedding=f"{OWN / 'brightness.py'}:quarters").unwrapped
    env.reset(seed=0)
    rows = env.view.embedding()  # type: ignore[attr-defined]
    images = env.view.images(raw=True).float()[:, 0]  # type: ignore[attr-defined]
    expected = torch.stack([images[:, i : i + 4, j : j + 4].mean((1, 2)) for i in (0, 4) for j in (0, 4)], 1)
    torch.testing.assert_close(rows, torch.nn.functional.normalize(expected / 255), atol=1e-5, rtol=0)
    (tmp_path / "wrong.py").write_text("def few(images): return images[:1, :1, 0, 0]\nvalue = 3")
    with pytest.raises(errors.InvalidRecipe, match="one row of finite numbers per image"):
        gym.make("ALDigitsRidge-v0", embedding=f"{tmp_path / 'wrong.py'}:few")


def test_a_changed_embedding_is_computed_again(tmp_path: Path) -> None:
    file = tmp_path / "changing.py"
    found = []
    for factor in (1, 2):
        file.write_text(
            f"def rows(images):\n    return images.reshape(len(images), -1)[:, :9 * {factor}] + 1.0"
        )
        env = gym.make("ALDigitsRidge-v0", embedding=f"{file}:rows").unwrapped
        env.reset(seed=0)
        found.append(env.view.embedding([0]).shape[1])  # type: ignore[attr-defined]
    assert found == [9, 18]


def test_a_dataset_of_ones_own_has_ids_and_gives_no_class_away_by_its_order() -> None:
    name = known_id(f"{OWN / 'blobs.py'}:ALBlobs-v0")
    assert name == "ALBlobs-v0"
    env = gym.make(name).unwrapped
    _, info = env.reset(seed=0)
    assert info["labeled_count"] == 6
    assert env.class_names == ("round", "square", "oval")  # type: ignore[attr-defined]
    labels = env._oracle._true  # type: ignore[attr-defined]
    assert len(labels) == 300
    assert np.abs(np.corrcoef(np.arange(300), labels)[0, 1]) < 0.2
    assert (np.diff(labels) != 0).mean() > 0.4
    ridge = gym.make("ALBlobsRidge-v0")
    ridge.reset(seed=0)
    ridge.step(ridge.action_space.sample())
    for each in ("ALBlobsRidge-v0", "ALBlobsFast-v0"):
        assert alenv.ENVIRONMENTS[each][0] == "blobs"
    with pytest.raises(errors.UnknownName, match="ALBlobs"):
        known_id(f"{OWN / 'blobs.py'}:ALBlob-v0")


def test_bad_datasets_are_refused() -> None:
    good = (np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1]))
    assert alenv.Dataset.of("d", good, good).num_classes == 2
    for train in (
        (good[0].astype(float), good[1]),
        (good[0][:, 0], good[1]),
        (good[0], good[1][:3]),
        (good[0], good[1] - 1),
        (good[0], good[1] / 2),
        (good[0][:0], good[1][:0]),
    ):
        with pytest.raises(errors.CorruptDataset, match="give"):
            alenv.Dataset.of("d", train, good)
    with pytest.raises(errors.CorruptDataset, match="test set"):
        alenv.Dataset.of("d", good, (good[0], good[1] + 5))
    load = lambda: alenv.Dataset.of("d", good, good)  # noqa: E731  (a loader in one line)
    for title, settings in (("digits", {}), ("Digits", {}), ("A b", {}), ("Leaves", {"query_sze": 1})):
        with pytest.raises(errors.UnknownName):
            alenv.register_dataset(title, load, **settings)
    assert "ALLeaves-v0" not in alenv.ENVIRONMENTS
