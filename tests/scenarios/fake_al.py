"""An environment that looks like alenv's to the runner and costs nothing: accuracy grows with the labels.

Registered under ``fake_al:FakeAL-v0``; kwargs make it fail, die or dawdle at a chosen cycle.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from alenv.presets import Options

POOL = 200
NO_COSTS = {"train_seconds": 0.0, "inference_seconds": 0.0, "inferred_images": 0.0}


@dataclass(frozen=True)
class FakeRecipe:
    lr: float = 0.1
    head: str = "network"


@dataclass(frozen=True)
class FakeProtocol:
    initial_size: int = 10
    query_size: int = 5
    budget: int = 20
    validation: int = 0

    @property
    def cycles(self) -> int:
        return self.budget // self.query_size


class FakeView:
    def __init__(self, env: FakeAL) -> None:
        self._env = env

    @property
    def labeled(self) -> np.ndarray:
        return np.asarray(self._env.labeled, dtype=np.int64)

    @property
    def unlabeled(self) -> np.ndarray:
        return np.setdiff1d(np.arange(POOL), self.labeled)

    candidates = unlabeled
    num_classes = 10

    @property
    def cycle(self) -> int:
        return self._env.cycle

    @property
    def query_size(self) -> int:
        return self._env.protocol.query_size

    def logits(self, indices: Any = None) -> torch.Tensor:
        """Depends on the index and on what is labeled, as a trained classifier's would."""
        rows = torch.arange(POOL) if indices is None else torch.as_tensor(indices)
        return torch.sin(rows[:, None] * torch.arange(1, 11) + self._env.test_correct)

    def probabilities(self, indices: Any = None) -> torch.Tensor:
        return self.logits(indices).softmax(1)


class FakeAL(gym.Env[np.ndarray, np.ndarray]):
    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    view: FakeView | None = None
    offers = ()

    def __init__(
        self,
        *,
        observe: str,
        on_invalid: str,
        threads: int = 1,
        fail_at: int = -1,
        die_at: int = -1,
        pause: float = 0.0,
        counter: str = "",
        **fields: Any,
    ) -> None:
        assert (observe, on_invalid) == ("progress", "raise")
        self.recipe = FakeRecipe(**{k: fields.pop(k) for k in ("lr",) if k in fields})
        self.protocol = FakeProtocol(**fields)
        self.action_space = gym.spaces.MultiDiscrete([POOL] * self.protocol.query_size)
        self.options = Options(observe, candidates=50, on_invalid=on_invalid)
        self.runtime = SimpleNamespace(device="cpu", precision="fp32", threads=threads)
        self.dataset_checksum, self.dataset_source = "0" * 64, "made up"
        self.rows = np.arange(POOL)[::-1].copy()
        self.view = FakeView(self)
        self.test_size = 1000
        self.test_correct = 0
        self.costs: dict[str, float] = dict(NO_COSTS)
        self.labeled: list[int] = []
        self.cycle = 0
        self.seed = 0
        self._fail_at, self._die_at, self._pause, self._counter = fail_at, die_at, pause, counter

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.seed = int(seed or 0)
        if options and "state" in options:
            state = options["state"]
            self.cycle, self.labeled = state["cycle"], [int(i) for i in state["labeled"]]
            self.test_correct = state["test_correct"]
            self.costs = dict(NO_COSTS)
            return self._observation(), self._info(None)
        self.cycle = 0
        rng = np.random.default_rng(self.seed)
        self.labeled = [int(i) for i in rng.choice(POOL, self.protocol.initial_size, replace=False)]
        self._train()
        if self._counter:
            with open(self._counter, "a") as file:
                file.write(f"{self.seed}\n")
        return self._observation(), self._info(None)

    def step(self, action: np.ndarray) -> Any:
        self.labeled.extend(int(i) for i in action)
        self.cycle += 1
        self._train()
        done = self.cycle == self.protocol.cycles
        return self._observation(), self.test_correct / self.test_size, done, False, self._info(action)

    def get_state(self) -> dict[str, Any]:
        return {"cycle": self.cycle, "labeled": torch.tensor(self.labeled), "test_correct": self.test_correct}

    def _train(self) -> None:
        started = time.perf_counter()
        time.sleep(self._pause)
        if self.cycle == self._fail_at:
            raise ZeroDivisionError("a bug in the fake")
        if self.cycle == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        gain = sum((i * 7919) % 13 for i in self.labeled) % 50
        self.test_correct = min(1000, 300 + 10 * len(self.labeled) + gain)
        self.costs = {**NO_COSTS, "train_seconds": time.perf_counter() - started}

    def _observation(self) -> np.ndarray:
        return np.zeros(1, np.float32)

    def _info(self, query: np.ndarray | None) -> dict[str, Any]:
        info = {
            "cycle": self.cycle,
            "labeled_count": len(self.labeled),
            "test_accuracy": self.test_correct / self.test_size,
        }
        return info if query is None else {**info, "query": np.asarray(query)}


gym.register("FakeAL-v0", entry_point="fake_al:FakeAL")
