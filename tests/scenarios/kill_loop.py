"""Plays a run of fakes again and again and kills it with SIGKILL, at every write and at random times.

Run as ``python kill_loop.py OUT``: a fresh process in which torch has one thread, so that it may fork.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_al  # noqa: F401  (registers the environment)
import gymnasium as gym
import torch
from killing import child, killed

from scenarios.plan.arm import Arm
from scenarios.play.run_folder import Run


def run_at(out: Path) -> Run:
    arm = Arm("random", "fake_al:FakeAL-v0", "random", {"budget": 10})
    return Run(arm, 0, out)


def die_at_write(count: int) -> None:
    """Kills this process in place of its ``count``-th flush, rename or removal."""
    calls = itertools.count(1)

    def dying(action: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return action(*args, **kwargs)

        return wrapped

    os.fsync = dying(os.fsync)
    Path.replace = dying(Path.replace)  # type: ignore[method-assign]  # on purpose
    Path.unlink = dying(Path.unlink)  # type: ignore[method-assign]  # on purpose


def main() -> None:
    out = Path(sys.argv[1])
    torch.set_num_threads(1)
    gym.make("fake_al:FakeAL-v0").reset(seed=0)  # loads data and embedding once, not in every child
    kills = 0
    for count in itertools.count(1):
        place = run_at(out / f"write{count}")
        if not killed(child(place, lambda count=count: die_at_write(count))):
            break
        kills += 1
        assert not killed(child(place, lambda: setattr(os, "fsync", lambda file: None)))
    randomly = random.Random(0)
    place = run_at(out / "random")
    for _ in range(40):
        pid = child(place)
        time.sleep(randomly.uniform(0.0, 0.06))
        os.kill(pid, signal.SIGKILL)
        if not killed(pid):
            break
        kills += 1
    assert not killed(child(place))
    print(kills)


if __name__ == "__main__":
    main()
