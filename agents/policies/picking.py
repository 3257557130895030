"""An environment in which a policy picks the images of a query one after another."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from agents.policies.candidates import DescribeCandidates, Shown, described, described_space, sizes
from agents.policies.wrapping import Choices, chosen_number
from alenv import View
from alenv.errors import InvalidQuery, InvalidState

PICK_COLUMNS = ("picked", "distance")
FARTHEST = 2.0  # two images of opposite positions


class PickOneByOne(DescribeCandidates):
    """A step picks one of the K candidates; once B are picked, their labels are bought and the classifier is retrained.

    Observation: as ``DescribeCandidates``, and ``candidates`` has two columns more, float32 (K, 31): 1 where an image
    is picked already, else 0; and the distance of its position to the nearest picked one, in [0, 2], 2 while there is
    none (see ``alenv.descriptors`` for positions).

    Action: ``Choices``, a number from 0 to K - 1; ``action_masks()`` tells which are not picked yet, as a mask for
    ``sample``. One that is picked already becomes a repeated index of the query, for which the environment has its
    rule (``on_invalid``).

    Reward, info: 0 and nothing but ``picked``, the count, until B are picked; then the environment's. Episode end:
    the environment's. An episode has B steps for each of the environment's.

    Trains with PPO or A2C, ``agents.SetPickPolicy``; for DQN with ``"MultiInputPolicy"`` what is said of SAC in
    ``ScoreCandidates`` holds.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        """Wraps an environment of alenv.

        Raises:
            InvalidQuery: The environment shows fewer candidates than a query takes.
        """
        super().__init__(env)
        count, self._size = sizes(self.inside)
        self.action_space = Choices(count)
        self.observation_space = described_space(count, len(PICK_COLUMNS))
        self._picked: list[int] = []

    def action_masks(self) -> NDArray[np.bool_]:
        """Returns which candidates are not picked yet, bool (K,); the name is that of sb3-contrib."""
        candidates = self.view.candidates
        free: NDArray[np.bool_] = ~np.isin(candidates, candidates[self._picked])
        return free if free.any() else np.ones_like(free)

    def step(self, action: Any) -> tuple[Shown, float, bool, bool, dict[str, Any]]:
        """Picks a candidate, and with the last of B buys their labels.

        Raises:
            EpisodeOver: The budget is spent.
            InvalidQuery: There is no candidate of that number, or with ``on_invalid="raise"`` it is picked already;
                the state is unchanged.
        """
        position = chosen_number(action, self.action_space, "Candidate")
        inside = self.inside
        inside.check_budget()
        if inside.options.on_invalid == "raise" and not self.action_masks()[position]:
            raise InvalidQuery(
                f"Candidate {position} is picked already; pick one that action_masks() allows."
            )
        if len(self._picked) + 1 < self._size:
            self._picked.append(position)
            return self._observation(), 0.0, False, False, {"picked": len(self._picked)}
        query = inside.view.candidates[[*self._picked, position]]
        _, reward, terminated, truncated, info = self.env.step(query)
        self._picked = []
        return self._observation(), float(reward), terminated, truncated, {**info, "picked": self._size}

    def _begin(self, kept: dict[str, Any]) -> None:
        picked = kept.get("picked", [])
        count = len(self.view.candidates)
        if len(picked) >= self._size or not all(isinstance(at, int) and 0 <= at < count for at in picked):
            raise InvalidState(f"The state's picks are {picked!r}; give what get_state returned, unchanged.")
        self._picked = list(picked)

    def _kept(self) -> dict[str, Any]:
        return {"picked": list(self._picked)}

    def _observation(self) -> Shown:
        return described_with_picks(self.view, self._picked)


def described_with_picks(view: View, picked: list[int]) -> Shown:
    """Returns the observation of ``PickOneByOne``.

    Args:
        view: What may be read.
        picked: Positions among the candidates.
    """
    shown = described(view)
    columns = _pick_columns(view, picked).cpu().numpy()
    return {**shown, "candidates": np.concatenate([shown["candidates"], columns], axis=1)}


def _pick_columns(view: View, picked: list[int]) -> torch.Tensor:
    candidates = view.candidates
    columns = torch.zeros(len(candidates), 2, device=view.device)
    columns[:, 1] = FARTHEST
    if picked:
        columns[:, 0] = torch.from_numpy(np.isin(candidates, candidates[picked])).to(columns)
        points = view.positions(candidates)
        cosines = (points @ points[picked].T).amax(1)
        columns[:, 1] = (2 - 2 * cosines).clamp(0, FARTHEST**2).sqrt()
    return columns
