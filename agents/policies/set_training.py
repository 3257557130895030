"""What trainers of a set network on batched episodes have in common: environments, weights, and the saved policy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents import options
from agents.base import Indices
from agents.policies import policy_folder
from agents.policies.saved import FORMAT
from agents.policies.set_network import HEADS, SetNetwork
from agents.policies.training import SELECTION_SEEDS, LearningTask, Trainer, peeking
from alenv import STATS_SIZE, BatchedEnv, descriptors
from alenv.errors import CorruptRun, InvalidQuery
from alenv.progress import progress


class SetTrainer(Trainer):
    """Trains a ``SetNetwork`` on descriptors of candidates, in episodes where it may peek.

    A round plays the tasks in turn, each several times from beginning to end. Subclasses say what is learned in each
    state.

    Args:
        tasks: Environments with a ridge head and a validation split; others have no batched ``peek``.
        seed: Decides the training.
        episodes: Played at once in each environment.
        plays: How often a round plays them.
        candidates: Shown in each state.
        width: Of the network; a multiple of 4.
        lr: Learning rate of Adam at first.
        start: A folder of a policy of this kind, whose weights are the first; None = random ones.

    Raises:
        InvalidRecipe: The episodes of an environment cannot be played in a batch.
        MissingHead: An environment has no validation split to peek at.
        InvalidQuery: A number is out of its range, or a query takes more images than there are candidates.
        CorruptRun: ``start`` holds no policy of this kind and width.
    """

    unit = "states"

    def __init__(
        self,
        tasks: Sequence[LearningTask],
        seed: int,
        *,
        episodes: int,
        plays: int,
        candidates: int,
        width: int,
        lr: float,
        start: str | None,
    ) -> None:
        super().__init__(tasks, seed)
        self.episodes = options.whole("episodes", episodes)
        self.plays = options.whole("plays", plays)
        self.candidates = options.whole("candidates", candidates)
        self.width = options.whole("width", width, HEADS)
        self.lr = options.number("lr", lr, above=True)
        if width % HEADS:
            raise InvalidQuery(f"width={width} was given; give a multiple of {HEADS}.")
        self._envs = [peeking(task, self.episodes, self.candidates, self.name) for task in self.tasks]
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn from the global stream
            torch.default_generator.manual_seed(seed)
            self._network = SetNetwork(len(descriptors.NAMES), len(descriptors.CONTEXT), width)
        if start is not None:
            self._begin_from(Path(start))
        self._network.to(self._device)

    @property
    def _device(self) -> torch.device:
        return torch.device(self._envs[0].runtime.device)

    def _begin_from(self, folder: Path) -> None:
        try:
            config = policy_folder.config_in(folder)
            if config["policy"] != "SetTopKPolicy" or config["descriptors"] != descriptors.VERSION:
                raise CorruptRun(f"{folder} holds a policy of another kind; start from one of {self.name}.")
            weights = policy_folder.weights_in(folder)
            weights.pop("log_std")
            self._network.load_state_dict(weights)
        except CorruptRun:
            raise
        except Exception as error:  # a damaged file fails in as many ways as it can be damaged
            raise CorruptRun(
                f"The policy in {folder} cannot be started from with width={self.width} ({type(error).__name__}); give "
                f"a folder of {self.name} of that width."
            ) from error

    def advance(self, total: int) -> dict[str, float]:
        """Plays every task several times; see ``Trainer``."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.round)
        told: list[dict[str, float]] = []
        cycles = self.plays * sum(env.protocol.cycles for env in self._envs)
        with progress("cycles", cycles, "cycles") as shown:
            for env in self._envs * self.plays:
                seeds = torch.randint(SELECTION_SEEDS, (self.episodes,), generator=generator).tolist()
                env.reset(seed=seeds)
                for _ in range(env.protocol.cycles):
                    done = self.steps / max(total, 1)
                    query, numbers = self._visit(env, min(done, 1.0), generator)
                    earned = env.step(query)[1]
                    told.append({"reward": float(earned.mean()), **numbers})
                    self.steps += self.episodes
                    shown(1)
        self.round += 1
        return {name: float(np.mean([each[name] for each in told if name in each])) for name in told[0]}

    @abstractmethod
    def _visit(
        self, env: BatchedEnv, done: float, generator: torch.Generator
    ) -> tuple[Indices, dict[str, float]]:
        """Learns in a state of every episode.

        Args:
            env: The episodes.
            done: Share of the training that is over.
            generator: On the CPU.

        Returns:
            The queries with which they go on, int64 (E, B), and what there is to be told, the same names every time.
        """

    def save(self, path: Path, made: Mapping[str, Any]) -> None:
        """Writes the network as a policy of ``SetTopKPolicy``; see ``Trainer``."""
        config = {
            "format": FORMAT,
            "algorithm": self.name,
            "policy": "SetTopKPolicy",
            "options": {"width": self.width},
            "wrapper": "TopOfCandidates",
            "arguments": {},
            "candidates": None,
            "query_size": None,
            "stats_size": STATS_SIZE,
            "descriptors": descriptors.VERSION,
            "made": dict(made),
        }
        policy_folder.write(path, config, {**self._network.state_dict(), "log_std": torch.zeros(1)})

    def get_state(self) -> dict[str, Any]:
        """Returns the rounds and the weights."""
        return {"round": self.round, "steps": self.steps, "network": self._network.state_dict()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""
        self.round, self.steps = state["round"], state["steps"]
        self._network.load_state_dict(state["network"])


def chosen_among(candidates: Indices, positions: Tensor) -> Indices:
    """Returns pool indices (E, ..., B) of positions (E, ..., B) among candidates, int64 (E, K)."""
    places = positions.cpu().numpy()
    found: Indices = np.take_along_axis(candidates, places.reshape(len(places), -1), axis=1)
    return found.reshape(places.shape)
