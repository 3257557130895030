"""What lies inside the wrappers of ``gym.make``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import gymnasium as gym

if TYPE_CHECKING:
    from alenv import ActiveLearningEnv


def core(env: gym.Env[Any, Any]) -> ActiveLearningEnv:
    """Returns the active-learning environment itself, with its view, state and costs."""
    return cast("ActiveLearningEnv", env.unwrapped)
