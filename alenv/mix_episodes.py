"""Many episodes, each with a task of its own: other classes, features, sizes and penalties, in one batch."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize as unit_length

from alenv import data, observation, queries, rewards
from alenv.descriptors import Descriptors
from alenv.embedding import embed
from alenv.episode_batch import EpisodeBatch
from alenv.errors import PeekNotAllowed
from alenv.learners.images import ImageSet, resident
from alenv.learners.ridge_batch import HeldOut, RidgeBatch
from alenv.learners.ridge_heads import Heads, RidgeOfBatch
from alenv.oracle import Oracle
from alenv.pool import OUTLIER
from alenv.presets import resolve
from alenv.ridge_episodes import RidgeEpisodes
from alenv.runtime import Runtime
from alenv.scores import Facts
from alenv.seeding import Purpose, numpy_stream
from alenv.settings import Options, Protocol, Recipe
from alenv.tasks import DrawnTask, TaskDistribution
from alenv.view import Validation, View

Indices = NDArray[np.int64]


class MixEpisodes(RidgeEpisodes):
    """E episodes whose tasks are drawn with them.

    All arrays are as large as the largest task needs. Features behind an episode's own are zeros, classes behind its
    own have probability zero, pool indices behind its pool count as labeled, and of a query the first
    ``query_sizes[i]`` images are bought.

    Attributes:
        tasks: The task of each episode, once it has begun.
    """

    def __init__(
        self, distribution: TaskDistribution, options: Options, runtime: Runtime, episodes: int
    ) -> None:
        """Loads the datasets and their embeddings; ``begin`` starts episodes."""
        self.distribution, self.options, self.runtime = distribution, options, runtime
        self._recipes = [resolve(name, "ridge", {}).recipe for name in distribution.datasets]
        self._datasets = [data.load(name) for name in distribution.datasets]
        tables = [
            embed(each, str(recipe.embedding), recipe.embedding_size, recipe)[: len(each.train_labels)]
            for each, recipe in zip(self._datasets, self._recipes, strict=True)
        ]
        self._labels = tuple(each.train_labels for each in self._datasets)
        self._sizes = tuple(table.shape[1] for table in tables)
        size = min(distribution.feature_size[1], max(self._sizes))
        starts = np.cumsum([0, *map(len, tables)])
        self._starts = starts[:-1]
        self.embedding = torch.zeros(int(starts[-1]), size, device=runtime.device)
        for start, table in zip(starts, tables, strict=False):
            kept = torch.from_numpy(np.array(table[:, :size]))
            self.embedding[start : start + len(table), : kept.shape[1]] = kept.to(runtime.device)
        self._means = [self._class_means(place) for place in range(len(tables))]
        self.num_classes = min(distribution.classes[1], max(each.num_classes for each in self._datasets))
        self.recipe: Recipe = self._recipes[0]
        first, query, cycles = distribution.most_initial, distribution.query_size, distribution.cycles
        self.protocol = Protocol(
            initial_size=first,
            query_size=query,
            budget=query * cycles,
            validation=distribution.validation,
            pool_size=distribution.pool_size,
        )
        self._ridge = RidgeBatch(episodes, size, self.num_classes, 1, self.device)
        self._before = None
        self.purchases = EpisodeBatch(
            episodes, distribution.pool_size, self.num_classes, first, query, cycles
        )
        self.classes = np.ones((episodes, self.num_classes), dtype=bool)
        self.query_sizes = np.full(episodes, query, dtype=np.int64)
        self._oracles = [Oracle(np.zeros(1, dtype=np.int64), self.num_classes, 0.0) for _ in range(episodes)]
        self._views = {}
        self.tasks: list[DrawnTask] = []
        self._rows = np.zeros((episodes, distribution.pool_size), dtype=np.int64)  # of ``embedding``
        self._have = torch.zeros(episodes, 1, size, device=self.device)  # 1 for a feature that an episode has
        # What the separation adds to the features of each class; of no class is what no task has.
        self._added = torch.zeros(episodes, self.num_classes + 1, size, device=self.device)
        self._class_of = torch.full(
            (episodes, len(self.embedding)), OUTLIER, dtype=torch.int8, device=self.device
        )
        self._split = torch.zeros(episodes, distribution.validation, size, device=self.device)
        self._split_labels = torch.full((episodes, distribution.validation), OUTLIER, device=self.device)
        self._split_sizes = np.ones(episodes, dtype=np.int64)

    @property
    def _measured(self) -> tuple[str, ...]:
        return ("validation",)

    # ---- one cycle ------------------------------------------------------------------------------------------

    def rows(self, which: Indices, indices: Indices) -> Tensor:
        """Returns the embedding of pool indices (n, m) of some episodes (n,), float32 (n, m, D), of unit length."""
        return self._embedded(which, self._rows[which[:, None], indices])

    def unit_rows(self, indices: Indices) -> Tensor:
        """Returns the same of all episodes."""
        return self.rows(np.arange(len(indices)), indices).clamp(-1, 1)

    def _embedded(self, which: Indices, rows: Indices) -> Tensor:
        places, episodes = (torch.from_numpy(each).to(self.device) for each in (rows, which))
        found = self.embedding.index_select(0, places.flatten()).view(*rows.shape, -1)
        found = unit_length(found * self._have[episodes], dim=-1)
        classes = self._class_of[episodes[:, None], places].long()  # OUTLIER = -1 is the last one, zeros
        return unit_length(found + self._added[episodes[:, None], classes], dim=-1)

    def _class_means(self, dataset: int) -> Tensor:
        """Returns the mean embedding of each class of a dataset, float32 (classes of the dataset, D)."""
        labels = torch.tensor(self._labels[dataset], device=self.device)
        start = int(self._starts[dataset])
        rows = unit_length(self.embedding[start : start + len(labels)], dim=1)
        sums = rows.new_zeros(int(labels.max()) + 1, rows.shape[1]).index_add_(0, labels, rows)
        return sums / labels.bincount()[:, None]

    def _separate(self, index: int, task: DrawnTask) -> None:
        """Prepares what is added to the features of an episode's images."""
        start, labels = self._starts[task.dataset], task.classes[self._labels[task.dataset]]
        self._class_of[index, start : start + len(labels)] = torch.from_numpy(labels.astype(np.int8)).to(
            self.device
        )
        groups = torch.from_numpy(task.classes).to(self.device)
        for label in range(task.num_classes):
            mean = self._means[task.dataset][groups == label].mean(0)
            self._added[index, label] = task.separation * mean * self._have[index, 0]

    def begin(self, which: Indices, keys: list[int]) -> None:
        """Starts some episodes, int64 (n,), with their keys: draws tasks, buys the initial sets, fits and measures."""
        drawn = [self.distribution.draw(key, self._labels, self._sizes) for key in keys]
        self.tasks = self.tasks or [drawn[0]] * len(self._oracles)
        self.purchases.begin(which, keys)
        for i, key, task in zip(which.tolist(), keys, drawn, strict=True):
            self._take_up(i, key, task)
        initial = np.zeros((len(which), max(task.initial_size for task in drawn)), dtype=np.int64)
        for row, key, task in zip(initial, keys, drawn, strict=True):
            stream = numpy_stream(key, Purpose.INITIAL_SET)
            row[: task.initial_size] = stream.choice(len(task.rows), task.initial_size, replace=False)
        self._fit(which, initial, fresh=True)

    def _take_up(self, index: int, key: int, task: DrawnTask) -> None:
        """Makes a task that of an episode."""
        start, count = self._starts[task.dataset], len(task.rows)
        labels = task.classes[self._labels[task.dataset]]
        self.tasks[index] = task
        self._views.pop(index, None)
        self._rows[index, :count] = start + task.rows
        self.purchases.taken[index, count:] = True
        self.purchases.initial_size[index] = task.initial_size
        self.classes[index] = np.arange(self.num_classes) < task.num_classes
        self.query_sizes[index] = task.query_size
        self._have[index, 0] = (torch.arange(self._have.shape[2]) < task.feature_size).to(self._have)
        self._separate(index, task)
        self._oracles[index] = Oracle(labels[task.rows], task.num_classes, task.label_noise)
        self._oracles[index].begin(key)
        held_out = len(task.validation)
        self._split_sizes[index] = held_out
        self._split_labels[index] = OUTLIER  # of no class: never right
        self._split_labels[index, :held_out] = torch.from_numpy(labels[task.validation]).to(self.device)
        rows = np.full(self._split.shape[1], start, dtype=np.int64)
        rows[:held_out] = start + task.validation
        self._split[index] = self._embedded(np.array([index]), rows[None])[0]

    def _fit(self, which: Indices, indices: Indices, fresh: bool) -> None:
        own, device = self.purchases, self.device
        labels = np.full(indices.shape, OUTLIER, dtype=np.int64)  # what is not bought teaches nothing
        for place, i in enumerate(which.tolist()):
            count = self.tasks[i].initial_size if fresh else self.tasks[i].query_size
            bought = indices[place, :count]
            labels[place, :count] = self._oracles[i].reveal(bought)
            own.add(which[place : place + 1], bought[None], labels[place : place + 1, :count])
        some = torch.from_numpy(which).to(device)
        with self.runtime.active():
            new = self.rows(which, indices), torch.from_numpy(labels).to(device)
            if fresh:
                penalties = torch.tensor([[self.tasks[i].penalty] for i in which], device=device)
                self._ridge.begin(some, penalties, torch.from_numpy(self.classes[which]).to(device), *new)
            else:
                self._ridge.learn(some, *new)
            right = self._right(some, self.heads.of(some))
        own.correct["validation"][which, own.cycle[which]] = right.cpu().numpy()
        for i in self._views.keys() & set(which.tolist()):
            self._renew(i)

    def _right(self, some: Tensor, heads: Heads) -> Tensor:
        """Counts the right ones of each episode's own split for heads (n, C, D), int64 (n,)."""
        predicted = heads.classes_of(self._split[some])
        return (predicted == self._split_labels[some]).sum(1)

    def worth(self, asked: Indices) -> NDArray[np.float64]:
        """Returns the rewards (E, J) of legal queries, int64 (E, J, B), and changes nothing."""
        right = np.zeros(asked.shape[:2], dtype=np.int64)
        for i, (each, task) in enumerate(zip(asked, self.tasks, strict=True)):
            bought = each[:, : task.query_size]
            labels = torch.from_numpy(self._oracles[i].answer(bought)).to(self.device)
            some = torch.full((len(each),), i, device=self.device)
            with self.runtime.active():
                rows = self.rows(np.array([i]), bought.reshape(1, -1)).view(1, *bought.shape, -1)
                tried = self._ridge.after(slice(i, i + 1), rows, labels[None])
                right[i] = self._right(some, Heads(*(part[0] for part in tried))).cpu().numpy()
        own = self.purchases
        return self._worth(own.now("validation")[:, None], right, own.cycle[:, None] + 1)

    def _held_out(self, index: int) -> HeldOut:
        count = int(self._split_sizes[index])
        return HeldOut(self._split[index, :count].T, self._split_labels[index, :count])

    def described(self, candidates: Indices, logits: Tensor) -> Descriptors:
        """As for one task; each episode describes its candidates by its own landmarks."""
        found = [self.view(i).descriptors(each) for i, each in enumerate(candidates)]
        return Descriptors(*(torch.stack(parts) for parts in zip(*found, strict=True)))

    def positions(self, indices: Indices) -> Tensor:
        """As for one task, zeros behind the components of an episode."""
        found = [self.view(i).positions(each) for i, each in enumerate(indices)]
        width = max(each.shape[1] for each in found)
        return torch.stack([torch.nn.functional.pad(each, (0, width - each.shape[1])) for each in found])

    def legal(self, which: Indices, chosen: Indices, refuse: bool) -> tuple[Indices, Indices]:
        """As for one task, of the images that an episode buys; -1 behind them."""
        own, replaced = self.purchases, np.zeros(len(which), dtype=np.int64)
        legal = np.full(chosen.shape, -1, dtype=np.int64)
        for place, i in enumerate(which.tolist()):
            query = chosen[place, : self.query_sizes[i]].astype(np.int64)
            if own.wrong(which[place : place + 1], query[None])[0]:
                query, replaced[place] = queries.legalized(
                    query, own.taken[i].copy(), own.keys[i], int(own.cycle[i]), refuse
                )
            legal[place, : len(query)] = query
        return legal, replaced

    def check_peek(self) -> None:
        """Raises ``PeekNotAllowed`` without ``allow_peek=True``."""
        if not self.options.allow_peek:
            raise PeekNotAllowed(
                "peek reads labels that were not bought; make the environment with allow_peek=True."
            )

    # ---- what is told of them -------------------------------------------------------------------------------

    def earned(self) -> NDArray[np.float64]:
        """Returns the rewards of the last cycle, float64 (E,)."""
        own = self.purchases
        return self._worth(own.before("validation"), own.now("validation"), own.cycle)

    def _worth(self, before: Indices, now: Indices, cycle: Indices) -> NDArray[np.float64]:
        total = self._split_sizes.reshape(-1, *(1,) * (now.ndim - 1))
        found = rewards.between(self.options.reward, before, now, cycle, total, self.protocol.cycles)
        return np.asarray(found, dtype=np.float64)

    def facts(self) -> dict[str, NDArray[Any]]:
        """Returns what ``info`` tells in every cycle, arrays (E, ...)."""
        own = self.purchases
        return {
            "cycle": own.cycle,
            "labeled_count": own.count,
            "class_counts": own.class_counts,
            "validation_accuracy": own.now("validation") / self._split_sizes,
            "num_classes": self.classes.sum(1),
            "query_size": self.query_sizes,
            "feature_size": np.array([task.feature_size for task in self.tasks]),
        }

    def progress(self) -> observation.Float32:
        """Returns ``observation.progress`` of all episodes, float32 (E, 7)."""
        own, cycles = self.purchases, self.protocol.cycles
        accuracies = own.now("validation") / self._split_sizes, own.before("validation") / self._split_sizes
        most = own.initial_size + cycles * self.query_sizes
        return observation.progress(
            own.cycle / cycles, own.count / most, accuracies, own.class_counts, self.classes
        )

    def candidates(self, index: int) -> Indices:
        """Draws the candidates of one episode, int64 (K,)."""
        own, pool = self.purchases, len(self.tasks[index].rows)
        taken, key, cycle = own.taken[index, :pool], own.keys[index], int(own.cycle[index])
        return queries.drawn_candidates(taken, int(own.count[index]), key, cycle, self.candidate_count)

    # ---- one episode as a view ------------------------------------------------------------------------------

    def view(self, index: int) -> View:
        """Returns the view of one episode, of its own sizes; renewed with every cycle, another one with each task."""
        if index not in self._views:
            task, costs = self.tasks[index], dict[str, float]()
            recipe = dataclasses.replace(
                self._recipes[task.dataset], ridge_penalty=task.penalty, embedding_size=task.feature_size
            )
            protocol = Protocol(
                initial_size=task.initial_size,
                query_size=task.query_size,
                budget=task.query_size * self.protocol.cycles,
                validation=len(task.validation),
            )
            facts = Facts(
                recipe, protocol, self.runtime, task.num_classes, self.candidate_count, '"ALMix-v0"'
            )
            learner = RidgeOfBatch(recipe, task.feature_size, task.num_classes, self.runtime)
            labels = task.classes[self._labels[task.dataset]][task.validation]
            held_out = self._images(index, task, task.validation)
            self._views[index] = View(
                facts,
                learner,
                self._images(index, task, task.rows),
                oracle=self._oracles[index],
                validation=Validation(labels, facts, learner, held_out, costs),
                costs=costs,
            )
            self._renew(index)
        return self._views[index]

    def _images(self, index: int, task: DrawnTask, rows: Indices) -> ImageSet:
        stored = self._datasets[task.dataset]
        images = resident(stored.train_images, f"{stored.checksum} train", self.runtime.device)
        found = ImageSet(images, rows, stored.mean, stored.std)
        embedded = self._embedded(np.array([index]), (self._starts[task.dataset] + rows)[None])[0]
        found.embedding = embedded[:, : task.feature_size].contiguous()
        return found

    def _weights(self, heads: Heads, index: int) -> Tensor:
        task = self.tasks[index]
        slopes = heads.slopes[index, : task.num_classes, : task.feature_size]
        return torch.cat([slopes.T, heads.constants[index, None, : task.num_classes]])
