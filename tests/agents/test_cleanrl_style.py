"""The example of a PPO loop in one file runs on batched environments, and its probabilities are those of the draws."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "own" / "cleanrl_style.py"), run_name="script")
SMALL: dict[str, Any] = {
    **{"pool_size": 60, "initial_size": 6, "query_size": 3, "budget": 9, "candidates": 12, "validation": 50}
}


def test_it_trains(capsys: pytest.CaptureFixture[str]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        before = SCRIPT["Network"]().state_dict()
        network, returns = SCRIPT["train"](num_envs=3, updates=2, **SMALL)
    assert capsys.readouterr().out.count("return") == 2
    assert np.isfinite(returns).all()
    for name, value in network.state_dict().items():
        assert value.isfinite().all()
        assert not torch.equal(value, before[name])


def test_probabilities_are_those_of_ordered_draws() -> None:
    scores = torch.tensor([[1.0, 0.0, -1.0, 0.5]])
    pairs = torch.tensor(list(itertools.permutations(range(4), 2)))
    exact = SCRIPT["log_probability"](scores.expand(len(pairs), -1), pairs).exp()
    assert float(exact.sum()) == pytest.approx(1.0, abs=1e-5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = SCRIPT["drawn"](scores.expand(20_000, -1), 2)
    for pair, chance in zip(pairs, exact.tolist(), strict=True):
        assert float((found == pair).all(1).float().mean()) == pytest.approx(chance, abs=0.015)  # four errors
