"""Kills real runs at random moments and tells whether every one of them ends with the bytes of a whole one.

    python tests/kills.py [--kills N] [--seed S]

The N kills are shared among regimes with networks, averages and members of their own, an agent that trains networks,
and one that learns from rewards. A kill strikes a fresh run of Digits at a random moment of its length; that run then
goes on to its end. On a system with ``fork``; 200 kills take about a quarter of an hour of one core. It is no part of
the test run, which kills fakes at every write; its slow part kills a few of these.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent / "support")]

import gymnasium as gym  # noqa: E402  (the tree's packages lie on the path only now)
import torch  # noqa: E402  (see above)
from killing import child, killed  # noqa: E402  (see above)

import agents  # noqa: E402  (see above)
from scenarios.plan.arm import Arm  # noqa: E402  (see above)
from scenarios.play.run_folder import Run  # noqa: E402  (see above)

SMALL: dict[str, Any] = {
    "width": 4,
    "epochs": 2,
    "start": "warm",
    "initial_size": 40,
    "query_size": 20,
    "budget": 100,
    "threads": 1,
}
BANDIT = f"{ROOT / 'tests' / 'own' / 'learning.py'}:Bandit"
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "loss module": ("ll4al", {"joint": "loss_prediction"}),
    "critic": ("waal", {"joint": "wasserstein", "joint_length": "labeled"}),
    "average of weights": ("margin", {"joint": "mean_teacher", "joint_length": "labeled"}),
    "ensemble": ("bald", {"ensemble": 3}),
    "networks of the agent's own": ("ta_vaal:epochs=1:width=0.0625", {"joint": "loss_ranking"}),
    "bandit": (BANDIT, {"validation": 200}),
    "bandit over strategies": ("albl", {}),
}
REPEATED = ("curve.csv", "queries.npz", "classes.csv")


def run_of(case: str, out: Path) -> Run:
    """Returns a run of one case in a folder of its own."""
    agent, settings = CASES[case]
    return Run(Arm("killed", "ALDigits-v0", agent, {**SMALL, **settings}).resolved(), 0, out)


def content(run: Run) -> list[bytes]:
    """Returns what must repeat bit for bit."""
    return [(run.folder.path / name).read_bytes() for name in REPEATED]


def kill(run: Run, whole: list[bytes], moment: float) -> tuple[bool, int]:
    """Kills a run after so many seconds, plays it to its end, and counts the bytes that differ.

    Returns:
        Whether it was still running then, and how many bytes of ``REPEATED`` differ from those of the whole run.
    """
    pid = child(run)
    time.sleep(moment)
    os.kill(pid, signal.SIGKILL)
    struck = killed(pid)
    assert not killed(child(run))
    differing = 0
    for ours, theirs in zip(content(run), whole, strict=True):
        differing += sum(one != other for one, other in zip(ours, theirs, strict=False))
        differing += abs(len(ours) - len(theirs))
    shutil.rmtree(run.out)
    return struck, differing


def main() -> int:
    """Kills, prints a line for every case, and returns how many bytes differed in all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    randomly = random.Random(given.seed)
    torch.set_num_threads(1)
    gym.make("ALDigits-v0")  # loads the data once, not in every child
    agents.make("vaal")
    total = 0
    with tempfile.TemporaryDirectory() as place:
        for at, case in enumerate(CASES):
            share = given.kills // len(CASES) + (at < given.kills % len(CASES))
            run = run_of(case, Path(place) / "whole" / str(at))
            started = time.perf_counter()
            assert not killed(child(run))
            length = time.perf_counter() - started
            whole, kills, differing = content(run), 0, 0
            while kills < share:
                trial = replace(run, out=Path(place) / "trial")
                struck, bytes_of_it = kill(trial, whole, randomly.uniform(0, length))
                kills, differing = kills + struck, differing + bytes_of_it
            total += differing
            print(
                f"{case}: {kills} kills of a run of {length:.1f} s, {differing} differing bytes", flush=True
            )
    return total


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
