"""What a model of Stable-Baselines3 was trained in: the wrapper, and whether anything else changed what it saw."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium import wrappers
from gymnasium.envs.registration import EnvSpec, WrapperSpec
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv, VectorWrapper
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecMonitor,
    VecNormalize,
    VecVideoRecorder,
)

from agents.policies.candidates import ScoreCandidates, TopOfCandidates
from agents.policies.choosing import ChooseStrategy
from agents.policies.mixing import MixScores
from agents.policies.picking import PickOneByOne
from agents.policies.wrapping import PolicyEnv
from alenv.errors import UnknownName

WRAPPERS: dict[str, type[PolicyEnv]] = {
    wrapper.__name__: wrapper
    for wrapper in (ChooseStrategy, MixScores, PickOneByOne, ScoreCandidates, TopOfCandidates)
}
# They change neither what a policy sees nor what its action does; rewards are of no use to one that only acts.
HARMLESS = (
    Monitor,
    wrappers.Autoreset,
    wrappers.ClipReward,
    wrappers.HumanRendering,
    wrappers.NormalizeReward,
    wrappers.OrderEnforcing,
    wrappers.PassiveEnvChecker,
    wrappers.RecordEpisodeStatistics,
    wrappers.RecordVideo,
    wrappers.RenderCollection,
    wrappers.TimeLimit,
    wrappers.TransformReward,
    wrappers.vector.RecordEpisodeStatistics,
)
HARMLESS_TO_VECTORS = (VecCheckNan, VecMonitor, VecVideoRecorder)


class TrainedIn(NamedTuple):
    """The environment that a model was trained in.

    Attributes:
        wrapper: A key of ``WRAPPERS``.
        arguments: Those of the wrapper, as JSON values.
    """

    wrapper: str
    arguments: dict[str, Any]


def training_of(model: BaseAlgorithm) -> TrainedIn:
    """Returns what a model was trained in, as far as an agent that plays its policy has to repeat it.

    Raises:
        UnknownName: It has no environment, or one that is not, or not only, wrapped for policies; the wrapper that
            an agent cannot repeat is named.
    """
    env = model.get_env()
    if env is None:
        raise UnknownName(
            "The model has no environment, which says what its policy sees; load it with env=, the environment it "
            "was trained in."
        )
    while isinstance(env, VecEnvWrapper):
        _check_vector_wrapper(env)
        env = env.venv
    layers = [layer for layer in _layers(env) if layer.entry_point not in _places(HARMLESS)]
    ours = _places(WRAPPERS.values())
    for layer in layers:
        if layer.entry_point not in ours:
            raise UnknownName(
                f"The policy was trained behind {layer.name}, which an agent cannot repeat; train without it."
            )
    if len(layers) != 1:
        there = " in ".join(layer.name for layer in layers) or "no wrapper for policies"
        raise UnknownName(
            f"The model was trained on an environment with {there}; wrap it in one of ChooseStrategy, "
            f"{', '.join(name for name in WRAPPERS if name != 'ChooseStrategy')}."
        )
    return TrainedIn(layers[0].name, dict(layers[0].kwargs or {}))


def _check_vector_wrapper(env: VecEnvWrapper) -> None:
    if isinstance(env, VecNormalize):
        if env.norm_obs:
            raise UnknownName(
                "VecNormalize changed the observations; train with VecNormalize(norm_obs=False)."
            )
    elif type(env) not in HARMLESS_TO_VECTORS:
        raise UnknownName(
            f"The policy was trained behind {type(env).__name__}, which an agent cannot repeat; train without it."
        )


def _layers(env: VecEnv) -> list[WrapperSpec]:
    """Returns the wrappers of the first environment, the innermost first."""
    if isinstance(env, DummyVecEnv):
        return _wrappers_around(env.envs[0])
    vector = getattr(env, "env", None)
    if isinstance(vector, VectorEnv):  # of Gymnasium, made into one of Stable-Baselines3
        return _layers_of_vector(vector)
    return _told(env.get_attr("spec", 0)[0])  # the environments are in other processes


def _layers_of_vector(env: VectorEnv[Any, Any, Any]) -> list[WrapperSpec]:
    outside: list[WrapperSpec] = []
    while isinstance(env, VectorWrapper):
        outside.insert(0, _described(env, getattr(type(env), "single", None)))
        env = env.env
    if isinstance(env, SyncVectorEnv):
        return [*_wrappers_around(env.envs[0]), *outside]
    if isinstance(env, AsyncVectorEnv):
        return [*_told(env.get_attr("spec")[0]), *outside]
    return outside


def _told(spec: EnvSpec | None) -> list[WrapperSpec]:
    """Returns the wrappers that a specification names.

    Raises:
        UnknownName: There is none, for an environment that ``gym.make`` did not make.
    """
    if spec is None:
        raise UnknownName(
            "What the policy sees cannot be told from its environments; make them with gym.make, or train in a "
            "DummyVecEnv."
        )
    return list(spec.additional_wrappers)


def _wrappers_around(env: gym.Env[Any, Any]) -> list[WrapperSpec]:
    found: list[WrapperSpec] = []
    while isinstance(env, gym.Wrapper):
        found.insert(0, _described(env))
        env = env.env
    return found


def _described(wrapper: Any, kind: type | None = None) -> WrapperSpec:
    """Describes a wrapper, as one of another ``kind`` where it does the same for many episodes."""
    kind = kind or type(wrapper)
    arguments = {k: v for k, v in getattr(wrapper, "_saved_kwargs", {}).items() if k != "env"}
    return WrapperSpec(kind.__name__, _place(kind), arguments)


def _place(kind: type) -> str:
    return f"{kind.__module__}:{kind.__name__}"


def _places(kinds: Any) -> set[str]:
    return {_place(kind) for kind in kinds}
