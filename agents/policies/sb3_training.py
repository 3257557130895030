"""Training by an algorithm of Stable-Baselines3, in rounds of whole episodes."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents import options as rules
from agents.policies.saved import save_policy
from agents.policies.sb3 import as_sb3
from agents.policies.training import SELECTION_SEEDS, LearningTask, Trainer
from agents.policies.vector_envs import VECTOR_ENVS
from agents.policies.wrapping import PolicyEnv
from alenv import ENVIRONMENTS, is_batched
from alenv.errors import InvalidProtocol, InvalidQuery, MissingHead, unknown
from alenv.progress import Phase, progress

SINGLE = 8  # environments that are played beside each other where there is no batch of them
NEVER = 10**9  # so that what an update tells stays to be read
COUNTERS = ("num_timesteps", "_n_updates", "_n_calls")  # of a model; schedules go by them


class Sb3Trainer(Trainer):
    """What trainers of Stable-Baselines3 have in common.

    A round is some updates from whole episodes in one of the tasks, the tasks in turn. It begins with a new model,
    which gets the weights, the state of the optimizer and the counters of the round before, so that nothing else can
    pass from one round to the next. Episodes of a ridge environment are one batch where the wrapper has a form for
    that; others are ``SINGLE`` environments beside each other.

    The policies that are trained here have no layer that depends on a task, so that any tasks go together.

    Options of all: ``episodes``, whole episodes between two updates; ``updates`` of a round; ``device`` and
    ``threads`` of the networks; ``learning_rate``, ``batch_size`` and the rest as Stable-Baselines3 calls them.

    Args:
        tasks: Where to learn, each with a validation split.
        seed: Decides the training.
        **options: Names of ``defaults``.

    Attributes:
        options: What was given, and the defaults of the rest.

    Raises:
        UnknownName: There is no such option, agent or score.
        InvalidQuery: An option has a value that is not allowed.
        AlenvError: An environment cannot be made, or has nothing to learn from.
    """

    wrapper: ClassVar[type[PolicyEnv]]
    arguments: ClassVar[tuple[str, ...]] = ()  # the options that are the wrapper's
    defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, tasks: Sequence[LearningTask], seed: int = 0, **options: Any) -> None:
        super().__init__(tasks, seed)
        for name in options:
            if name not in self.defaults:
                raise unknown(f"option of the training of {self.name}", name, self.defaults)
        self.options = {
            name: _checked(name, options.get(name, default), default)
            for name, default in self.defaults.items()
        }
        together = all(self._is_batched(task) for task in self.tasks)
        most = self.options["episodes"] if together else SINGLE
        self._at_once = divisor(self.options["episodes"], most)
        self._envs = [self._made(task) for task in self.tasks]
        self._learned: dict[str, Any] | None = None  # what the next round goes on from
        self._model: BaseAlgorithm | None = None

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Names what ``alenv train --option`` may say."""
        return tuple(cls.defaults)

    # ---- environments ---------------------------------------------------------------------------------------

    def _is_batched(self, task: LearningTask) -> bool:
        return self.wrapper in VECTOR_ENVS and is_batched(task.env_id, task.settings)

    def _made(self, task: LearningTask) -> VecEnv:
        """Makes the environments of a task."""
        arguments = {name: self.options[name] for name in self.arguments}
        batched = self._is_batched(task)
        given = {"observe": "progress", **task.settings}
        name = task.env_id.rpartition(":")[2]  # what lies before it has registered it
        env: VecEnv
        if batched:
            vector = gym.make_vec(name, num_envs=self._at_once, autoreset_mode="Disabled", **given)
            env = as_sb3(VECTOR_ENVS[self.wrapper](vector, **arguments))
        else:
            if name in ENVIRONMENTS:
                given = {"test": False, **given}

            def single() -> gym.Env[Any, Any]:
                return Monitor(self.wrapper(gym.make(name, **given), **arguments))

            env = DummyVecEnv([single] * self._at_once)
        protocol = env.get_attr("protocol", [0])[0]
        if protocol.validation == 0:
            raise MissingHead(
                f"{task.env_id} was given, which has no validation split, so that a policy would learn from test "
                "images; make it with validation=1000."
            )
        if protocol.cycles == 0:
            raise InvalidProtocol(
                f"budget=0 was given to {task.env_id}; give one that there is to learn from."
            )
        return env

    def _episode_length(self, env: VecEnv) -> int:
        """Returns the steps of an episode in the wrapper."""
        return int(env.get_attr("protocol", [0])[0].cycles)

    # ---- rounds ---------------------------------------------------------------------------------------------

    @abstractmethod
    def _algorithm(self, env: VecEnv, steps: int, seed: int) -> BaseAlgorithm:
        """Makes a new model.

        Args:
            env: Where it learns.
            steps: Of each environment between two updates.
            seed: Of all that it draws.
        """

    def _numbers(self, model: BaseAlgorithm) -> dict[str, float]:
        """Returns what the algorithm tells of its last update, by the name that TensorBoard shows."""
        told = model.logger.name_to_value
        return {shown: sign * float(told[name]) for shown, (name, sign) in self.told.items() if name in told}

    told: ClassVar[Mapping[str, tuple[str, int]]] = {}  # shown name -> that of Stable-Baselines3, and a sign

    def _behavior(self, actions: NDArray[Any]) -> dict[str, float]:
        """Returns what there is to be told of a round's actions (n, ...)."""
        return {}

    def advance(self, total: int) -> dict[str, float]:
        """Plays whole episodes and learns from them."""
        env = self._envs[self.round % len(self.tasks)]
        drawn = np.random.SeedSequence([self.seed, self.round]).generate_state(2)
        steps = self._episode_length(env) * (self.options["episodes"] // self._at_once)
        update = steps * self._at_once
        wanted = min(self.options["updates"], max(1, -(-(total - self.steps) // update))) * update
        with _lent(self.options["device"], self.options["threads"]):
            model = self._algorithm(env, steps, int(drawn[0]))
            self._give(model, total)
            env.seed(int(drawn[1]) % (SELECTION_SEEDS - self._at_once))
            with progress(f"{self.name}: steps", wanted, "steps") as shown:
                watched = _Watched(shown)
                model.learn(wanted, watched, log_interval=NEVER, reset_num_timesteps=False)
        self._model, self._learned = model, self._taken(model)
        self.round += 1
        self.steps += wanted
        return {
            "return": float(np.mean(watched.returns)),
            **self._numbers(model),
            **self._behavior(np.concatenate(watched.actions)),
        }

    def save(self, path: Path, made: Mapping[str, Any]) -> None:
        """Writes the policy; see ``Trainer``."""
        assert self._model is not None, "a round is over"
        save_policy(self._model, path, made)

    # ---- state ----------------------------------------------------------------------------------------------

    def _taken(self, model: BaseAlgorithm) -> dict[str, Any]:
        """Returns what the next round goes on from."""
        return {
            "policy": copied(model.policy.state_dict()),
            "optimizer": copied(model.policy.optimizer.state_dict()),
            "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
        }

    def _give(self, model: BaseAlgorithm, total: int) -> None:
        """Gives a new model what the round before has learned."""
        if self._learned is None:
            return
        model.policy.load_state_dict(self._learned["policy"])
        model.policy.optimizer.load_state_dict(copied(self._learned["optimizer"]))
        for name, value in self._learned["counters"].items():
            setattr(model, name, value)

    def get_state(self) -> dict[str, Any]:
        """Returns weights, the state of the optimizer, and counters."""
        return {"round": self.round, "steps": self.steps, "learned": copied(self._learned)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""
        self.round, self.steps, self._learned = state["round"], state["steps"], copied(state["learned"])


class _Watched(BaseCallback):
    """Counts the steps of a round, and keeps its actions and returns."""

    def __init__(self, shown: Phase) -> None:
        super().__init__()
        self._shown = shown
        self.actions: list[NDArray[Any]] = []
        self.returns: list[float] = []

    def _on_step(self) -> bool:
        told = self.locals
        self.actions.append(np.array(told.get("clipped_actions", told["actions"])))
        self.returns += [float(info["episode"]["r"]) for info in told["infos"] if "episode" in info]
        self._shown(len(told["infos"]))
        return True


@contextmanager
def _lent(device: str, threads: int) -> Iterator[None]:
    """Lends Stable-Baselines3 the global random streams, which it seeds and draws from, and some threads.

    Both are as they were afterwards.
    """
    before = torch.get_num_threads()
    own, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  (it is that one which it draws from)
    with torch.random.fork_rng(devices=None if device.startswith("cuda") else []):
        try:
            torch.set_num_threads(threads)
            yield
        finally:
            torch.set_num_threads(before)
            random.setstate(own)
            np.random.set_state(of_numpy)  # noqa: NPY002  (see above)


def divisor(number: int, most: int) -> int:
    """Returns the largest divisor of ``number`` that is not above ``most``."""
    return next(each for each in range(min(number, most), 0, -1) if number % each == 0)


def copied(value: Any) -> Any:
    """Returns tensors, scalars, lists and dicts as a copy of their own, on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {name: copied(part) for name, part in value.items()}
    return [copied(part) for part in value] if isinstance(value, (list, tuple)) else value


def _checked(name: str, value: Any, default: Any) -> Any:
    """Returns an option's value, which is of its default's kind; names may be given as text with commas.

    Raises:
        InvalidQuery: It is of another kind.
    """
    if isinstance(default, tuple):
        return value.split(",") if isinstance(value, str) else value
    if isinstance(default, str):
        if not isinstance(value, str):
            raise InvalidQuery(f"{name}={value!r} was given; give text such as {default!r}.")
        return value
    if isinstance(default, int):
        return rules.whole(name, value)
    return rules.number(name, value)
