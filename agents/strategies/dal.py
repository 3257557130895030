"""Discriminative active learning: a small network tells labeled from unlabeled features, again after each part."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents import options
from agents.base import Indices, Strategy, at_random, best
from agents.registry import register
from alenv import fitting

if TYPE_CHECKING:
    from alenv import Runtime, View

HIDDEN = 256
STOP = 0.98  # balanced accuracy; beyond it scores saturate
SHARE = 10  # unlabeled images that are drawn for each labeled one
ROWS = 8192  # scored at once


class DalDiscriminator(nn.Module):
    """Tells labeled features (n, D) from unlabeled ones: logits (n,), high for unlabeled; 3 hidden layers of 256."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for size in (inputs, HIDDEN, HIDDEN):
            layers += [nn.Linear(size, HIDDEN), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(HIDDEN, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Maps features (n, D) to logits (n,)."""
        logits: Tensor = self.layers(features)
        return logits.squeeze(1)


def class_weights(targets: Tensor) -> Tensor:
    """Returns n / n_class for each of ``targets`` (n,) of 0 and 1, float32 (n,): both classes weigh the same."""
    ones = targets.sum()
    return len(targets) / torch.where(targets > 0, ones, len(targets) - ones)


class BalancedAccuracy:
    """The mean of the accuracies on both classes, over the batches of an epoch."""

    def __init__(self, device: torch.device) -> None:
        """Starts empty.

        Args:
            device: Where the logits lie.
        """
        self._counts = torch.zeros(2, 2, device=device)  # wrong and right, by class

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Counts a batch: logits (n,), high for class 1, and targets (n,)."""
        for kind in (0, 1):
            own = targets == kind
            right = (own & ((logits > 0) == bool(kind))).sum()
            self._counts[kind] += torch.stack([own.sum() - right, right])

    def take(self) -> float:
        """Returns the value, in [0, 1], and starts anew; a class that was not seen counts as wrong."""
        rights = self._counts[:, 1] / self._counts.sum(1).clamp(min=1)
        self._counts = torch.zeros_like(self._counts)
        return float(rights.mean())


def parts_of(count: int, parts: int) -> list[int]:
    """Returns the sizes of at most ``parts`` parts of ``count``: equal, the last one smaller."""
    size = -(-count // min(parts, count))
    return [min(size, count - start) for start in range(0, count, size)]


@register
class Dal(Strategy):
    """The images that a small network on the classifier's features takes least for labeled, a part at a time.

    The query is chosen in ``sub_batches``. For each, ten unlabeled images are drawn for each labeled one, a network
    learns from fresh weights which are which, and those of the draw that look most unlabeled join the labeled ones.
    Training ends early at a balanced accuracy of 0.98, so that scores do not saturate. Without labeled images the
    query is random.

    Args:
        sub_batches: Parts of the query; the published 20 are for features of a classifier.
        epochs: The most passes of one training.
        lr: Learning rate of Adam. The published values depend on the width of the features: 2e-4 and 500 epochs for
            512; 1e-4, 1,000 and batches of 128 for 128; 3e-4 and 200 to 500 for about 30.
        batch_size: Images per step.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: An option is out of range.

    Differs: in public code the class weights are all 1 by mistake, and accuracy counts images, so that ten times as
    many unlabeled images end the training early by outvoting the labeled ones; here classes weigh n / n_class, and
    accuracy is their mean. Features are divided by their overall standard deviation, so that one learning rate
    serves all backbones. A draw is never smaller than the part that is chosen from it.
    """

    name: ClassVar[str] = "dal"
    cost: ClassVar[str] = (
        "one inference pass over the pool, then trains a small network for each part of the query"
    )
    source: ClassVar[str] = "Gissin & Shalev-Shwartz 2019, Discriminative Active Learning"

    def __init__(
        self,
        *,
        sub_batches: int = 20,
        epochs: int = 500,
        lr: float = 2e-4,
        batch_size: int = 1024,
        pool: str | None = None,
    ) -> None:
        super().__init__(pool)
        self.sub_batches = options.whole("sub_batches", sub_batches)
        self.epochs = options.whole("epochs", epochs)
        self.lr = options.number("lr", lr, above=True)
        self.batch_size = options.whole("batch_size", batch_size)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses part after part, each by a network of its own."""
        if len(view.labeled) == 0:
            return at_random(indices, count, generator)
        with view.runtime.active():
            features = torch.cat([view.features(view.labeled), view.features(indices)])
            features = features.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
            features = features / features.std().clamp(min=torch.finfo(features.dtype).tiny)
            chosen = self._choose(features, len(view.labeled), count, generator, view.runtime)
        found: Indices = indices[chosen.numpy() - len(view.labeled)]
        return found

    def _choose(
        self, features: Tensor, labeled: int, count: int, generator: torch.Generator, runtime: Runtime
    ) -> Tensor:
        """Returns int64 (count,) rows of ``features`` (n, D), whose first ``labeled`` ones are labeled."""
        is_labeled = torch.zeros(len(features), dtype=torch.bool)
        is_labeled[:labeled] = True
        chosen: list[Tensor] = []
        for size in parts_of(count, self.sub_batches):
            some, free = is_labeled.nonzero().squeeze(1), (~is_labeled).nonzero().squeeze(1)
            drawn = free[torch.randperm(len(free), generator=generator)[: max(SHARE * len(some), size)]]
            network = self._train(features, some, drawn, generator, runtime)
            with torch.no_grad():
                rows = torch.split(drawn, ROWS)
                scores = torch.cat([network(features[each.to(features.device)]) for each in rows])
            chosen.append(drawn[best(scores, size, generator)])
            is_labeled[chosen[-1]] = True
        return torch.cat(chosen)

    def _train(
        self, features: Tensor, some: Tensor, others: Tensor, generator: torch.Generator, runtime: Runtime
    ) -> DalDiscriminator:
        """Returns a network that tells the rows ``some`` of ``features`` from ``others``."""
        network = fitting.build(lambda: DalDiscriminator(features.shape[1]), generator, runtime)
        rows = torch.cat([some, others]).to(features.device)
        targets = (torch.arange(len(rows), device=features.device) >= len(some)).float()
        weights, accuracy = class_weights(targets), BalancedAccuracy(features.device)
        positions = torch.arange(len(rows), device=features.device)

        def loss(batch: Tensor, moment: fitting.Moment) -> Tensor:
            logits = network(features[rows[batch]])
            accuracy.add(logits.detach(), targets[batch])
            return F.binary_cross_entropy_with_logits(logits, targets[batch], weights[batch])

        fitting.fit(
            network,
            loss,
            lambda epoch: fitting.minibatches(positions, self.batch_size, generator),
            epochs=self.epochs,
            optimizer=torch.optim.Adam(network.parameters(), self.lr),
            ended=lambda: accuracy.take() > STOP,
            runtime=runtime,
            title="query network",
        )
        return network
