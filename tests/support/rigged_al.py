"""The real environment on digits with a ridge head, whose reward says openly which candidates are good.

Registered under ``rigged_al:RiggedAL-v0``. The best action of every step is known, so that a trainer which learns
anything at all finds it.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from alenv import ActiveLearningEnv, RidgeVectorEnv, descriptors

SMALL = {
    "initial_size": 20,
    "query_size": 3,
    "budget": 12,
    "candidates": 12,
    "observe": "progress",
    "test": False,
}


class RiggedAL(ActiveLearningEnv):
    """Digits with a ridge head, 20 labels + 4 x 3; a query earns the mean of one descriptor of its images.

    Args:
        descriptor: Which one; standardized within the candidates, so that a random query earns 0 on average.
        **settings: As of every environment.
    """

    def __init__(self, *, descriptor: str = "log_margin", **settings: Any) -> None:
        super().__init__("digits", "ridge", **{**SMALL, **settings})
        self._column = descriptors.NAMES.index(descriptor)

    def scores(self) -> np.ndarray:
        """Returns what each candidate earns, float32 (K,)."""
        return self.view.descriptors().candidates[:, self._column].numpy()

    def step(self, action: Any) -> Any:
        worth = dict(zip(self.view.candidates.tolist(), self.scores().tolist(), strict=True))
        observation, _, over, cut, info = super().step(action)
        earned = float(np.mean([worth.get(index, 0.0) for index in info["query"].tolist()]))
        return observation, earned, over, cut, info


class RiggedVectorAL(RidgeVectorEnv):
    """Many episodes of ``RiggedAL`` at once, which may be peeked at.

    Args:
        descriptor: As of ``RiggedAL``.
        **settings: As of every vector environment.
    """

    def __init__(self, *, descriptor: str = "log_margin", **settings: Any) -> None:
        super().__init__("digits", "ridge", **{**SMALL, **settings})
        self._column = descriptors.NAMES.index(descriptor)

    def scores(self) -> np.ndarray:
        """Returns what each candidate earns, float32 (E, K)."""
        return self.batch.descriptors().candidates[:, :, self._column].numpy()

    def peek(self, given: Any) -> np.ndarray:
        candidates, scores = self.batch.candidates, self.scores()
        chosen = (given[:, :, :, None] == candidates[:, None, None]).astype(float)  # (E, J, B, K)
        return (chosen @ scores[:, None, :, None])[..., 0].mean(2)

    def step(self, actions: Any) -> Any:
        earned = self.peek(np.asarray(actions)[:, None])[:, 0]
        observed, _, over, cut, info = super().step(actions)
        return observed, earned, over, cut, info


gym.register("RiggedAL-v0", entry_point="rigged_al:RiggedAL", vector_entry_point="rigged_al:RiggedVectorAL")
