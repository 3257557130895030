"""The paper's experiments: every one is sound, and the default setting runs from end to end."""

from __future__ import annotations

import json
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
from command import run

import agents
from alenv import ENVIRONMENTS
from alenv.errors import UnknownName
from alenv.presets import resolve
from scenarios import build, catalog, names
from scenarios.catalog.full_data import IMAGES
from scenarios.cli import main
from scenarios.plan import registry

ROOT = Path(__file__).parent.parent.parent


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
    assert len({picture.name for picture in found.pictures}) == len(found.pictures)
    claimed = not found.claim.endswith("?")  # what nobody has claimed is a question
    assert claimed == bool(found.checks or found.published)


@pytest.mark.parametrize("name", names())
def test_no_two_arms_of_a_size_are_the_same(name: str) -> None:
    for grid in build(name).sizes.values():
        arms = [arm.resolved() for arm in grid.arms]
        made = []
        for arm in arms:
            dataset, recipe = ENVIRONMENTS[arm.env_id]
            settings = resolve(dataset, recipe, dict(arm.env_kwargs))
            # Publications that trained alike have a Random each.
            made.append((dataset, arm.env_kwargs.get("recipe", recipe), settings, arm.agent))
        assert not [one for at, one in enumerate(made) if one in made[:at]]


@pytest.mark.parametrize("name", names())
def test_every_size_is_small_enough_for_its_dataset(name: str) -> None:
    pools = {"digits": 1_297, **IMAGES}
    for grid in build(name).sizes.values():
        for arm in (arm.resolved() for arm in grid.arms):
            dataset, recipe = ENVIRONMENTS[arm.env_id]
            protocol = resolve(dataset, recipe, dict(arm.env_kwargs)).protocol
            # A pool with rare classes keeps fewer images; the environment itself says where they are too few.
            protocol.fitted(pools[dataset] - protocol.validation)


QUICK = ("full_data", "labeling_efficiency", "outliers")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names()]
)
def test_every_smoke_size_runs_from_end_to_end(name: str, tmp_path: Path) -> None:
    grid = build(name).grid("smoke")
    code, out, err = run("run", name, "--size", "smoke", "--threads", "1", "--out", str(tmp_path), "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["failed"] == {}
    shown = {arm["label"]: arm["seeds"] for picture in found["pictures"] for arm in picture["arms"]}
    assert shown == dict.fromkeys(grid.labels, grid.seeds)
    assert len(found["analyses"]) == len(build(name).analyses)
    for picture in found["pictures"]:
        assert Path(picture["file"]).stat().st_size > 0
    assert run("report", str(tmp_path))[0] == 0


def test_an_option_of_the_catalog_chooses_the_dataset() -> None:
    for name in names():
        if "dataset" not in registry.options(name):
            continue
        with pytest.raises(UnknownName, match="svnh"):
            build(name, dataset="svnh")
        plain = {arm.env_id for arm in build(name).grid("paper").arms}
        assert all("Cifar10" in env_id for env_id in plain)
    assert {arm.env_id for arm in build("warm_cold", dataset="svhn").grid("paper").arms} == {"ALSvhn-v0"}


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


def test_a_file_in_the_catalog_is_found_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from scenarios import build, register\n\n@register\ndef another():\n    return build('default_setting')\n"
    (tmp_path / "another_theme.py").write_text(code)
    monkeypatch.setattr(catalog, "__path__", [*catalog.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))
    assert "another" in names()
    assert build("another") == build("default_setting")
    monkeypatch.delitem(sys.modules, "scenarios.catalog.another_theme")


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
    for word in (
        "ll4al",
        "badge",
        "difference",
        "curve.png",
        "curve_loss_module.png",
        "curves.csv",
        "Claim: Every",
    ):
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
