"""Trained policies as agents: they read the view, and do what their wrapper did in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from agents.base import Agent, Indices, Strategy
from agents.compose import made_inside, needs_of, restore, states_of
from agents.policies.acting import Brain
from agents.policies.candidates import described
from agents.policies.mixing import checked_scores, filled, mixed_query, top_candidates
from agents.policies.picking import described_with_picks
from agents.policies.wrapping import chosen_scores
from agents.spelling import POLICY
from alenv.errors import InvalidQuery

if TYPE_CHECKING:
    from alenv import View


class LearnedPolicy(Agent):
    """A policy that was trained in a wrapper, and plays in the environment itself.

    Args:
        brain: Maps what the wrapper showed to its action.
        arguments: Those of the wrapper.
        deterministic: Take the preferred action; otherwise draw one by its probability.
        candidates: K that the policy is bound to; None = any.
        query_size: B that the policy is bound to; None = any.
    """

    name: ClassVar[str] = POLICY

    def __init__(
        self,
        brain: Brain,
        arguments: dict[str, Any],
        deterministic: bool = True,
        candidates: int | None = None,
        query_size: int | None = None,
    ) -> None:
        self._brain = brain
        self._deterministic = deterministic
        self._sizes = (candidates, query_size)
        self._take(**arguments)

    def _take(self) -> None:
        """Takes the arguments of the wrapper."""

    def reset(self, view: View, seed: int = 0) -> None:
        """Starts an episode.

        Raises:
            MissingHead: The recipe does not offer what the policy reads.
            InvalidQuery: The policy was trained for other numbers of candidates and of images in a query.
        """
        super().reset(view, seed)
        for name, wanted, there in zip(
            ("candidates", "query_size"), self._sizes, (len(view.candidates), view.query_size), strict=True
        ):
            if wanted not in (None, there):
                raise InvalidQuery(
                    f"The policy was trained with {name}={wanted} and cannot act on {there}; make the environment "
                    "with as many, or train a set policy, which acts on any number."
                )

    def _action(self, observation: Any, stream: torch.Generator) -> Any:
        return self._brain.act(observation, self.view.query_size, None if self._deterministic else stream)

    def _stats(self) -> Any:
        return np.asarray(self.view.observation("stats"), dtype=np.float32)

    def _distinct(self, positions: Any, stream: torch.Generator) -> Indices:
        """Returns the candidates at some positions, each once; others at random in place of repeated ones."""
        chosen = self.view.candidates[positions]
        first = np.sort(np.unique(chosen, return_index=True)[1])
        return filled(self.view, chosen[first], stream)


class StrategyChooser(LearnedPolicy):
    """Reads the state of learning and delegates each query to one of several agents.

    The one that made the query is told what it earned; all keep their states.
    """

    cost: ClassVar[str] = "one inference pass over the candidates, and that of the chosen strategy"
    source: ClassVar[str] = "trained with Stable-Baselines3 on ChooseStrategy"

    def _take(self, strategies: list[str]) -> None:  # type: ignore[override]  # each wrapper has its own arguments
        self._agents = [made_inside(name) for name in strategies]
        self.needs = ("validation", *needs_of(self._agents))
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
        agent = self._chosen = self._agents[int(self._action(self._stats(), stream))]
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


class ScoreMixer(LearnedPolicy):
    """Reads the state of learning, and queries the candidates with the highest weighted sum of scores."""

    needs: tuple[str, ...] = ("validation",)
    cost: ClassVar[str] = "one inference pass over the candidates, and K^2 distances between them"
    source: ClassVar[str] = "trained with Stable-Baselines3 on MixScores"

    def _take(self, scores: list[str]) -> None:  # type: ignore[override]  # each wrapper has its own arguments
        self._names = checked_scores(scores)

    def act(self, observation: Any) -> Indices:
        """Weighs the scores by ``stats``; the observation itself is not used."""
        stream = self.stream()
        weights = chosen_scores(self._action(self._stats(), stream), len(self._names), "score")
        return mixed_query(self.view, self._names, weights, stream)


class CandidateChooser(LearnedPolicy):
    """Sees what describes each candidate, and names the query at once."""

    cost: ClassVar[str] = "one inference pass over the candidates, and K^2 distances between them"
    source: ClassVar[str] = "trained with Stable-Baselines3 on TopOfCandidates"

    def act(self, observation: Any) -> Indices:
        """Chooses positions; the observation itself is not used."""
        stream = self.stream()
        return self._distinct(self._action(described(self.view), stream), stream)


class CandidateScorer(LearnedPolicy):
    """Sees what describes each candidate, and queries those that it scores highest."""

    cost: ClassVar[str] = CandidateChooser.cost
    source: ClassVar[str] = "trained with Stable-Baselines3 on ScoreCandidates"

    def act(self, observation: Any) -> Indices:
        """Scores the candidates; the observation itself is not used."""
        stream = self.stream()
        action = self._action(described(self.view), stream)
        scores = torch.from_numpy(chosen_scores(action, len(self.view.candidates), "candidate"))
        return top_candidates(self.view, scores, stream)


class CandidatePicker(LearnedPolicy):
    """Sees what describes each candidate, and picks the images of a query one after another."""

    cost: ClassVar[str] = "as CandidateChooser, and B passes through the policy's network"
    source: ClassVar[str] = "trained with Stable-Baselines3 on PickOneByOne"

    def act(self, observation: Any) -> Indices:
        """Picks B times; the observation itself is not used."""
        stream = self.stream()
        picked: list[int] = []
        for _ in range(self.view.query_size):
            picked.append(int(self._action(described_with_picks(self.view, picked), stream)))
        return self._distinct(picked, stream)
