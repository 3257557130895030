"""Trains the policy that foresees what a label would bring, on ridge episodes where that is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch

from agents import options
from agents.policies import learned
from agents.policies.batch_head import BatchHead
from agents.policies.batch_training import PartialQueries, collect_partial, fit_head
from agents.policies.gain_imitation import Examples, collect, fit, quality
from agents.policies.gain_network import WIDTH, Blend, GainNetworks, GainPolicy
from agents.policies.gain_tuning import Tuning
from agents.policies.training import SELECTION_SEEDS, LearningTask, Trainer, peeking, trainer
from alenv import BatchedEnv
from alenv.progress import progress

Played = TypeVar("Played")


@trainer
class MarginalGain(Trainer):
    """Imitates marginal gains, tunes by what whole queries are worth, and at last corrects queries as they grow.

    First, in rounds, states are collected and networks learn what each label would bring. The first round behaves by
    chance and by single descriptors, the later ones by the networks of the round before as well; after each round the
    networks learn anew from all states there are. Then, in rounds too, a policy gradient (``gain_tuning``) changes
    the networks and how batches are put together. At last a head for batches (``batch_head``) learns, in states where
    part of a query is bought, what the labels of the others bring then.

    Args:
        tasks: Environments with a ridge head and a validation split, where gains follow in closed form.
        seed: Decides the training.
        members: Networks whose scores are added.
        width: Of their hidden layers.
        rounds: In which gains are imitated; each collects as many states as the others.
        epochs: Passes over the states in each of them.
        tuning: Share of all states that the policy gradient gets.
        tuning_rounds: In how many rounds.
        batch: Share of all states from which the head for batches learns; 0 = there is none.
        batch_rounds: In how many rounds; the later ones behave with the head of the round before.
        group: Queries that are compared in each state.
        temperature: At which they are drawn, in standard deviations of the networks' score.
        rate: Learning rate of the tuning.
        episodes: Played at once.
        candidates: Shown in each state, where a task does not say.
        start: A folder of a policy of this kind whose networks and blend are kept, so that only a head for batches is
            learned; None = everything.

    Raises:
        CorruptRun: ``start`` holds no policy of this kind.
        InvalidRecipe: A task has no ridge head.
        MissingHead: A task has no validation split.
        InvalidQuery: A number is out of its range, or a query takes more images than there are candidates.
    """

    name: ClassVar[str] = learned.KIND
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
        batch: float = 0.15,
        batch_rounds: int = 2,
        start: str | None = None,
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
        self.batch = options.number("batch", batch, most=0.99 - self.tuning)
        self.batch_rounds = options.whole("batch_rounds", batch_rounds) if self.batch > 0 else 0
        self._examples: list[Examples] = []
        self._partial: list[PartialQueries] = []
        self._networks: GainNetworks | None = None
        self._tuned: Tuning | None = None
        self._head: BatchHead | None = None
        self._before: dict[str, Any] = {}  # how what is kept was made
        self._environments = [peeking(task, self.episodes, self.candidates, self.name) for task in self.tasks]
        if start is not None:
            given = learned.load(Path(start))
            self._before = {"start": learned.how_made(Path(start))}
            self.rounds = self.tuning_rounds = 0
            self.tuning, self.batch, self.batch_rounds = 0.0, 1.0, options.whole("batch_rounds", batch_rounds)
            self._networks, self._tuned = given.networks, self._tuning(given.networks, given.blend)

    def advance(self, total: int) -> dict[str, float]:
        """Imitates for a round, tunes for one, or teaches the head for batches for one."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.round)
        phases = (
            (1 - self.tuning - self.batch, self.rounds),
            (self.tuning, self.tuning_rounds),
            (self.batch, self.batch_rounds),
        )
        share, left, phase = 0.0, self.round + 1, 0
        for at, (own, rounds) in enumerate(phases):
            if left > 0 and rounds:
                share, phase = share + own * min(1, left / rounds), at
            left -= rounds
        work = (self._imitate, self._tune, self._correct)[phase]
        wanted = max(1, math.ceil(total * share) - self.steps)  # what was too much before is off
        found = work(wanted, generator)
        self.round += 1
        if self.round >= self.rounds and self._tuned is None:
            assert self._networks is not None, "a round is over"
            self._tuned = self._tuning(self._networks, Blend())
            self._examples = []  # nothing learns from them any more
        return found

    def _imitate(self, wanted: int, generator: torch.Generator) -> dict[str, float]:
        """Collects a round's states and lets new networks learn from all of them."""
        before = self._networks
        new = self._played(
            wanted, generator, lambda env, seeds: collect(env, seeds, before, generator), _told
        )
        held = Examples.joined(new)
        numbers = {} if self._networks is None else {"correlation/unseen": quality(self._networks, held)}
        self._examples += new
        self._networks = GainNetworks(self.members, generator, self.width)
        history = fit(self._networks, Examples.joined(self._examples), generator, self.epochs)
        return {**numbers, "correlation/seen": history[-1]}

    def _tune(self, wanted: int, generator: torch.Generator) -> dict[str, float]:
        """Follows the policy gradient for a round."""
        assert self._tuned is not None, "it comes after the imitation"
        tuned = self._tuned

        def states(env: BatchedEnv, numbers: dict[str, float]) -> int:
            return env.num_envs * env.protocol.cycles

        found = self._played(wanted, generator, lambda env, seeds: tuned.play(env, seeds, generator), states)
        return {f"query/{name}": sum(each[name] for each in found) / len(found) for name in found[0]}

    def _tuning(self, networks: GainNetworks, blend: Blend) -> Tuning:
        return Tuning(networks, blend, self.group, self.temperature, self.rate)

    def _correct(self, wanted: int, generator: torch.Generator) -> dict[str, float]:
        """Collects states in the midst of queries, and lets a new head learn from all of them."""
        policy = self._policy
        new = self._played(
            wanted, generator, lambda env, seeds: collect_partial(env, seeds, policy, generator), _told
        )
        self._partial += new
        self._head = BatchHead(generator)
        seen = fit_head(self._head, PartialQueries.joined(self._partial), generator, self.epochs)
        return {"correlation/partial": seen[-1]}

    @property
    def _policy(self) -> GainPolicy:
        assert self._networks is not None, "a round is over"
        blend = Blend() if self._tuned is None else self._tuned.blend
        return GainPolicy(self._networks, blend, self._head)

    def _played(
        self,
        wanted: int,
        generator: torch.Generator,
        play: Callable[[BatchedEnv, list[int]], Played],
        states: Callable[[BatchedEnv, Played], int],
    ) -> list[Played]:
        """Plays the tasks in turns, with seeds of their own, until there are as many states as wanted."""
        found: list[Played] = []
        have = 0
        with progress("states", wanted, "states") as shown:
            while have < wanted:
                env = self._environments[len(found) % len(self.tasks)]
                seeds = torch.randint(SELECTION_SEEDS, (self.episodes,), generator=generator).tolist()
                found.append(play(env, seeds))
                have += states(env, found[-1])
                shown(states(env, found[-1]))
        self.steps += have
        return found

    def save(self, path: Path, made: Mapping[str, Any]) -> None:
        """Writes the networks; see ``Trainer``."""
        learned.save(self._policy, path, {**made, **self._before})

    def get_state(self) -> dict[str, Any]:
        """Returns states, networks, and how far they are tuned."""
        return {
            "round": self.round,
            "steps": self.steps,
            "examples": [tuple(part) for part in self._examples],
            "partial": [tuple(part) for part in self._partial],
            "networks": None if self._networks is None else self._networks.state_dict(),
            "tuned": None if self._tuned is None else self._tuned.get_state(),
            "head": None if self._head is None else self._head.state_dict(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""
        self.round, self.steps = state["round"], state["steps"]
        self._examples = [Examples(*part) for part in state["examples"]]
        self._partial = [PartialQueries(*part) for part in state["partial"]]
        if state["networks"] is not None:
            self._networks = self._networks or GainNetworks(self.members, torch.Generator(), self.width)
            self._networks.load_state_dict(state["networks"])
        if state["tuned"] is not None:
            assert self._networks is not None, "it is what is tuned"
            self._tuned = self._tuned or self._tuning(self._networks, Blend())
            self._tuned.set_state(state["tuned"])
        if state["head"] is not None:
            self._head = BatchHead(torch.Generator())
            self._head.load_state_dict(state["head"])


def _told(env: BatchedEnv, examples: Examples | PartialQueries) -> int:
    """Counts the states that examples tell of; those in which all gains are equal are not among them."""
    return len(examples.gains)
