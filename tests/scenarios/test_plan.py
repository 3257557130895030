"""Scenarios as data, and the paper's default setting from end to end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import agents
from alenv.errors import AlenvError, InvalidProtocol, UnknownName
from scenarios import Arm, Check, Grid, Picture, Scenario, against_one, build, names, product
from scenarios.cli import main
from scenarios.plan.settling import settle

ROOT = Path(__file__).parent.parent.parent


def test_product_crosses_agents_with_variants() -> None:
    arms = product("E-v0", ["a", "b@x=1"], {"k": 1}, {"": {}, " cold": {"start": "cold"}})
    assert [arm.label for arm in arms] == ["a", "b", "a cold", "b cold"]
    assert arms[3].env_kwargs == {"k": 1, "start": "cold"}


def test_an_arm_takes_the_settings_of_its_spelling() -> None:
    arm = Arm("x", "E-v0", "ll4al:pool=all@joint=loss_prediction", {"epochs": 3}).resolved()
    assert arm.agent == "ll4al:pool=all"
    assert arm.env_kwargs == {"epochs": 3, "joint": "loss_prediction"}
    assert arm.resolved() == arm


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> str:
    """A strategy that reads validation accuracy."""
    monkeypatch.setattr(type(agents.make("margin")), "needs_validation", True)
    return "margin"


def test_an_agent_that_reads_validation_accuracy_gives_every_arm_the_same_split(reader: str) -> None:
    def splits(*spelled: str) -> list[int | None]:
        arms = settle([Arm(agent, "ALDigits-v0", agent) for agent in spelled])
        return [arm.env_kwargs.get("validation") for arm in arms]

    assert splits("random", "entropy") == [None, None]
    assert splits("random", reader) == [129, 129]  # a tenth of 1,297
    assert splits("random", f"{reader}@validation=200") == [200, 200]
    assert splits("random@validation=200", reader, "entropy@validation=0") == [200, 200, 200]
    with pytest.raises(InvalidProtocol, match="validation=100 and 200"):
        splits("random@validation=100", f"{reader}@validation=200")
    ridge = settle([Arm(agent, "ALDigitsRidge-v0", agent) for agent in ("random", reader)])
    assert all("validation" not in arm.env_kwargs for arm in ridge)  # its own split of 200


def test_labels_are_unique() -> None:
    with pytest.raises(AlenvError, match="share a label"):
        Grid(product("E-v0", ["a", "a"]), 1, "")


@pytest.mark.parametrize("name", names())
def test_every_scenario_is_sound(name: str) -> None:
    found = build(name)
    assert set(found.sizes) == {"paper", "small", "smoke"}
    labels = {arm.label for arm in found.grid("paper").arms}
    for size in found.sizes:
        grid = found.grid(size)
        assert {arm.label for arm in grid.arms} == labels
        for arm in grid.arms:
            assert arm.env_id in gym.registry
            agents.make(arm.agent, **arm.agent_kwargs)
    assert found.pictures[0].name == "curve"
    assert found.checks


def scenario(*checks: Check, pictures: tuple[Picture, ...] = ()) -> Scenario:
    sizes = {
        "paper": Grid(
            product("ALDigits-v0", ["random", "margin"], {"initial_size": 40, "query_size": 20}), 3, ""
        ),
        "smoke": Grid(product("ALDigits-v0", ["random", "margin"], {"budget": 20}), 1, ""),
    }
    return Scenario("made_up", "A title", "A claim", "nowhere", sizes, pictures, checks)


def test_checks_are_compared_where_cycles_end() -> None:
    at = (None, "start", "end", 40, 60, 180)
    found = scenario(*(Check("margin", "random", 1, moment) for moment in at))
    assert [str(check) for check in found.checks][:2] == [
        "margin above random in the area under the curve",
        "margin above random at the start",
    ]
    assert str(Check("a", "b", 0, 1000)) == "a as good as b at 1,000 labels"


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (Check("margins", "random", 1), "did you mean 'margin'"),
        (Check("margin", "badge", 1), "no arm of size 'paper' 'badge'"),
        (Check("margin", "random", 2), "sign=2; use 1, 0 or -1"),
        (Check("margin", "random", 1, "ends"), "did you mean 'end'"),
        (Check("margin", "random", 1, 50), "at 50 labels, where no cycle of margin ends"),
        (Check("margin", "random", 1, 20), "where no cycle"),
        (Check("margin", "random", 1, 10_000), "where no cycle"),
    ],
)
def test_a_check_that_nothing_could_decide_is_refused(check: Check, said: str) -> None:
    with pytest.raises(AlenvError, match=said):
        scenario(check)


def test_a_picture_subtracts_what_it_shows() -> None:
    assert against_one(["random", "margin"], "random") == {"margin": "random"}
    with pytest.raises(UnknownName, match="no arm in picture 'curve' 'badge'"):
        Picture("curve", "", ("margin", "random"), {"margin": "badge"})
    with pytest.raises(UnknownName, match="no arm of size 'paper' 'badge'"):
        scenario(pictures=(Picture("curve", "", ("badge",)),))


def test_the_arms_of_the_default_setting_are_the_papers() -> None:
    paper = build("default_setting").grid("paper")
    joint = {arm.label: arm.env_kwargs.get("joint") for arm in paper.arms}
    assert [label for label, value in joint.items() if value is None] == [
        "random",
        "entropy",
        "coreset",
        "badge",
    ]
    assert {value for value in joint.values() if value} == {"loss_prediction"}
    assert {arm.env_id for arm in paper.arms} == {"ALCifar10-v0"}
    margin = build("default_setting", uncertainty="margin").grid("paper")
    assert [arm.label for arm in margin.arms][:2] == ["random", "margin"]


def test_unknown_names_and_sizes() -> None:
    with pytest.raises(UnknownName, match="did you mean 'default_setting'"):
        build("defaultsetting")
    with pytest.raises(UnknownName, match="did you mean 'smoke'"):
        build("default_setting").grid("smok")


def results(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for name in ("curve.csv", "queries.npz")
        for path in out.glob(f"*/{name}")
    }


def test_default_setting_smoke_killed_ends_with_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "default_setting", "--size", "smoke", "--seeds", "1"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--out", str(tmp_path / "whole")])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    for word in ("ll4al", "badge", "difference", "curve.png", "curve_loss_module.png", "curves.csv"):
        assert word in printed
    whole = results(tmp_path / "whole")
    assert len(whole) == 2 * 9
    first = set()
    for path in tmp_path.glob("whole/*/queries.npz"):
        with np.load(path) as queries:
            first.add(queries["initial"].tobytes())
    assert len(first) == 1  # all arms of a seed begin with the same images
    killed = tmp_path / "killed"
    randomly = random.Random(0)
    program = [sys.executable, "-c", "from scenarios.cli import main; main()", *command, "--out", str(killed)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for wanted in (1, 5, 11):
        process = subprocess.Popen(
            program, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while len(list(killed.glob("*/curve.csv"))) < (wanted + 1) // 2 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(randomly.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(
        [*program, "--jobs", "2"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert results(killed) == whole
