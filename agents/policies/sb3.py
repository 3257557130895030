"""Gymnasium's vector environments as those of Stable-Baselines3."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from alenv.errors import UnknownName


class VectorEnvForSB3(VecEnv):
    """A vector environment of Gymnasium, wrapped or not, for Stable-Baselines3.

    Its episodes start anew in the step that ends them, as Stable-Baselines3 wants it: by ``"SameStep"``, or else by a
    reset of those that have ended. Infos are a dict per episode; at an episode's end ``terminal_observation`` is its
    last observation, and ``episode`` holds return, length and seconds as ``Monitor`` writes them.

    Attributes:
        env: The vector environment.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        """Wraps ``env``.

        Raises:
            UnknownName: It is no vector environment of Gymnasium.
        """
        if not isinstance(env, VectorEnv):
            raise UnknownName(
                f"{env} was given to as_sb3; give what gym.make_vec makes, and single environments to make_vec_env."
            )
        self.env = env
        self._actions: Any = None
        self._returns, self._lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, dtype=np.int64)
        self._start = time.monotonic()
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> VecEnvObs:
        """Starts all episodes, with the seeds of ``seed`` and the options of ``set_options``; returns (E, ...)."""
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        given = next((options for options in self._options if options), None)
        observed, info = self.env.reset(seed=seeds, options=given)  # type: ignore[arg-type]  # Gymnasium takes lists
        self.reset_infos = self._each(info)
        self._reset_seeds()
        self._reset_options()
        self._returns[:], self._lengths[:] = 0, 0
        return observed  # type: ignore[no-any-return]  # its type is the environment's

    def step_async(self, actions: NDArray[Any]) -> None:
        """Takes the actions (E, ...) of the next ``step_wait``."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Returns observations, rewards float32 (E,), ends bool (E,), and E infos."""
        observed, rewards, terminated, truncated, info = self.env.step(self._actions)
        done = np.logical_or(terminated, truncated)
        infos, final = self._each(info), self._each(info.pop("final_info", {}))
        self._returns += rewards
        self._lengths += 1
        last = info.get("final_obs")
        if done.any() and last is None:
            last, (observed, started) = observed, self.env.reset(options={"reset_mask": done.copy()})
            begun = self._each(started)
        else:
            begun, infos = infos, [one or other for one, other in zip(final, infos, strict=True)]
        for i in np.flatnonzero(done).tolist():
            self.reset_infos[i] = begun[i]
            infos[i] = {**infos[i], "terminal_observation": _one_of(last, i), "episode": self._statistics(i)}
        for i, each in enumerate(infos):
            each["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
        return observed, rewards.astype(np.float32), done, infos

    def _statistics(self, index: int) -> dict[str, float]:
        found = {
            "r": round(float(self._returns[index]), 6),
            "l": int(self._lengths[index]),
            "t": round(time.monotonic() - self._start, 6),
        }
        self._returns[index], self._lengths[index] = 0, 0
        return found

    def _each(self, info: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns an info per episode of the batched one, of what it tells that episode."""
        found: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for name, values in info.items():
            told = info.get(f"_{name}")
            if told is None or name in ("final_obs", "final_info"):  # a mask, or what this class takes itself
                continue
            parts = self._each(values) if isinstance(values, dict) else values
            for i in np.flatnonzero(told):
                found[i][name] = parts[i]
        return found

    def close(self) -> None:
        """Closes the environments."""
        self.env.close()

    def get_images(self) -> list[Any]:
        """Returns a picture of each episode."""
        return list(self.env.render() or ())

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Returns an attribute of the vector environment, or of one that it wraps, once per episode.

        Raises:
            AttributeError: None of them has it.
        """
        return [getattr(self._holder(attr_name), attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets an attribute of the vector environment, which all episodes share."""
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Calls a method of the vector environment once, and returns what it gives for each episode."""
        method = getattr(self._holder(method_name), method_name)
        found = method(*method_args, **method_kwargs)
        if not isinstance(found, Iterable):
            return [found for _ in self._get_indices(indices)]
        each = list(found)
        return [each[i] for i in self._get_indices(indices)]

    def _holder(self, name: str) -> Any:
        env: Any = self.env
        while not hasattr(env, name):
            if env is self.env.unwrapped:
                raise AttributeError(f"{self.env} has no {name!r}")
            env = env.env
        return env

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Tells that the episodes are monitored, and not wrapped otherwise."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]


def as_sb3(env: VectorEnv[Any, Any, Any]) -> VectorEnvForSB3:
    """Returns a vector environment of Gymnasium as one of Stable-Baselines3; see ``VectorEnvForSB3``."""
    return VectorEnvForSB3(env)


def _one_of(observed: Any, index: int) -> Any:
    """Returns the observation of one episode."""
    if isinstance(observed, dict):
        return {name: values[index].copy() for name, values in observed.items()}
    return observed[index].copy()
