"""Policies trained by Stable-Baselines3, saved as data and loaded as agents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy, MultiInputActorCriticPolicy
from stable_baselines3.dqn import policies as dqn
from stable_baselines3.sac import policies as sac
from torch import Tensor, nn

from agents.policies import policy_folder
from agents.policies.acting import Brain, GaussianBrain, PickBrain, SetBrain, StockBrain, TopKBrain
from agents.policies.candidates import described_space
from agents.policies.choosing import Strategies
from agents.policies.picking import PICK_COLUMNS
from agents.policies.playing import (
    CandidateChooser,
    CandidatePicker,
    CandidateScorer,
    LearnedPolicy,
    ScoreMixer,
    StrategyChooser,
)
from agents.policies.set_network import SetNetwork
from agents.policies.set_policies import (
    SetExtractor,
    SetGaussianPolicy,
    SetPickPolicy,
    SetPolicy,
    SetTopKPolicy,
)
from agents.policies.trained import WRAPPERS, training_of
from agents.policies.wrapping import Choices
from agents.spelling import POLICY_CONFIG
from alenv import STATS_SIZE, Query, descriptors
from alenv.errors import AlenvError, CorruptRun, UnknownName, unknown


class _SetKind(NamedTuple):
    """A set policy, what plays it, and the wrapper that it is for."""

    policy: type[SetPolicy]
    brain: type[SetBrain]
    wrapper: str


FORMAT = 3  # since 3, weights are safetensors, and there are other wrappers than ChooseStrategy
ACTOR_CRITIC = {"MlpPolicy": ActorCriticPolicy, "MultiInputPolicy": MultiInputActorCriticPolicy}
STOCK: dict[str, dict[str, type[BasePolicy]]] = {
    "A2C": dict(ACTOR_CRITIC),
    "DQN": {"MlpPolicy": dqn.MlpPolicy, "MultiInputPolicy": dqn.MultiInputPolicy},
    "MaskablePPO": {},  # of sb3-contrib, with a set policy alone
    "PPO": dict(ACTOR_CRITIC),
    "SAC": {"MlpPolicy": sac.MlpPolicy, "MultiInputPolicy": sac.MultiInputPolicy},
}
SETS: dict[str, _SetKind] = {
    "SetGaussianPolicy": _SetKind(SetGaussianPolicy, GaussianBrain, "ScoreCandidates"),
    "SetPickPolicy": _SetKind(SetPickPolicy, PickBrain, "PickOneByOne"),
    "SetTopKPolicy": _SetKind(SetTopKPolicy, TopKBrain, "TopOfCandidates"),
}
AGENTS: dict[str, type[LearnedPolicy]] = {
    "ChooseStrategy": StrategyChooser,
    "MixScores": ScoreMixer,
    "PickOneByOne": CandidatePicker,
    "ScoreCandidates": CandidateScorer,
    "TopOfCandidates": CandidateChooser,
}
ON_STATS = ("ChooseStrategy", "MixScores")
ACTIVATIONS = ("ELU", "GELU", "Identity", "LeakyReLU", "ReLU", "SiLU", "Sigmoid", "Tanh")
KEPT_OPTIONS = ("activation_fn", "n_critics", "net_arch", "ortho_init", "share_features_extractor", "width")
# Of no use to a policy that only acts.
TRAINING_OPTIONS = ("log_std_init", "optimizer_class", "optimizer_kwargs", "use_sde")


class _Shape(NamedTuple):
    """What a policy is built for; None where it does not depend on it."""

    wrapper: str
    arguments: dict[str, Any]
    candidates: int | None
    query_size: int | None


def save_policy(model: BaseAlgorithm, path: str | Path, made: Mapping[str, Any] | None = None) -> Path:
    """Saves a trained model's policy as a folder that holds data only: ``config.json`` and safetensors.

    The folder appears complete or not at all, and an existing one is never overwritten.

    Args:
        model: PPO, A2C, DQN, SAC or MaskablePPO, trained on an environment in one of the wrappers for policies, with
            ``"MlpPolicy"``, ``"MultiInputPolicy"`` or one of the set policies; it has that environment still.
        path: The folder to make.
        made: How it was made, as JSON values, kept with it.

    Returns:
        The folder.

    Raises:
        RunConflict: The path exists.
        UnknownName: The algorithm, the policy or one of its options cannot be saved as data, or something between the
            policy and its wrapper changed what it saw; the message names it.
        StorageError: The folder cannot be written.
    """
    target = Path(path)
    policy_folder.write(target, {**_config(model), "made": dict(made or {})}, _weights(model))
    return target


def load_policy(path: str | Path, deterministic: bool = True) -> LearnedPolicy:
    """Loads what ``save_policy`` wrote, as an agent; nothing in the folder is executed.

    Args:
        path: The folder.
        deterministic: Take the preferred action; False draws one by its probability (not for DQN).

    Raises:
        CorruptRun: The folder holds no policy, or one that cannot be read.
        UnknownName: A strategy or score of the policy does not exist here, or DQN is to draw.
    """
    folder = Path(path)
    if not (folder / POLICY_CONFIG).is_file():
        raise CorruptRun(f"{folder} holds no saved policy; give a folder that save_policy wrote.")
    try:
        config = policy_folder.config_in(folder)
        _check(config, folder)
        shape = _Shape(*(config[name] for name in _Shape._fields))
        brain = _brain(config, shape, policy_folder.weights_in(folder))
        agent = AGENTS[shape.wrapper](
            brain, shape.arguments, deterministic, shape.candidates, shape.query_size
        )
    except AlenvError:
        raise
    except Exception as error:  # a damaged file fails in as many ways as it can be damaged
        raise CorruptRun(
            f"The policy in {folder} cannot be read ({type(error).__name__}); save it again."
        ) from error
    if not deterministic and isinstance(brain, StockBrain):
        brain.require_probabilities()
    return agent


def _config(model: BaseAlgorithm) -> dict[str, Any]:
    """Returns all that is needed to build the policy again, as JSON values."""
    algorithm = type(model).__name__
    if algorithm not in STOCK:
        raise unknown("algorithm whose policy can be saved", algorithm, STOCK)
    kinds = {**STOCK[algorithm], **{name: kind.policy for name, kind in SETS.items()}}
    policy = next((name for name, kind in kinds.items() if type(model.policy) is kind), None)
    policy = vars(type(model.policy)).get("saved_as", policy)
    if policy is None:
        raise UnknownName(
            f"A {type(model.policy).__name__} cannot be saved as data; train with one of {', '.join(kinds)}."
        )
    if model.use_sde:
        raise UnknownName("A policy with use_sde=True cannot be saved as data; train without it.")
    wrapper, arguments = training_of(model)
    bound = wrapper not in ON_STATS and policy not in SETS
    return {
        "format": FORMAT,
        "algorithm": algorithm,
        "policy": policy,
        "options": _plain({k: v for k, v in model.policy_kwargs.items() if k not in TRAINING_OPTIONS}),
        "wrapper": wrapper,
        "arguments": arguments,
        "candidates": _candidates(model) if bound else None,
        "query_size": _query_size(model) if bound else None,
        "stats_size": STATS_SIZE,
        "descriptors": descriptors.VERSION,
    }


def _candidates(model: BaseAlgorithm) -> int:
    assert isinstance(model.observation_space, spaces.Dict)
    shape = model.observation_space["candidates"].shape
    assert shape is not None
    return int(shape[0])


def _query_size(model: BaseAlgorithm) -> int | None:
    """Returns B where the policy's own layers depend on it."""
    space = model.action_space
    return len(space.nvec) if isinstance(space, spaces.MultiDiscrete) else None


def _weights(model: BaseAlgorithm) -> dict[str, Tensor]:
    """Returns the weights of a policy; of a set policy those that act."""
    if not isinstance(model.policy, SetPolicy):
        return model.policy.state_dict()
    assert isinstance(model.policy.mlp_extractor, SetExtractor)
    deviation = getattr(model.policy, "log_std", torch.zeros(1))
    return {**model.policy.mlp_extractor.network.state_dict(), "log_std": deviation}


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Returns policy options as JSON values."""
    plain = {}
    for name, value in options.items():
        if name not in KEPT_OPTIONS:
            raise UnknownName(
                f"policy_kwargs[{name!r}] cannot be saved as data; only {', '.join(KEPT_OPTIONS)} can."
            )
        if name == "activation_fn":
            if value.__name__ not in ACTIVATIONS or value is not getattr(nn, value.__name__):
                raise unknown("activation that can be saved", value.__name__, ACTIVATIONS)
            plain[name] = value.__name__
        else:
            plain[name] = value
    return plain


def _check(config: dict[str, Any], folder: Path) -> None:
    """Refuses a config of another format, or one that rests on other numbers than those of here."""
    if config["format"] != FORMAT:
        raise CorruptRun(
            f"{folder} is of format {config['format']!r}, which is not read here; save the policy again."
        )
    wrapper, policy, stock = config["wrapper"], config["policy"], STOCK.get(config["algorithm"], {})
    known = SETS[policy].wrapper == wrapper if policy in SETS else wrapper in WRAPPERS and policy in stock
    if not known:
        raise CorruptRun(
            f"A {policy!r} of {config['algorithm']!r} on {wrapper!r} is unknown here; save the policy again."
        )
    if wrapper in ON_STATS and config["stats_size"] != STATS_SIZE:
        raise CorruptRun(
            f"The policy reads {config['stats_size']} numbers, stats has {STATS_SIZE}; train it again."
        )
    if wrapper != "ChooseStrategy" and config["descriptors"] != descriptors.VERSION:
        raise CorruptRun(
            f"The policy was trained on version {config['descriptors']} of the descriptors, and this is version "
            f"{descriptors.VERSION}; train it again."
        )


def _brain(config: dict[str, Any], shape: _Shape, weights: dict[str, Tensor]) -> Brain:
    """Builds the network of a config and gives it its weights."""
    options = {name: config["options"][name] for name in KEPT_OPTIONS if name in config["options"]}
    if "activation_fn" in options:
        if options["activation_fn"] not in ACTIVATIONS:
            raise unknown("activation", options["activation_fn"], ACTIVATIONS)
        options["activation_fn"] = getattr(nn, options["activation_fn"])
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn from the global stream
        if config["policy"] in SETS:
            extra = len(PICK_COLUMNS) if shape.wrapper == "PickOneByOne" else 0
            width = {"width": options["width"]} if "width" in options else {}
            network = SetNetwork(len(descriptors.NAMES) + extra, len(descriptors.CONTEXT), **width)
            deviation = weights.pop("log_std")
            network.load_state_dict(weights)
            return SETS[config["policy"]].brain(network.eval(), deviation)
        kind: Any = STOCK[config["algorithm"]][config["policy"]]
        policy: BasePolicy = kind(_observations(shape), _actions(shape), lambda _: 0.0, **options)
    policy.load_state_dict(weights)
    policy.set_training_mode(False)
    return StockBrain(policy, config["algorithm"])


def _observations(shape: _Shape) -> spaces.Space[Any]:
    if shape.wrapper in ON_STATS:
        return spaces.Box(-1, 1, (STATS_SIZE,), np.float32)
    assert shape.candidates is not None
    return described_space(shape.candidates, len(PICK_COLUMNS) if shape.wrapper == "PickOneByOne" else 0)


def _actions(shape: _Shape) -> spaces.Space[Any]:
    if shape.wrapper == "ChooseStrategy":
        return Strategies(shape.arguments["strategies"])
    if shape.wrapper == "MixScores":
        return spaces.Box(-1, 1, (len(shape.arguments["scores"]),), np.float32)
    assert shape.candidates is not None
    if shape.wrapper == "ScoreCandidates":
        return spaces.Box(-1, 1, (shape.candidates,), np.float32)
    if shape.wrapper == "PickOneByOne":
        return Choices(shape.candidates)
    assert shape.query_size is not None
    return Query(shape.candidates, shape.query_size)
