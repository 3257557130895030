"""Labels that were not bought reach nothing: no query, no weight, no observation, whatever agent and regime.

``test_regimes`` tries agents in regimes; here are compositions, and the proof that a leak would be noticed.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from episodes import QUICK, assert_no_leak

import alenv


@pytest.mark.parametrize("spelling", ["coreset+margin", "badge+entropy:factor=3"])
def test_no_composition_sees_a_label_that_was_not_bought(spelling: str) -> None:
    assert_no_leak(spelling, QUICK)


def test_a_leak_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An objective that trains on the labels of unqueried images, as a published code base does."""
    from alenv.learners.objectives import Objective

    def leaking(self: Any, step: Any) -> torch.Tensor:
        truth = leaking.oracle._true  # type: ignore[attr-defined]  # gym.Env lacks it
        return step.losses.mean() * float(1 + truth.sum() % 7)

    made = alenv.ActiveLearningEnv.__init__

    def remembering(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        leaking.oracle = self._oracle  # type: ignore[attr-defined]  # gym.Env lacks it

    monkeypatch.setattr(alenv.ActiveLearningEnv, "__init__", remembering)
    monkeypatch.setattr(Objective, "loss", leaking)
    with pytest.raises(AssertionError):
        assert_no_leak("margin", QUICK)
