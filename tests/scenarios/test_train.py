"""``alenv train`` and ``alenv evaluate``: what they write, how they go on, what they refuse."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import error, run

from agents.policies.gain_training import MarginalGain
from agents.policies.sb3_training import Sb3Trainer
from agents.policies.training import trainers
from scenarios.cli.evaluate import _all, _offered
from scenarios.play import evaluation

FILES = ("best/weights.safetensors", "last/weights.safetensors", "last/config.json", "rounds.csv")
ENVS = "ALDigitsRidge-v0@initial_size=20,ALDigitsRidge-v0@initial_size=40@ridge_penalty=1"
SMALL = ("--set", "query_size=5", "budget=10", "candidates=60", "validation=100")
BASE = (
    "--steps",
    "72",
    "--episodes",
    "4",
    *(
        f"--option={each}"
        for each in ("rounds=2", "tuning_rounds=2", "batch=0.3", "group=4", "episodes=4", "epochs=2")
    ),
)


def train(out: Path, *more: str, envs: str = ENVS) -> tuple[int, str, str]:
    return run("train", "marginal_gain", "--env", envs, *BASE, "--out", str(out), *more, *SMALL)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "policy"
    code, text, err = train(out)
    assert code == 0, err
    assert f"{out}/best: round" in text
    assert err.count("round") == 6
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_a_training_keeps_the_best_and_the_last_policy(trained: Path) -> None:
    rows = [line.split(",") for line in (trained / "rounds.csv").read_text().splitlines()]
    assert len(rows) == 7
    scores = [float(row[rows[0].index("score")]) for row in rows[1:]]
    best, last = (json.loads((trained / name / "config.json").read_text()) for name in ("best", "last"))
    assert last["made"]["round"] == 6
    assert scores[best["made"]["round"] - 1] == max(scores)
    assert last["made"]["training"]["tasks"][1]["settings"]["ridge_penalty"] == 1
    assert list((trained / "tensorboard").glob("events*"))
    assert not list(trained.glob(".*"))


def test_a_finished_training_is_left_alone(trained: Path) -> None:
    before = content(trained)
    code, text, err = train(trained)
    assert (code, err) == (0, "")
    assert "best: round" in text
    assert content(trained) == before


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_stopped_it_goes_on_to_the_same_bytes(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    advance = MarginalGain.advance

    def stopping(self: MarginalGain, total: int) -> dict[str, float]:
        if self.round == stop:
            advance(self, total)  # a round that is lost
            raise KeyboardInterrupt
        return advance(self, total)

    with monkeypatch.context() as patch:
        patch.setattr(MarginalGain, "advance", stopping)
        assert train(tmp_path / "policy")[0] == 130
    assert (tmp_path / "policy" / "last").is_dir()
    assert train(tmp_path / "policy")[0] == 0
    assert content(tmp_path / "policy") == content(trained)


def test_another_training_is_refused_by_name(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(trained, out)
    before = content(out)
    code, _, err = train(out, "--seed", "4")
    assert code == 2
    assert "choose another folder with --out" in err
    assert "seed" in err
    state = out / "state.pt"
    state.write_bytes(state.read_bytes()[:-100])
    assert "state.pt cannot be read; delete its folder to train anew" in train(out)[2]
    (out / "meta.json").write_text("{}")
    assert "meta.json cannot be read" in train(out)[2]
    assert content(out) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("train", "margin", "--env", ENVS, "--steps", "5"),
            "no agent 'margin' that can be trained; choose one of dqn_strategy, imitate_best, marginal_gain, peek_pg, ",
        ),
        (("train", "marginal_gain", "--env", ENVS, "--steps", "5", "--option", "depth=3"), "'depth'"),
        (("train", "marginal_gain", "--env", ENVS, "--steps", "5", "--option", "rounds=0"), "rounds=0"),
        (("train", "marginal_gain", "--env", ENVS, "--steps", "5", "--option", "tuning=1"), "at most 0.99"),
        (
            ("train", "marginal_gain", "--env", "ALDigitsLogistic-v0@validation=99", "--steps", "5"),
            "give an environment with a ridge head",
        ),
        (("train", "ppo_topk", "--env", ENVS, "--steps", "5", "--option", "depth=3"), "'depth'"),
        (
            ("train", "ppo_topk", "--env", ENVS, "--steps", "5", "--option", "width=a"),
            "whole number of at least 1",
        ),
        (("train", "ppo_topk", "--env", "ALDigits-v0", "--steps", "5"), "has no validation split"),
        (("train", "marginal_gain", "--env", "ALDigits-v0", "--steps", "5"), "has no validation split"),
        (("train", "marginal_gain", "--env", "ALDigitRidge-v0", "--steps", "5"), "ALDigitsRidge-v0"),
        (("train", "marginal_gain", "--env", ",", "--steps", "5"), "names no environment"),
        (("evaluate", "nobody", "--env", "ALDigitsRidge-v0"), "nobody"),
        (("evaluate", "margin", "--env", "ALDigits-v0", "--beside", "uherding"), "uherding needs embedding"),
        (("evaluate", "random", "--env", "ALMix-v0", "--episodes", "2"), "no test set"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in error(*arguments)
    assert not (tmp_path / "runs").exists()


STRATEGY = (
    *("ppo_strategy", "--env", "ALDigitsRidge-v0", "--steps", "24", "--episodes", "2", "--json"),
    *(f"--option={each}" for each in ("episodes=4", "updates=3", "batch_size=4", "n_epochs=1")),
    *("--option", "strategies=random,margin"),
)


def test_a_policy_of_stable_baselines_is_trained_goes_on_and_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Sb3Trainer.advance

    def stopping(self: Sb3Trainer, total: int) -> dict[str, float]:
        if self.round == 1:
            raise KeyboardInterrupt
        return advance(self, total)

    out = tmp_path / "policy"
    steps = tuple("48" if each == "24" else each for each in STRATEGY)
    code, text, err = run("train", *steps, "--out", str(tmp_path / "whole"), *SMALL)
    assert code == 0, err
    assert "return" in err
    rows = json.loads(text)
    assert [row["steps"] for row in rows] == [24, 48]
    assert rows[0]["share/random"] + rows[0]["share/margin"] == pytest.approx(1.0)
    with monkeypatch.context() as patch:
        patch.setattr(Sb3Trainer, "advance", stopping)
        assert run("train", *steps, "--out", str(out), *SMALL)[0] == 130
    assert run("train", *steps, "--out", str(out), *SMALL)[0] == 0
    assert content(out) == content(tmp_path / "whole")
    assert (
        json.loads((out / "last" / "config.json").read_text())["made"]["training"]["agent"] == "ppo_strategy"
    )
    arguments = ("--env", "ALDigitsRidge-v0", "--episodes", "2", "--beside", "random", "--json", *SMALL)
    code, text, err = run("evaluate", str(out), *arguments)
    assert code == 0, err
    assert len(json.loads(text)["agents"]) == 2


def test_the_help_lists_what_can_be_trained() -> None:
    code, text, _ = run("train", "--help")
    assert code == 0
    for name, kind in trainers().items():
        assert re.search(rf"^ +{name} +in {kind.unit}; source: {kind.source[:20]}", text, re.M)


@pytest.mark.parametrize("env", ["ALDigitsRidge-v0", "ALDigitsLogistic-v0"])
def test_agents_are_evaluated_side_by_side(trained: Path, env: str, tmp_path: Path) -> None:
    arguments = ("--env", env, "--episodes", "2", "--beside", "random", "--json", *SMALL)
    arguments = (*arguments, "--out", str(tmp_path))
    code, text, err = run("evaluate", str(trained), *arguments)
    assert code == 0, err
    found: dict[str, Any] = json.loads(text)
    assert [row["agent"] for row in found["agents"]] == [f"policy={trained / 'best'}", "random"]
    first = found["agents"][0]
    assert first["difference"] is None
    for row in found["agents"][1:]:
        assert row["difference"] == pytest.approx(first["area"] - row["area"])
        assert row["interval"][0] < row["difference"] < row["interval"][1]
    assert run("evaluate", str(trained), *arguments)[1] == text


def test_another_recipe_of_the_same_id_is_played_one_by_one(tmp_path: Path) -> None:
    arguments = (
        "--out",
        str(tmp_path),
        "--env",
        "ALDigitsRidge-v0",
        "--episodes",
        "2",
        "--beside",
        "random:pool=all",
        "--json",
        *SMALL,
    )
    code, text, err = run("evaluate", "random", *arguments, "recipe=logistic")
    assert code == 0, err
    first, same = json.loads(text)["agents"]
    assert first["difference"] is None
    assert (same["difference"], same["interval"]) == (0.0, [0.0, 0.0])


def test_episodes_that_were_played_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("evaluate", "margin", "--env", "ALDigitsRidge-v0", "--beside", "random", "--json", *SMALL)
    command = (*command, "--out", str(tmp_path))
    few = run(*command, "--episodes", "2")[1]
    whole = run(*command, "--episodes", "4", "--out", str(tmp_path / "anew"))[1]
    played: list[int] = []
    at_once = evaluation._at_once

    def counted(agent: str, name: str, settings: Mapping[str, Any], seeds: Sequence[int]) -> np.ndarray:
        played.extend(seeds)
        return at_once(agent, name, settings, seeds)

    monkeypatch.setattr(evaluation, "_at_once", counted)
    assert run(*command, "--episodes", "2")[1] == few
    assert not played
    assert run(*command, "--episodes", "4")[1] == whole
    assert played == [20_002, 20_003] * 2  # those of margin and of random that were missing
    assert run(*command, "--episodes", "2", "validation=200")[1] != few  # another environment
    kept = next(tmp_path.glob("margin-*.json"))
    kept.write_text(kept.read_text()[:-20])
    assert str(kept) in error(*command, "--episodes", "2")


def test_budgets_that_a_pool_is_too_small_for_are_left_out(tmp_path: Path) -> None:
    command = ("evaluate", "margin", "--env", "ALDigitsRidge-v0", "--beside", "random,entropy", "--budgets")
    code, text, err = run(*command, "--episodes", "2", "--json", "--out", str(tmp_path))
    assert code == 0, err
    assert "1000+10x100 is left out" in err
    first, random, entropy, hindsight = json.loads(text)["agents"]
    assert list(first["budgets"]) == ["20+10x10", "50+10x20", "64+10x32", "200+10x50", "500+10x50"]
    for title, part in hindsight["budgets"].items():
        assert part["area"] == max(row["budgets"][title]["area"] for row in (random, entropy))
    for row in (random, entropy, hindsight):
        parts = row["budgets"].values()
        assert row["difference"] == pytest.approx(np.mean([part["difference"] for part in parts]))
        assert row["difference"] == pytest.approx(first["area"] - row["area"])


def test_all_are_the_strategies_that_can_be_played_there() -> None:
    ridge, logistic = (_all(_offered(f"ALDigits{kind}-v0", {})) for kind in ("Ridge", "Logistic"))
    assert {"learned", "margin", "uherding:pool=candidates"} <= set(ridge)
    assert "ll4al:pool=candidates" not in ridge  # no training with its module
    assert set(ridge) <= set(logistic)
