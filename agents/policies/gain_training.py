"""Teaches networks what a label would bring, on ridge episodes where that is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents import options
from agents.policies.gain_network import WIDTH, Blend, GainNetworks, batches
from agents.policies.gain_tuning import Tuning
from agents.policies.learned import KIND, save_networks
from agents.policies.training import SELECTION_SEEDS, LearningTask, Trainer, peeking, trainer
from alenv import BatchedEnv
from alenv.descriptors import NAMES, Descriptors
from alenv.progress import progress

SHOWN = 48  # candidates of a state whose gains are computed
BEHAVIORS = ("log_margin", "typicality", "uncertain_gain_median", "log_leverage", "neighbor_disagreement")
_PLACES = [NAMES.index(name) for name in BEHAVIORS]


class Examples(NamedTuple):
    """States with what the labels of some candidates would bring.

    Attributes:
        candidates: float16 (n, k, 29).
        context: float32 (n, 8).
        gains: float32 (n, k), with mean 0 and standard deviation 1 in each state.
    """

    candidates: Tensor
    context: Tensor
    gains: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """Puts examples one after the other."""
        return cls(*(torch.cat([part[at] for part in parts]) for at in range(3)))


@torch.no_grad()
def collect(
    env: BatchedEnv, seeds: Sequence[int], networks: GainNetworks | None, generator: torch.Generator
) -> Examples:
    """Plays episodes, and says of every state what some candidates would bring.

    Each episode behaves in its own way, drawn at random: chance, single descriptors, the networks, or mixtures.

    Args:
        env: With ``allow_peek=True``.
        seeds: E of them.
        networks: Those of the round before, or None.
        generator: On the CPU.
    """
    env.reset(seed=list(seeds))
    episodes, batch = env.num_envs, env.batch
    size = batch.query_size
    weights = torch.randn(episodes, len(BEHAVIORS), generator=generator).clamp(min=0)
    weights *= torch.rand(episodes, len(BEHAVIORS), generator=generator) < 0.4
    trust = (
        torch.rand(episodes, generator=generator) * 1.5 * (torch.rand(episodes, generator=generator) < 0.7)
    )
    noise = torch.rand(episodes, generator=generator) ** 2
    diversity = 2 * torch.rand(episodes, generator=generator)
    found = []
    for _ in range(env.protocol.cycles):
        described, candidates = batch.descriptors(), batch.candidates
        some = torch.rand(candidates.shape, generator=generator).argsort(1)[:, :SHOWN]
        gains = env.gains(np.take_along_axis(candidates, some.numpy(), 1)).cpu()
        spread = gains.std(1, keepdim=True, correction=0)
        told = spread[:, 0] > 1e-7
        gains = (gains - gains.mean(1, keepdim=True)) / spread.clamp(min=1e-7)
        shown = described.candidates.cpu().gather(1, some[:, :, None].expand(-1, -1, len(NAMES)))
        found.append(Examples(shown[told].half(), described.context.cpu()[told], gains[told]))
        scores = (described.candidates[:, :, _PLACES].cpu() * weights[:, None]).sum(2)
        if networks is not None:
            scores += trust[:, None] * networks.scores(described).cpu()
        scores -= (
            noise[:, None] * torch.rand(scores.shape, generator=generator).clamp(min=1e-9).log().neg().log()
        )
        chosen = batches(scores, batch.positions(candidates).cpu(), diversity, size)
        env.step(np.take_along_axis(candidates, chosen.numpy(), 1))
    return Examples.joined(found)


def fit(
    networks: GainNetworks,
    examples: Examples,
    generator: torch.Generator,
    epochs: int = 12,
    lr: float = 2e-3,
    size: int = 64,
) -> list[float]:
    """Raises each member's correlation with the gains within a state; every member has its own order of states.

    Args:
        networks: M members, changed in place.
        examples: n states.
        generator: On the CPU.
        epochs: Passes over the states.
        lr: Peak learning rate of Adam; it falls to 0 as a cosine.
        size: States per step.

    Returns:
        The mean correlation of each epoch.
    """
    members, count = len(networks.weights[0]), len(examples.gains)
    optimizer = torch.optim.Adam(networks.parameters(), lr)
    steps = count // size
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    found = []
    for _ in range(epochs):
        orders = torch.stack([torch.randperm(count, generator=generator) for _ in range(members)])
        total = 0.0
        for step in range(steps):
            rows = orders[:, step * size : (step + 1) * size]
            scores = networks(examples.candidates[rows].float(), examples.context[rows])
            loss = -correlation(scores, examples.gains[rows]).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            schedule.step()
            total -= float(loss.detach())
        found.append(total / max(steps, 1))
    return found


def correlation(scores: Tensor, gains: Tensor) -> Tensor:
    """Returns the correlation within each state (...) of scores (..., k) with standardized gains (..., k)."""
    apart = scores - scores.mean(-1, keepdim=True)
    return (apart * gains).mean(-1) / apart.square().mean(-1).clamp(min=1e-8).sqrt()


@torch.no_grad()
def quality(networks: GainNetworks, examples: Examples) -> float:
    """Returns the mean correlation of the members' common score with the gains."""
    found = networks.scores(Descriptors(examples.candidates.float(), examples.context))
    return float(correlation(found, examples.gains).mean())


@trainer
class MarginalGain(Trainer):
    """Imitates marginal gains, and then tunes by what whole queries are worth.

    First, in rounds, states are collected and networks learn what each label would bring. The first round behaves by
    chance and by single descriptors, the later ones by the networks of the round before as well; after each round the
    networks learn anew from all states there are. Then, in rounds too, a policy gradient (``gain_tuning``) changes
    the networks and how batches are put together.

    Args:
        tasks: Environments with a ridge head and a validation split, where gains follow in closed form.
        seed: Decides the training.
        members: Networks whose scores are added.
        width: Of their hidden layers.
        rounds: In which gains are imitated; each collects as many states as the others.
        epochs: Passes over the states in each of them.
        tuning: Share of all states that the policy gradient gets.
        tuning_rounds: In how many rounds.
        group: Queries that are compared in each state.
        temperature: At which they are drawn, in standard deviations of the networks' score.
        rate: Learning rate of the tuning.
        episodes: Played at once.
        candidates: Shown in each state, where a task does not say.

    Raises:
        InvalidRecipe: A task has no ridge head.
        MissingHead: A task has no validation split.
        InvalidQuery: A number is out of its range, or a query takes more images than there are candidates.
    """

    name: ClassVar[str] = KIND
    unit: ClassVar[str] = "states"
    source: ClassVar[str] = (
        "alenv; after Konyushkova, Sznitman & Fua 2017, Learning Active Learning from Data"
    )

    def __init__(
        self,
        tasks: Sequence[LearningTask],
        seed: int = 0,
        members: int = 3,
        width: int = WIDTH,
        rounds: int = 4,
        epochs: int = 12,
        tuning: float = 0.5,
        tuning_rounds: int = 4,
        group: int = 12,
        temperature: float = 0.3,
        rate: float = 3e-4,
        episodes: int = 48,
        candidates: int = 256,
    ) -> None:
        super().__init__(tasks, seed)
        self.members = options.whole("members", members)
        self.width = options.whole("width", width)
        self.rounds = options.whole("rounds", rounds)
        self.epochs = options.whole("epochs", epochs)
        self.tuning = options.number("tuning", tuning, most=0.99)
        self.tuning_rounds = options.whole("tuning_rounds", tuning_rounds) if self.tuning > 0 else 0
        self.group = options.whole("group", group, 2)
        self.temperature = options.number("temperature", temperature, above=True)
        self.rate = options.number("rate", rate, above=True)
        self.episodes = options.whole("episodes", episodes)
        self.candidates = options.whole("candidates", candidates)
        self._examples: list[Examples] = []
        self._networks: GainNetworks | None = None
        self._tuned: Tuning | None = None
        self._environments = [peeking(task, self.episodes, self.candidates, self.name) for task in self.tasks]

    def advance(self, total: int) -> dict[str, float]:
        """Imitates for a round, or tunes for one."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.round)
        imitated = (1 - self.tuning) * min(1, (self.round + 1) / self.rounds)
        tuned = self.tuning * max(0, self.round + 1 - self.rounds) / max(1, self.tuning_rounds)
        wanted = max(
            1, math.ceil(total * (imitated + tuned)) - self.steps
        )  # what rounds before took too much is off
        found = (self._imitate if self.round < self.rounds else self._tune)(wanted, generator)
        self.round += 1
        if self.round >= self.rounds and self._tuned is None:
            self._tuned = self._tuning()
            self._examples = []  # nothing learns from them any more
        return found

    def _imitate(self, wanted: int, generator: torch.Generator) -> dict[str, float]:
        """Collects a round's states and lets new networks learn from all of them."""
        new: list[Examples] = []
        have = 0
        with progress("states", wanted, "states") as shown:
            while have < wanted:
                env, seeds = self._next(len(new), generator)
                new.append(collect(env, seeds, self._networks, generator))
                have += len(new[-1].gains)
                shown(len(new[-1].gains))
        held = Examples.joined(new)
        numbers = {} if self._networks is None else {"correlation/unseen": quality(self._networks, held)}
        self._examples += new
        self._networks = GainNetworks(self.members, generator, self.width)
        learned = fit(self._networks, Examples.joined(self._examples), generator, self.epochs)
        self.steps += len(held.gains)
        return {**numbers, "correlation/seen": learned[-1]}

    def _tune(self, wanted: int, generator: torch.Generator) -> dict[str, float]:
        """Follows the policy gradient for a round."""
        assert self._tuned is not None, "it comes after the imitation"
        have = 0
        found: list[dict[str, float]] = []
        with progress("states", wanted, "states") as shown:
            while have < wanted:
                env, seeds = self._next(len(found), generator)
                found.append(self._tuned.play(env, seeds, generator))
                have += env.num_envs * env.protocol.cycles
                shown(env.num_envs * env.protocol.cycles)
        self.steps += have
        return {f"query/{name}": sum(each[name] for each in found) / len(found) for name in found[0]}

    def _tuning(self) -> Tuning:
        assert self._networks is not None, "a round is over"
        return Tuning(self._networks, Blend(), self.group, self.temperature, self.rate)

    def _next(self, at: int, generator: torch.Generator) -> tuple[BatchedEnv, list[int]]:
        """Returns the environments of the ``at``-th task, taken in turns, and seeds for them."""
        env = self._environments[at % len(self.tasks)]
        return env, torch.randint(SELECTION_SEEDS, (self.episodes,), generator=generator).tolist()

    def save(self, path: Path, made: Mapping[str, Any]) -> None:
        """Writes the networks; see ``Trainer``."""
        assert self._networks is not None, "a round is over"
        blend = Blend() if self._tuned is None else self._tuned.blend
        save_networks(self._networks, blend, path, dict(made))

    def get_state(self) -> dict[str, Any]:
        """Returns states, networks, and how far they are tuned."""
        return {
            "round": self.round,
            "steps": self.steps,
            "examples": [tuple(part) for part in self._examples],
            "networks": None if self._networks is None else self._networks.state_dict(),
            "tuned": None if self._tuned is None else self._tuned.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""
        self.round, self.steps = state["round"], state["steps"]
        self._examples = [Examples(*part) for part in state["examples"]]
        if state["networks"] is not None:
            self._networks = GainNetworks(self.members, torch.Generator(), self.width)
            self._networks.load_state_dict(state["networks"])
        if state["tuned"] is not None:
            self._tuned = self._tuning()
            self._tuned.set_state(state["tuned"])
