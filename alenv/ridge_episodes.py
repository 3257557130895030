"""Many episodes of one environment with a ridge head: what was bought, the heads, and how good they are."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv import observation, queries, rewards
from alenv.descriptors import Descriptors, Situation, describe
from alenv.env import ActiveLearningEnv
from alenv.episode_batch import EpisodeBatch
from alenv.learners.linear import embedding_of
from alenv.learners.ridge import penalties_of
from alenv.learners.ridge_batch import HeldOut, RidgeBatch
from alenv.learners.ridge_heads import Heads, RidgeOfBatch
from alenv.view import View

Indices = NDArray[np.int64]
_SCORES = 2**24  # scores that ``worth`` computes at once, 64 MB


class RidgeEpisodes:
    """E episodes of an environment, each in a cycle of its own; their heads are one batch.

    Attributes:
        one: The environment, which gives settings, pool, initial sets and labels; it is never stepped.
        recipe, protocol, options, runtime: Its settings.
        purchases: What was bought, and the accuracies.
        embedding: float32 (N, D), of the pool.
        num_classes: C.
        classes: bool (E, C), the classes that each episode has.
        query_sizes: int64 (E,), how many images of a query each episode buys.
    """

    def __init__(self, one: ActiveLearningEnv, episodes: int) -> None:
        """Allocates E episodes; ``begin`` starts them."""
        self.one = one
        self.recipe, self.protocol = one.recipe, one.protocol
        self.options, self.runtime = one.options, one.runtime
        self.embedding = embedding_of(one._images)
        self.num_classes = classes = len(one.class_names)
        penalty, protocol = one.recipe.ridge_penalty, one.protocol
        penalties = penalties_of(penalty)
        self._penalties = torch.tensor([penalties], dtype=torch.float32, device=self.device)
        self._ridge = RidgeBatch(episodes, self.embedding.shape[1], classes, len(penalties), self.device)
        self._before: Heads | None = None  # of the cycle before
        self._oracles = [copy.copy(one._oracle) for _ in range(episodes)]
        self._splits = {"test": one._test} if one.options.test else {}
        if one._held_out is not None:
            self._splits["validation"] = one._held_out
        self._columns = {
            name: embedding_of(split.images).T.contiguous() for name, split in self._splits.items()
        }
        sizes = protocol.initial_size, protocol.query_size, protocol.cycles
        self.purchases = EpisodeBatch(episodes, len(one.rows), classes, *sizes)
        self.classes = np.ones((episodes, classes), dtype=bool)
        self.query_sizes = np.full(episodes, protocol.query_size, dtype=np.int64)
        self._views: dict[int, View] = {}

    @property
    def _measured(self) -> tuple[str, ...]:
        return tuple(self._splits)

    @property
    def device(self) -> torch.device:
        """Where tensors lie."""
        return self.embedding.device

    @property
    def heads(self) -> Heads:
        """What is fitted, (E, C, D) and (E, C)."""
        return self._ridge.heads

    def rows(self, which: Indices, indices: Indices) -> Tensor:
        """Returns the embedding of pool indices (n, m) of some episodes (n,), float32 (n, m, D)."""
        return _gathered(self.embedding, indices)

    def unit_rows(self, indices: Indices) -> Tensor:
        """Returns the same of all episodes as observations show it, of unit length."""
        return _gathered(self._unit, indices)

    @cached_property
    def _unit(self) -> Tensor:
        return torch.nn.functional.normalize(self.embedding, dim=1).nan_to_num(0.0).clamp(-1, 1)

    # ---- one cycle ------------------------------------------------------------------------------------------

    def begin(self, which: Indices, keys: list[int]) -> None:
        """Starts some episodes, int64 (n,), with their keys: buys the initial sets, fits and measures."""
        with self.runtime.active():
            initial = np.stack([self.one._initial_sets.of(key) for key in keys])
        for i, key in zip(which, keys, strict=True):
            self._oracles[i].begin(key)
        self.purchases.begin(which, keys)
        self._fit(which, initial, fresh=True)

    def buy(self, which: Indices, indices: Indices, replaced: Indices) -> None:
        """Answers legal queries, int64 (n, B), in some episodes, int64 (n,): fits and measures."""
        self._before = self.heads
        self.purchases.replaced[which] = replaced
        self.purchases.cycle[which] += 1
        self._fit(which, indices, fresh=False)

    def _fit(self, which: Indices, indices: Indices, fresh: bool) -> None:
        labels = np.stack([self._oracles[i].reveal(new) for i, new in zip(which, indices, strict=True)])
        self.purchases.add(which, indices, labels)
        some = torch.from_numpy(which).to(self.device)
        new = self.rows(which, indices), torch.from_numpy(labels).to(self.device)
        with self.runtime.active():
            if fresh:
                classes = torch.ones(
                    len(which), len(self.one.class_names), dtype=torch.bool, device=self.device
                )
                self._ridge.begin(some, self._penalties.expand(len(which), -1), classes, *new)
            else:
                self._ridge.learn(some, *new)
            heads = self.heads if len(which) == len(self._oracles) else self.heads.of(some)
            for name in self._splits:
                right = self._correct(name, heads).cpu().numpy()
                self.purchases.correct[name][which, self.purchases.cycle[which]] = right
        for i in self._views.keys() & set(which.tolist()):
            self._renew(i)

    def _correct(self, name: str, heads: Heads) -> Tensor:
        return heads.correct(self._columns[name], self._splits[name].labels)

    def worth(self, asked: Indices) -> NDArray[np.float64]:
        """Returns the rewards (E, J) of legal queries, int64 (E, J, B), and changes nothing."""
        right = np.zeros(asked.shape[:2], dtype=np.int64)
        columns = self._columns["validation"]
        scores = asked.shape[1] * self.num_classes * columns.shape[1]
        step = max(1, _SCORES // max(scores, 1))
        with self.runtime.active():
            for first in range(0, len(asked), step):
                part = slice(first, first + step)
                answers = [
                    oracle.answer(each) for oracle, each in zip(self._oracles[part], asked[part], strict=True)
                ]
                labels = torch.from_numpy(np.stack(answers)).to(self.device)
                heads = self._ridge.after(part, self.rows(np.arange(len(asked))[part], asked[part]), labels)
                right[part] = self._correct("validation", heads).cpu().numpy()
        return self._rewards(
            self.purchases.now("validation")[:, None], right, self.purchases.cycle[:, None] + 1
        )

    def gains(self, asked: Indices, after: Sequence[Indices] | None = None) -> Tensor:
        """Returns how much each of the pool indices, int64 (E, K), would raise the smooth accuracy, float32 (E, K).

        The labels of ``after``, int64 (t,) of each episode, are learned before, and forgotten again.
        """
        found = []
        with self.runtime.active():
            for i, oracle in enumerate(self._oracles):
                trial, one = self._ridge, slice(i, i + 1)
                if after is not None and len(after[i]):
                    trial, one = self._ridge.of(i), slice(0, 1)
                    before = torch.from_numpy(oracle.answer(after[i])).to(self.device)
                    first = torch.zeros(1, dtype=torch.int64, device=self.device)
                    trial.learn(first, self.rows(np.array([i]), after[i][None]), before[None])
                labels = torch.from_numpy(oracle.answer(asked[i]))[None].to(self.device)
                rows = self.rows(np.array([i]), asked[i : i + 1])
                found.append(trial.gains(one, rows, labels, self._held_out(i)))
        return torch.cat(found)

    def greedy(self, asked: Indices) -> Indices:
        """Returns B places among pool indices, int64 (E, K): each the one of most gain after those before it."""
        found = []
        with self.runtime.active():
            for i, oracle in enumerate(self._oracles):
                labels = torch.from_numpy(oracle.answer(asked[i]))[None].to(self.device)
                rows = self.rows(np.array([i]), asked[i : i + 1])
                trial, first = self._ridge.of(i), np.zeros(asked.shape[1], dtype=bool)
                first[np.unique(asked[i], return_index=True)[1]] = True
                barred = torch.from_numpy(~first).to(self.device)
                picks = []
                for _ in range(self.query_sizes[i]):
                    gains = trial.gains(slice(0, 1), rows, labels, self._held_out(i))[0]
                    place = gains.masked_fill(barred, -torch.inf).argmax().view(1)
                    barred = barred.index_fill(0, place, True)
                    trial.learn(torch.zeros_like(place), rows[:, place], labels[:, place])
                    picks.append(place)
                chosen = torch.cat(picks).cpu().numpy()
                found.append(np.pad(chosen, (0, self.protocol.query_size - len(chosen))))
        return np.stack(found)

    def _held_out(self, index: int) -> HeldOut:
        """Returns what the smooth accuracy of an episode is measured on."""
        return HeldOut(self._columns["validation"], self._splits["validation"].labels)

    # ---- what describes candidates --------------------------------------------------------------------------

    def described(self, candidates: Indices, logits: Tensor) -> Descriptors:
        """Describes candidates, int64 (E, K), with their logits (E, K, C)."""
        own, landmarks = self.purchases, self.one._images.landmarks
        longest = int(own.count.max())
        labeled = np.where(np.arange(longest) < own.count[:, None], own.labeled[:, :longest], 0)
        with self.runtime.active():
            rows = torch.from_numpy(candidates).to(self.device)
            situation = Situation(
                logits=logits.contiguous(),
                points=landmarks.points(rows),
                typicality=landmarks.typicality(rows),
                labeled=landmarks.points(torch.from_numpy(labeled).to(self.device)),
                labels=torch.from_numpy(own.labels[:, :longest].copy()).to(self.device),
                anchors=landmarks.anchors,
                query_size=self.protocol.query_size,
            )
            return describe(situation)

    def positions(self, indices: Indices) -> Tensor:
        """Returns where images lie, float32 (E, n, d), for pool indices int64 (E, n)."""
        with self.runtime.active():
            return self.one._images.landmarks.points(torch.from_numpy(indices).to(self.device))

    def legal(self, which: Indices, chosen: Indices, refuse: bool) -> tuple[Indices, Indices]:
        """Returns legal queries for int64 (n, B) to some episodes (n,), and how many indices of each were replaced.

        Raises:
            InvalidQuery: With ``refuse``, an index is labeled or repeated.
        """
        own, replaced = self.purchases, np.zeros(len(which), dtype=np.int64)
        chosen = chosen.astype(np.int64)
        for place in np.flatnonzero(own.wrong(which, chosen)):
            i = which[place]
            chosen[place], replaced[place] = queries.legalized(
                chosen[place], own.taken[i].copy(), own.keys[i], int(own.cycle[i]), refuse
            )
        return chosen, replaced

    def check_peek(self) -> None:
        """Raises ``PeekNotAllowed`` where the settings do not allow to peek."""
        self.one.check_peek()

    # ---- what is told of them -------------------------------------------------------------------------------

    def earned(self) -> NDArray[np.float64]:
        """Returns the rewards of the last cycle, float64 (E,)."""
        name = "validation" if "validation" in self._splits else "test"
        return self._rewards(self.purchases.before(name), self.purchases.now(name), self.purchases.cycle)

    def _rewards(self, before: Indices, now: Indices, cycle: Indices) -> NDArray[np.float64]:
        one = self.one
        total = one.protocol.validation or one.test_size
        found: NDArray[np.float64] = rewards.between(
            one.options.reward, before, now, cycle, total, max(one.protocol.cycles, 1)
        )
        return found

    def facts(self) -> dict[str, NDArray[Any]]:
        """Returns what ``info`` tells in every cycle, arrays (E, ...)."""
        own = self.purchases
        facts = {"cycle": own.cycle, "labeled_count": own.count, "class_counts": own.class_counts}
        return facts | {
            f"{name}_accuracy": own.now(name) / len(split.labels) for name, split in self._splits.items()
        }

    def progress(self) -> observation.Float32:
        """Returns ``observation.progress`` of all episodes, float32 (E, 7)."""
        protocol, own = self.protocol, self.purchases
        accuracies: tuple[Any, Any] = (0.0, 0.0)
        if protocol.validation:
            accuracies = (
                own.now("validation") / protocol.validation,
                own.before("validation") / protocol.validation,
            )
        return observation.progress(
            own.cycle / max(protocol.cycles, 1),
            own.count / max(protocol.initial_size + int(protocol.budget), 1),
            accuracies,
            own.class_counts,
        )

    def candidates(self, index: int) -> Indices:
        """Draws the candidates of one episode, int64 (K,)."""
        own = self.purchases
        return queries.drawn_candidates(
            own.taken[index],
            int(own.count[index]),
            own.keys[index],
            int(own.cycle[index]),
            self.candidate_count,
        )

    @property
    def candidate_count(self) -> int:
        """K."""
        count = self.options.candidates
        assert count is not None, "an environment has resolved it"
        return count

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Draws one episode; see ``ActiveLearningEnv.render``."""
        return self.one.picture(self.purchases.of(index, self._measured))

    # ---- one episode as a view ------------------------------------------------------------------------------

    def view(self, index: int) -> View:
        """Returns the view of one episode, renewed with every cycle."""
        if index not in self._views:
            one, costs, validation = self.one, dict[str, float](), None
            learner = RidgeOfBatch(one.recipe, self.embedding.shape[1], len(one.class_names), one.runtime)
            if one._view.validation is not None:
                validation = one._view.validation._scored_by(learner, costs)
            self._views[index] = View(
                one._view._facts,
                learner,
                one._images,
                oracle=self._oracles[index],
                validation=validation,
                costs=costs,
            )
            self._renew(index)
        return self._views[index]

    def _renew(self, index: int) -> None:
        view, episode = self._views[index], self.purchases.of(index, self._measured)
        view._learner.set_state({"weights": self._weights(self.heads, index)})
        previous = None
        if episode.cycle:
            assert self._before is not None, "a query came before"
            previous = {"weights": self._weights(self._before, index)}
        view._renew(episode, previous)

    def _weights(self, heads: Heads, index: int) -> Tensor:
        return heads.weights(index)


def _gathered(source: Tensor, indices: Indices) -> Tensor:
    """Returns rows of (N, D) for positions (n, m), float32 (n, m, D)."""
    flat = torch.from_numpy(indices.ravel()).to(source.device)
    return source.index_select(0, flat).view(*indices.shape, source.shape[1])
