"""The real environment on digits with a ridge head, made to fail, die, dawdle or count at a chosen cycle.

Registered under ``fake_al:FakeAL-v0``; a step takes milliseconds.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import gymnasium as gym

from alenv import ActiveLearningEnv

SMALL = {
    "initial_size": 10,
    "query_size": 5,
    "budget": 20,
    "candidates": 50,
    "validation": 0,
    "reward": "accuracy",
}


class FakeAL(ActiveLearningEnv):
    """Digits with a ridge head, 10 labels + 4 x 5, rewarded by test accuracy.

    Args:
        fail_at: The cycle that raises an error instead of training.
        die_at: The cycle that kills the process.
        pause: Seconds that every cycle takes longer.
        counter: A file that gets a line for every first cycle that is trained.
        **settings: As of every environment.
    """

    def __init__(
        self, *, fail_at: int = -1, die_at: int = -1, pause: float = 0.0, counter: str = "", **settings: Any
    ) -> None:
        super().__init__("digits", "ridge", **{**SMALL, **settings})
        self._fail_at, self._die_at, self._pause, self._counter = fail_at, die_at, pause, counter

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if not (options and "state" in options):
            self._begin(0)
            if self._counter:
                with open(self._counter, "a") as file:
                    file.write(f"{seed}\n")
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        self._begin(self.view.cycle + 1)
        return super().step(action)

    def _begin(self, cycle: int) -> None:
        time.sleep(self._pause)
        if cycle == self._fail_at:
            raise ZeroDivisionError("a bug in the fake")
        if cycle == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)


gym.register("FakeAL-v0", entry_point="fake_al:FakeAL")
