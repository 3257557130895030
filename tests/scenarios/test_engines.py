"""Engines: the same bytes wherever runs are played, GPUs shared out, a lost machine's run going on elsewhere."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from alenv.errors import AlenvError, UnknownName
from scenarios.plan.arm import Arm
from scenarios.play.engines import Engine, local
from scenarios.play.events import Event
from scenarios.play.run_folder import Run

ROOT = Path(__file__).parent.parent.parent
KEPT = ("curve.csv", "queries.npz")
# Slow enough to be killed in the middle.
LONG = {"epochs": 10, "initial_size": 40, "query_size": 10, "budget": 60}


def planned(out: Path, seeds: int, settings: dict[str, int]) -> list[Run]:
    return [Run(Arm("margin", "ALDigits-v0", "margin", settings), seed, out, 1) for seed in range(seeds)]


def kept(runs: list[Run]) -> list[bytes]:
    return [(run.folder.path / name).read_bytes() for run in runs for name in KEPT]


def test_an_engine_is_checked_before_anything_is_played() -> None:
    with pytest.raises(UnknownName, match="engine"):
        Engine("slurm")
    with pytest.raises(AlenvError, match=r"^--address 1\.2\.3\.4:5 was given.*add --engine ray"):
        Engine(address="1.2.3.4:5")


def test_gpus_are_shared_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    places = local._Places(["0", "3"], 2)
    taken = [places.take() for _ in range(4)]
    assert sorted(map(str, taken)) == ["0", "0", "3", "3"]
    assert taken[0] != taken[1]
    places.give_back("3")
    assert places.take() == "3"
    assert places.take() in ("0", "3")  # more jobs than places: shared all alike
    assert local._Places([], 2).take() is None
    monkeypatch.setenv(local.VISIBLE, "2,5")
    assert local.visible_gpus() == ["2", "5"]
    with local._environment(local.VISIBLE, "5"):
        assert os.environ[local.VISIBLE] == "5"
    assert os.environ[local.VISIBLE] == "2,5"
    monkeypatch.delenv(local.VISIBLE)
    with local._environment(local.VISIBLE, "5"):
        assert os.environ[local.VISIBLE] == "5"
    assert local.VISIBLE not in os.environ


def test_a_process_sees_the_gpu_that_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of two processes writes down what it sees; there need be no GPU for that."""
    code = (
        "import os, pathlib, agents\n\n\n"
        "class Look(agents.Strategy):\n"
        "    source = 'none'\n\n"
        "    def pick(self, view, indices, count, generator):\n"
        f"        seen = pathlib.Path({str(tmp_path)!r}) / ('gpu' + os.environ['CUDA_VISIBLE_DEVICES'])\n"
        "        seen.touch()\n"
        "        return indices[:count]\n"
    )
    (tmp_path / "look.py").write_text(code)
    monkeypatch.setenv(local.VISIBLE, "7,8")
    settings = {"initial_size": 10, "query_size": 5, "budget": 10, "device": "cpu"}
    arm = Arm("look", "ALDigitsRidge-v0", f"{tmp_path / 'look.py'}:Look", settings)
    events: list[Event] = []
    Engine(jobs=2).play([Run(arm, seed, tmp_path / "runs", 1) for seed in range(2)], events.append)
    assert [event.error for event in events if event.kind == "failed"] == []
    assert {path.name for path in tmp_path.glob("gpu*")} == {"gpu7", "gpu8"}


def test_a_missing_ray_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(AlenvError, match=r'pip install "alenv\[ray\]"'):
        Engine("ray").play([], lambda event: None)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of Ray and its packages
def test_a_cluster_leaves_the_same_bytes_though_one_of_two_machines_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="an extra: alenv[ray]")
    from ray.cluster_utils import Cluster  # an extra

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    here = planned(tmp_path / "here", 2, LONG)
    Engine().play(here, lambda event: None)
    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    lost = machines.add_node(num_cpus=1)
    machines.add_node(num_cpus=1)
    there = planned(tmp_path / "there", 2, LONG)
    events: list[Event] = []
    begun: list[float] = []

    def listen(event: Event) -> None:
        events.append(event)
        if event.kind == "cycle" and event.cycle >= 2 and not begun:  # in the middle
            begun.append(time.monotonic())
            machines.remove_node(lost, allow_graceful=False)

    try:
        Engine("ray", jobs=4, address=machines.address).play(there, listen)
    finally:
        ray.shutdown()
        machines.shutdown()
    assert begun
    assert [event.error for event in events if event.kind == "failed"] == []
    assert {event.run for event in events if event.kind == "finished"} == {run.name for run in there}
    assert kept(there) == kept(here)
    cycles = [event.cycle for event in events if event.kind == "cycle"]
    assert len(cycles) >= 2 * 7  # every cycle of both runs, and those around the loss again
