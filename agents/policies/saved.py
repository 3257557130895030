"""Policies trained by Stable-Baselines3, saved as data and loaded as agents."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn

from agents.base import Agent, Indices, Strategy
from agents.compose import made_inside, needs_of, restore, states_of
from agents.policies.choosing import Strategies
from agents.spelling import POLICY, POLICY_CONFIG
from alenv import STATS_SIZE
from alenv.errors import AlenvError, CorruptRun, RunConflict, StorageError, UnknownName, unknown
from alenv.files import publish_folder, write_bytes, write_text

if TYPE_CHECKING:
    from alenv import View

FORMAT = 2  # since 2, strategies choose from the candidates
WEIGHTS = "weights.pt"
POLICIES: dict[str, type[BasePolicy]] = {"A2C": ActorCriticPolicy, "DQN": DQNPolicy, "PPO": ActorCriticPolicy}
ACTIVATIONS = ("ELU", "GELU", "Identity", "LeakyReLU", "ReLU", "SiLU", "Sigmoid", "Tanh")
KEPT_OPTIONS = ("activation_fn", "net_arch", "ortho_init", "share_features_extractor")
TRAINING_OPTIONS = ("optimizer_class", "optimizer_kwargs")  # of no use to a policy that only acts


class LearnedPolicy(Agent):
    """Reads the state of learning and delegates each query to one of several agents.

    The one that made the query is told what it earned; all keep their states.

    Args:
        policy: Maps ``stats`` to a preference for each agent.
        strategies: How the agents are spelled, in the order of the policy's actions.
        deterministic: Take the preferred one; otherwise draw one by its probability.
    """

    name: ClassVar[str] = POLICY
    cost: ClassVar[str] = "one inference pass over the candidates, and that of the chosen strategy"
    source: ClassVar[str] = "trained with Stable-Baselines3 on ChooseStrategy"

    def __init__(self, policy: BasePolicy, strategies: tuple[str, ...], deterministic: bool = True) -> None:
        self._policy = policy
        self._agents = [made_inside(name) for name in strategies]
        self.needs = ("validation", *needs_of(self._agents))
        self._deterministic = deterministic
        self._chosen: Agent | None = None  # the one that made the latest query

    def reset(self, view: View, seed: int = 0) -> None:
        """Starts an episode for all agents."""
        super().reset(view, seed)
        self._chosen = None
        for each in self._agents:
            each.reset(view, seed)

    def act(self, observation: Any) -> Indices:
        """Chooses an agent from ``stats`` and returns its query; the observation itself is not used."""
        stream = self.stream()
        stats = np.asarray(self.view.observation("stats"), dtype=np.float32)
        if self._deterministic:
            choice = int(self._policy.predict(stats, deterministic=True)[0])
        else:
            choice = int(torch.multinomial(self._probabilities(stats), 1, generator=stream))
        agent = self._chosen = self._agents[choice]
        return agent.query(self.view, stream) if isinstance(agent, Strategy) else agent.act(observation)

    def update(self, reward: float | None, info: dict[str, Any]) -> None:
        """Tells the agent that made the query."""
        if self._chosen is not None:
            self._chosen.update(reward, info)

    def get_state(self) -> dict[str, Any]:
        """Returns the states of the agents inside."""
        return states_of(self._agents)

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""
        restore(self._agents, state)

    @torch.no_grad()
    def _probabilities(self, stats: NDArray[np.float32]) -> Tensor:
        assert isinstance(self._policy, ActorCriticPolicy)
        batch = torch.from_numpy(stats)[None]
        probabilities: Tensor = self._policy.get_distribution(batch).distribution.probs[0]  # type: ignore[union-attr]  # Discrete
        return probabilities


def save_policy(model: BaseAlgorithm, path: str | Path) -> Path:
    """Saves a trained model's policy as a folder that holds data only: ``config.json`` and the weights.

    The folder appears complete or not at all, and an existing one is never overwritten.

    Args:
        model: PPO, A2C or DQN with ``"MlpPolicy"``, trained on a ``ChooseStrategy`` environment.
        path: The folder to make.

    Returns:
        The folder.

    Raises:
        RunConflict: The path exists.
        UnknownName: The algorithm, the policy or one of its options cannot be saved as data.
        StorageError: The folder cannot be written.
    """
    target = Path(path)
    config = json.dumps(_config(model), indent=2) + "\n"
    if target.exists():
        raise RunConflict(f"{target} exists; choose another folder for the policy.")
    weights = io.BytesIO()
    torch.save({name: value.detach().cpu() for name, value in model.policy.state_dict().items()}, weights)

    def fill(folder: Path) -> None:
        write_text(folder / POLICY_CONFIG, config)
        write_bytes(folder / WEIGHTS, weights.getvalue())

    try:
        publish_folder(target, fill)
    except StorageError as error:
        if target.exists():
            raise RunConflict(f"{target} exists; choose another folder for the policy.") from error
        raise
    return target


def load_policy(path: str | Path, deterministic: bool = True) -> LearnedPolicy:
    """Loads what ``save_policy`` wrote, as an agent; nothing in the folder is executed.

    Args:
        path: The folder.
        deterministic: Take the preferred strategy; False draws one by its probability (not for DQN).

    Raises:
        CorruptRun: The folder holds no policy, or one that cannot be read.
        UnknownName: A strategy of the policy does not exist here.
    """
    folder = Path(path)
    if not (folder / POLICY_CONFIG).is_file():
        raise CorruptRun(f"{folder} holds no saved policy; give a folder that save_policy wrote.")
    try:
        config = json.loads((folder / POLICY_CONFIG).read_text())
        policy, names = _rebuilt(config), tuple(config["strategies"])
        policy.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
    except AlenvError:
        raise
    except Exception as error:  # a damaged file fails in as many ways as it can be damaged
        raise CorruptRun(
            f"The policy in {folder} cannot be read ({type(error).__name__}); save it again."
        ) from error
    if not deterministic and not isinstance(policy, ActorCriticPolicy):
        raise UnknownName(f"A {config['algorithm']} policy has no probabilities; leave deterministic=True.")
    policy.set_training_mode(False)
    return LearnedPolicy(policy, names, deterministic)


def _config(model: BaseAlgorithm) -> dict[str, Any]:
    """Returns all that is needed to build the policy again, as JSON values."""
    algorithm = type(model).__name__
    if algorithm not in POLICIES:
        raise unknown("algorithm whose policy can be saved", algorithm, POLICIES)
    if type(model.policy) is not POLICIES[algorithm]:
        raise UnknownName(f"A {type(model.policy).__name__} cannot be saved as data; train with 'MlpPolicy'.")
    if not isinstance(model.action_space, Strategies) or not isinstance(model.observation_space, spaces.Box):
        raise UnknownName(
            "The model was not trained on a ChooseStrategy environment; wrap the environment in one."
        )
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None and normalizer.norm_obs:
        raise UnknownName("VecNormalize changed the observations; train with VecNormalize(norm_obs=False).")
    return {
        "format": FORMAT,
        "algorithm": algorithm,
        "strategies": list(model.action_space.names),
        "observation_size": int(model.observation_space.shape[0]),
        "policy": _plain({k: v for k, v in model.policy_kwargs.items() if k not in TRAINING_OPTIONS}),
    }


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


def _rebuilt(config: dict[str, Any]) -> BasePolicy:
    """Builds the policy of a config with weights that mean nothing yet."""
    if config["format"] != FORMAT or config["algorithm"] not in POLICIES:
        raise CorruptRun(
            f"Format {config['format']!r} of {config['algorithm']!r} is unknown here; save the policy again."
        )
    if config["observation_size"] != STATS_SIZE:
        raise CorruptRun(
            f"The policy reads {config['observation_size']} numbers, stats has {STATS_SIZE}; train it again."
        )
    options = {name: config["policy"][name] for name in KEPT_OPTIONS if name in config["policy"]}
    if "activation_fn" in options:
        if options["activation_fn"] not in ACTIVATIONS:
            raise unknown("activation", options["activation_fn"], ACTIVATIONS)
        options["activation_fn"] = getattr(nn, options["activation_fn"])
    observations = spaces.Box(-1, 1, (STATS_SIZE,), np.float32)
    build: Callable[..., BasePolicy] = POLICIES[config["algorithm"]]
    with torch.random.fork_rng(devices=[]):  # SB3 draws initial weights from the global stream
        return build(observations, Strategies(config["strategies"]), lambda _: 0.0, **options)
