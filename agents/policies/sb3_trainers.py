"""The trainers that go through Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents.policies.candidates import TopOfCandidates
from agents.policies.choosing import DEFAULT_STRATEGIES, ChooseStrategy
from agents.policies.mixing import DEFAULT_SCORES, MixScores
from agents.policies.picking import PickOneByOne
from agents.policies.sb3_training import Sb3Trainer, divisor
from agents.policies.set_policies import SetTopKPolicy
from agents.policies.training import trainer
from agents.policies.wrapping import PolicyEnv
from alenv.errors import MissingHead

COMMON = {"episodes": 40, "updates": 5, "device": "cpu", "threads": 1, "learning_rate": 5e-4, "gamma": 1.0}
OF_PPO = {
    "n_epochs": 8,
    "batch_size": 100,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "target_kl": 0.05,
    "ent_coef": 0.0,
}
OF_DQN = {
    **{"batch_size": 64, "buffer_size": 10_000, "learning_starts": 400, "gradient_steps": 4},
    **{"target_update_interval": 400, "exploration_fraction": 0.3, "exploration_final_eps": 0.05},
}


class PpoTrainer(Sb3Trainer):
    """PPO; see Schulman et al. 2017, "Proximal Policy Optimization Algorithms"."""

    defaults: ClassVar[Mapping[str, Any]] = {**COMMON, **OF_PPO}
    told: ClassVar[Mapping[str, tuple[str, int]]] = {
        "loss/value": ("train/value_loss", 1),
        "loss/policy": ("train/policy_gradient_loss", 1),
        "entropy": ("train/entropy_loss", -1),
        "kl": ("train/approx_kl", 1),
    }

    def _algorithm(self, env: VecEnv, steps: int, seed: int) -> BaseAlgorithm:
        given = {name: self.options[name] for name in (*OF_PPO, "learning_rate", "gamma", "device")}
        given["batch_size"] = divisor(steps * env.num_envs, given["batch_size"])  # no rest of a batch
        model: BaseAlgorithm = self._kind()(
            self._policy(), env, n_steps=steps, seed=seed, policy_kwargs=self._network(), **given
        )
        return model

    def _kind(self) -> type[Any]:
        return PPO

    def _policy(self) -> Any:
        return "MlpPolicy"

    def _network(self) -> dict[str, Any]:
        """Returns options of the policy."""
        return {}


def shares(names: list[str], actions: NDArray[Any]) -> dict[str, float]:
    """Returns how often each strategy was chosen, by the name that TensorBoard shows."""
    return {f"share/{name}": float(np.mean(actions == number)) for number, name in enumerate(names)}


@trainer
class PpoStrategy(PpoTrainer):
    """PPO learns which strategy makes the next query."""

    name: ClassVar[str] = "ppo_strategy"
    source: ClassVar[str] = "alenv; after Hsu & Lin 2015, Active Learning by Learning"
    wrapper = ChooseStrategy
    arguments = ("strategies",)
    defaults: ClassVar[Mapping[str, Any]] = {
        **PpoTrainer.defaults,
        "ent_coef": 0.005,
        "strategies": DEFAULT_STRATEGIES,
    }

    def _behavior(self, actions: NDArray[Any]) -> dict[str, float]:
        return shares(self.options["strategies"], actions)


@trainer
class PpoMixture(PpoTrainer):
    """PPO learns how to weigh scores of the candidates against each other."""

    name: ClassVar[str] = "ppo_mixture"
    source: ClassVar[str] = "alenv; after Ebner et al., mixtures of heuristics (submitted to ICLR 2021)"
    wrapper = MixScores
    arguments = ("scores",)
    defaults: ClassVar[Mapping[str, Any]] = {**PpoTrainer.defaults, "scores": DEFAULT_SCORES}

    def _network(self) -> dict[str, Any]:
        return {"log_std_init": -0.7}

    def _behavior(self, actions: NDArray[Any]) -> dict[str, float]:
        means = actions.mean(0).tolist()
        return {f"weight/{name}": mean for name, mean in zip(self.options["scores"], means, strict=True)}


@trainer
class PpoTopK(PpoTrainer):
    """PPO learns to score the candidates as a set, of which a query is drawn without replacement."""

    name: ClassVar[str] = "ppo_topk"
    source: ClassVar[str] = (
        "alenv; after Pang et al. 2018, Meta-Learning Transferable Active Learning Policies"
    )
    wrapper: ClassVar[type[PolicyEnv]] = TopOfCandidates
    defaults: ClassVar[Mapping[str, Any]] = {**PpoTrainer.defaults, "width": 64}

    def _policy(self) -> Any:
        return SetTopKPolicy

    def _network(self) -> dict[str, Any]:
        return {"width": self.options["width"]}


@trainer
class PpoPick(PpoTopK):
    """MaskablePPO learns to pick the images of a query one after another; needs sb3-contrib."""

    name: ClassVar[str] = "ppo_pick"
    source: ClassVar[str] = (
        "alenv; after Konyushkova et al. 2018, Discovering General-Purpose Active Learning Strategies"
    )
    wrapper = PickOneByOne
    defaults: ClassVar[Mapping[str, Any]] = {
        **PpoTopK.defaults,
        "episodes": 8,
        "updates": 1,
        "ent_coef": 0.005,
    }

    def __init__(self, *args: Any, **options: Any) -> None:
        try:
            from agents import masked  # noqa: PLC0415  (sb3-contrib is optional)
        except ModuleNotFoundError as error:
            raise MissingHead(
                f"The training of {self.name} needs sb3-contrib, which is not installed; run pip install "
                "'alenv[contrib]'."
            ) from error
        self._masked = masked
        super().__init__(*args, **options)

    def _episode_length(self, env: VecEnv) -> int:
        return super()._episode_length(env) * int(env.get_attr("protocol", [0])[0].query_size)

    def _kind(self) -> type[Any]:
        return self._masked.MaskablePPO

    def _policy(self) -> Any:
        return self._masked.MaskedSetPickPolicy


@trainer
class DqnStrategy(Sb3Trainer):
    """DQN learns what each strategy would earn, and takes the best.

    The steps that it has seen are kept from round to round.
    """

    name: ClassVar[str] = "dqn_strategy"
    source: ClassVar[str] = "alenv; after Fang et al. 2017, Learning how to Active Learn"
    wrapper = ChooseStrategy
    arguments = ("strategies",)
    defaults: ClassVar[Mapping[str, Any]] = {
        **{**COMMON, "episodes": 8, "updates": 25},
        **OF_DQN,
        "strategies": DEFAULT_STRATEGIES,
    }
    told: ClassVar[Mapping[str, tuple[str, int]]] = {
        "loss/value": ("train/loss", 1),
        "exploration": ("rollout/exploration_rate", 1),
    }

    def _algorithm(self, env: VecEnv, steps: int, seed: int) -> BaseAlgorithm:
        names = [name for name in OF_DQN if not name.startswith("exploration")]
        given = {name: self.options[name] for name in (*names, "learning_rate", "gamma", "device")}
        return DQN("MlpPolicy", env, train_freq=1, seed=seed, **given)

    def _give(self, model: BaseAlgorithm, total: int) -> None:
        assert isinstance(model, DQN)
        last = self.options["exploration_final_eps"]
        span = max(1.0, self.options["exploration_fraction"] * total)
        # Of the whole training; Stable-Baselines3 would begin anew with every round.
        model.exploration_schedule = lambda _: max(last, 1 - (1 - last) * model.num_timesteps / span)
        super()._give(model, total)
        if self._learned is not None:
            model.exploration_rate = model.exploration_schedule(1.0)
            _fill(model, self._learned["seen"])

    def _taken(self, model: BaseAlgorithm) -> dict[str, Any]:
        assert isinstance(model, DQN)
        return {**super()._taken(model), "seen": _seen(model)}

    def _behavior(self, actions: NDArray[Any]) -> dict[str, float]:
        return shares(self.options["strategies"], actions)


SEEN = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def _seen(model: DQN) -> dict[str, Any]:
    """Returns what the replay buffer holds."""
    buffer: Any = model.replay_buffer
    held = buffer.buffer_size if buffer.full else buffer.pos
    rows = {name: torch.from_numpy(getattr(buffer, name)[:held].copy()) for name in SEEN}
    return {"rows": rows, "position": buffer.pos, "full": buffer.full}


def _fill(model: DQN, seen: dict[str, Any]) -> None:
    """Gives a new replay buffer what ``_seen`` returned."""
    buffer: Any = model.replay_buffer
    for name, rows in seen["rows"].items():
        getattr(buffer, name)[: len(rows)] = rows.numpy()
    buffer.pos, buffer.full = seen["position"], seen["full"]
