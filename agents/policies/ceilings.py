"""Agents that look at labels before they buy them: what others are measured by, never competitors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from agents import options
from agents.base import Agent, Indices, at_random
from agents.compose import needs_of
from agents.in_batch import InBatch, among_candidates
from agents.policies.bandits import names_of, strategies_of
from agents.registry import register
from alenv import BatchedEnv
from alenv.errors import MissingHead, PeekNotAllowed
from alenv.seeding import Purpose, torch_stream

if TYPE_CHECKING:
    import torch

    from alenv import ActiveLearningEnv, BatchView, View

PROPOSING = ("margin", "entropy", "coreset", "badge")  # which need nothing of a recipe


@register
class OracleGreedy(Agent):
    """A ceiling: of many queries the one that peeking finds best; it reads labels that were not bought.

    Each cycle some strategies propose a query, and others are drawn at random from the candidates; the one that would
    earn most on the validation split is bought. What it gains over Random is what there is to gain by choosing among
    such queries, less what the split is fitted: it looks one query ahead, so that a strategy which it does not ask may
    end higher still. It needs an environment with ``allow_peek=True``, which it is handed (``lend``); ``alenv run``,
    ``compare`` and ``evaluate`` see to that. As a ceiling it takes no part in rankings. With a trained network every
    query that is tried is a training.

    With ``by=gains`` nothing is proposed: the images are bought in turn, each the one whose true label raises a smooth
    validation accuracy most (``BatchedEnv.gains``). That is possible in batches of ridge episodes alone, so in
    ``alenv evaluate``.

    Args:
        strategies: Who proposes: names with a slash between them, or a list of spellings; from the candidates.
        samples: Queries drawn at random.
        by: ``"peek"`` or ``"gains"``.

    Raises:
        UnknownName: There is no such strategy or ``by``.
        InvalidQuery: ``samples`` is no whole number of at least 1.
    """

    name: ClassVar[str] = "oracle_greedy"
    ceiling: ClassVar[bool] = True
    needs: tuple[str, ...] = ("validation",)
    cost: ClassVar[str] = "that of its strategies, and a retraining for each of 34 queries"
    source: ClassVar[str] = "alenv; after Werner et al. 2024, CDALBench, the greedy oracle"

    def __init__(
        self, strategies: str | Sequence[str] = PROPOSING, samples: int = 30, by: str = "peek"
    ) -> None:
        self.by = options.word("by", by, ("peek", "gains"))
        self._names = tuple(among_candidates(name) for name in names_of(strategies))
        self._parts = strategies_of(self._names)
        self.samples = options.whole("samples", samples)
        self.needs = ("validation", *needs_of(self._parts))
        self._env: ActiveLearningEnv | BatchedEnv | None = None
        self._players: list[InBatch] = []

    def lend(self, env: ActiveLearningEnv | BatchedEnv) -> None:
        """Takes the environment to peek at, or a batch of them."""
        self._env = env
        self._players = [InBatch(name, env) for name in self._names] if isinstance(env, BatchedEnv) else []

    def reset(self, view: View, seed: int = 0) -> None:
        """Starts an episode for all strategies.

        Raises:
            PeekNotAllowed: The environment was not handed over.
            MissingHead: ``by="gains"``, and the environment is a single one.
        """
        self._lent()
        if self.by == "gains":
            raise MissingHead(
                "by=gains was given, and a single environment has no closed-form gains; evaluate on one with a ridge "
                "head, or leave by=peek."
            )
        super().reset(view, seed)
        for part in self._parts:
            part.reset(view, seed)

    def act(self, observation: Any) -> Indices:
        """Returns the best of the queries that are tried, int64 (B,); the observation is not used."""
        view = self.view
        proposed = [part.query(view, self.stream()) for part in self._parts]
        drawn = self._drawn(view.candidates, view.unlabeled, view.query_size, self.stream())
        asked = np.concatenate([np.stack(proposed), drawn])
        best: Indices = asked[int(self._lent().peek(asked).argmax())]
        return best

    def act_in_batch(self, batch: BatchView, seeds: Sequence[int]) -> Indices:
        """Returns the same of all episodes, int64 (E, B), by one ``peek``; or what is greedy on gains."""
        env = self._lent()
        if self.by == "gains":
            assert isinstance(env, BatchedEnv), "a single environment is refused"
            return env.greedy(batch.candidates)
        proposed = np.stack([player.act() for player in self._players], axis=1)  # (E, M, B)
        streams = [
            torch_stream(int(s), Purpose.AGENT, int(c)) for s, c in zip(seeds, batch.cycle, strict=True)
        ]
        drawn = [
            self._drawn(candidates, np.flatnonzero(~taken), batch.query_size, stream)
            for candidates, taken, stream in zip(batch.candidates, batch.is_labeled, streams, strict=True)
        ]
        asked = np.concatenate([proposed, np.stack(drawn)], axis=1)
        best: Indices = asked[np.arange(len(asked)), env.peek(asked).argmax(1)]
        return best

    def _lent(self) -> ActiveLearningEnv | BatchedEnv:
        if self._env is None:
            raise PeekNotAllowed(
                f"{self.name} was not handed an environment to peek at; make it with allow_peek=True and a validation "
                "split, and call agent.lend(env.unwrapped) before reset."
            )
        return self._env

    def _drawn(
        self, candidates: Indices, unlabeled: Indices, count: int, generator: torch.Generator
    ) -> Indices:
        """Draws queries of candidates, or of what is unlabeled where they are too few, int64 (samples, count)."""
        indices = np.unique(candidates)
        indices = unlabeled if len(indices) < count else indices
        return np.stack([at_random(indices, count, generator) for _ in range(self.samples)])
