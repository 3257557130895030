"""What a run tells its agent, what it notices, and that what an agent has learned survives a kill."""

from __future__ import annotations

import shutil
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from command import run
from stable_baselines3 import PPO

import agents
from scenarios.plan.arm import Arm
from scenarios.plan.settling import settle
from scenarios.play import runner
from scenarios.play.events import Event
from scenarios.play.run_folder import Run

FILE = Path(__file__).parents[1] / "own" / "learning.py"
SMALL = {"initial_size": 10, "query_size": 5, "budget": 30, "validation": 200}


@pytest.fixture(autouse=True)
def _file(tmp_path: Path) -> None:
    shutil.copy(FILE, tmp_path)


def compared(agent: str, *settings: str) -> tuple[int, str]:
    base = ("compare", "ALDigitsRidge-v0", "--agents", agent, "--seeds", "1", "--out", "o")
    code, _, err = run(*base, "--set", "initial_size=10", "query_size=5", "budget=10", *settings)
    return code, err


def test_an_agent_is_told_no_test_accuracy() -> None:
    assert compared("learning.py:Spy", "validation=0", "reward=accuracy")[0] == 0
    for line in Path("told.txt").read_text().splitlines():
        reward, *names = line.split()
        assert reward == "None"  # it would be test accuracy
        assert names == ["class_counts", "cycle", "labeled_count", "query", "replaced"]
    Path("told.txt").unlink()
    shutil.rmtree("o")
    assert compared("learning.py:Spy", "validation=200")[0] == 0
    for line in Path("told.txt").read_text().splitlines():
        reward, *names = line.split()
        assert -1 <= float(reward) <= 1
        assert "validation_accuracy" in names
        assert "test_accuracy" not in names


def test_a_run_that_revealed_more_than_it_paid_for_fails() -> None:
    code, err = compared("learning.py:Thief")
    assert code == 1
    assert "revealed that were not paid for" in err.replace("\n", " ")
    assert "Traceback" not in err
    code, err = compared("learning.py:Thief")  # and it does not become a result by being tried again
    assert code == 1


def policy(path: Path) -> str:
    """Saves an untrained policy over a bandit and another agent."""
    env = agents.ChooseStrategy(
        gym.make("ALDigitsRidge-v0", observe="progress"), [f"{FILE}:Bandit", "margin"]
    )
    return f"policy={agents.save_policy(PPO('MlpPolicy', env, n_steps=4, batch_size=4, seed=1), path)}"


def played(arm: Arm, out: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int | None = None) -> Run:
    """Plays a run, stopped by an error after some cycles where asked."""
    playing = Run(arm, 0, out, 1)
    step, left = runner.Playthrough.step, [stop_after]

    def stopping(self: runner.Playthrough) -> None:
        if left[0] is not None:
            if left[0] == 0:
                raise ZeroDivisionError("stopped")
            left[0] -= 1
        step(self)

    events: list[Event] = []
    with monkeypatch.context() as patch:
        patch.setattr(runner.Playthrough, "step", stopping)
        runner.execute(playing, events.append)
    assert events[-1].kind == ("finished" if stop_after is None else "failed"), events[-1]
    return playing


@pytest.mark.parametrize("spelling", ["Bandit", "Bandit+margin", "margin+Bandit", "policy"])
def test_what_an_agent_has_learned_survives_a_kill(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = f"{FILE}:Bandit"
    agent = policy(tmp_path / "policy") if spelling == "policy" else spelling.replace("Bandit", own)
    (arm,) = settle([Arm("x", "ALDigitsRidge-v0", agent, SMALL)])
    whole = played(arm, tmp_path / "whole", monkeypatch)
    for cycles in (1, 4):
        out = tmp_path / f"stopped{cycles}"
        stopped = played(arm, out, monkeypatch, stop_after=cycles)
        played(arm, out, monkeypatch)
        for name in ("curve.csv", "queries.npz"):
            assert (stopped.folder.path / name).read_bytes() == (whole.folder.path / name).read_bytes()


def test_a_bandit_that_forgets_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its state it would choose otherwise, or the test above could not fail."""
    (arm,) = settle([Arm("x", "ALDigitsRidge-v0", f"{FILE}:Bandit", SMALL)])
    whole = played(arm, tmp_path / "whole", monkeypatch)
    stopped = played(arm, tmp_path / "stopped", monkeypatch, stop_after=1)
    monkeypatch.setattr(type(agents.make(f"{FILE}:Bandit")), "set_state", lambda *_: None)
    played(arm, tmp_path / "stopped", monkeypatch)
    queries = [np.load(each.folder.path / "queries.npz")["queries"] for each in (whole, stopped)]
    assert not np.array_equal(*queries)


def test_choosing_among_agents_keeps_what_they_learned() -> None:
    def made() -> agents.ChooseStrategy:
        env = gym.make("ALDigitsRidge-v0", observe="progress", **SMALL)
        return agents.ChooseStrategy(env, [f"{FILE}:Bandit", "random"])

    whole, stopped, resumed = made(), made(), made()
    queries = []
    whole.reset(seed=0)
    for choice in (0, 0, 1, 0, 0):
        queries.append(whole.step(choice)[4]["query"].tolist())
    stopped.reset(seed=0)
    for choice in (0, 0, 1):
        stopped.step(choice)
    observation, _ = resumed.reset(options={"state": stopped.get_state()})
    assert resumed.observation_space.contains(observation)
    assert [resumed.step(0)[4]["query"].tolist() for _ in range(2)] == queries[3:]
