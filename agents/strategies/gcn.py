"""UncertainGCN and CoreGCN: a graph network learns which images are labeled, from those most like them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents import options
from agents.base import Indices, Strategy, at_random, best
from agents.registry import register
from alenv import fitting, geometry

if TYPE_CHECKING:
    from alenv import View

HIDDEN = 128
DROPOUT = 0.3
LR, WEIGHT_DECAY = 1e-3, 5e-4
UNLABELED_WEIGHT = 1.2
TARGET = 0.1
LEAST = 1e-3  # sums of similarities up to here are no divisors


def propagation(features: Tensor) -> Callable[[Tensor], Tensor]:
    """Returns the product with the adjacency matrix of a graph of images, which is never built.

    With F the features scaled to length 1, S = F F^T without its diagonal, and d the column sums of S, the adjacency
    is A = S diag(1/d) + I, and A X = F (F^T Y) - diag(F F^T) Y + X with Y = X / d: O(n D w) for X of width w.

    Args:
        features: (n, D); what is not finite counts as 0.

    Returns:
        Maps (n, w) to (n, w). A node whose similarities sum to at most 1e-3, which features without negative entries
        have only where they are 0, passes nothing on.

    Source: Caramalau et al. 2021; columns are scaled, not rows, as in the public code.
    """
    unit = F.normalize(features.float().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0), dim=1)
    own = unit.square().sum(1, keepdim=True)
    sums = unit @ unit.sum(0)[:, None] - own
    scale = torch.where(sums > LEAST, 1 / sums.clamp(min=LEAST), 0.0)

    def propagate(x: Tensor) -> Tensor:
        y = scale * x
        return unit @ (unit.T @ y) - own * y + x

    return propagate


class GraphNetwork(nn.Module):
    """Two graph convolutions, A X W + b each, with ReLU and dropout between them.

    The second one multiplies by its weights first, so that only one column is propagated.
    """

    def __init__(self, inputs: int) -> None:
        """Builds the layers.

        Args:
            inputs: D.
        """
        super().__init__()
        self.first, self.second = nn.Linear(inputs, HIDDEN), nn.Linear(HIDDEN, 1)

    @torch.no_grad()
    def draw_weights(self, generator: torch.Generator) -> None:
        """Draws weights and biases uniformly from +-1 / sqrt(outputs), as in the public code."""
        for layer in (self.first, self.second):
            bound = layer.out_features**-0.5
            for values in (layer.weight, layer.bias):
                values.uniform_(-bound, bound, generator=generator)

    def forward(
        self, mixed: Tensor, propagate: Callable[[Tensor], Tensor], kept: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Classifies all nodes of a graph.

        Args:
            mixed: A X, (n, D).
            propagate: The product with A.
            kept: Which hidden units of which node dropout keeps, bool (n, 128); None = all, for eval mode.

        Returns:
            Hidden units (n, 128) and logits (n,), high for labeled.
        """
        hidden = self.first(mixed).relu()
        if kept is not None:
            hidden = hidden * kept / (1 - DROPOUT)
        logits = propagate(hidden @ self.second.weight.T) + self.second.bias
        return hidden, logits.squeeze(1)


def labeled_loss(logits: Tensor, labeled: int) -> Tensor:
    """Returns -mean log s over the labeled nodes - 1.2 mean log(1 - s) over the others, with s = sigmoid.

    Args:
        logits: (n,), the labeled nodes first.
        labeled: How many they are, 1 to n - 1.
    """
    return F.softplus(-logits[:labeled]).mean() + UNLABELED_WEIGHT * F.softplus(logits[labeled:]).mean()


class Nodes(NamedTuple):
    """What a trained graph network gives for all nodes, the labeled ones first.

    Attributes:
        hidden: (n, 128).
        logits: (n,), high for labeled.
    """

    hidden: Tensor
    logits: Tensor


class SequentialGcn(Strategy):
    """Trains the graph network of labeled images and candidates; subclasses choose by its outputs.

    Args:
        steps: Training steps, over all nodes each.
        pool: None = this cycle's candidates.
    """

    cost: ClassVar[str] = "trains a graph network: steps x O((L + K) D 128) products"
    default_pool: ClassVar[str] = "candidates"
    source: ClassVar[str] = (
        "Caramalau et al. 2021, Sequential Graph Convolutional Network for Active Learning"
    )

    def __init__(self, *, steps: int = 200, pool: str | None = None) -> None:
        super().__init__(pool)
        self.steps = options.whole("steps", steps)

    def choose(self, nodes: Nodes, labeled: int, count: int, generator: torch.Generator) -> Tensor:
        """Returns int64 (count,) positions among the nodes behind the first ``labeled`` ones."""
        raise NotImplementedError

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Trains on the labeled images and ``indices``, and chooses from these; at random without labels."""
        labeled = np.array(view.labeled)
        if len(labeled) == 0:
            return at_random(indices, count, generator)
        with view.runtime.active():
            features = view.features(np.concatenate([labeled, indices]))
            nodes = self._train(view, features, len(labeled), generator)
            chosen: Indices = indices[self.choose(nodes, len(labeled), count, generator).numpy()]
        return chosen

    def _train(self, view: View, features: Tensor, labeled: int, generator: torch.Generator) -> Nodes:
        propagate = propagation(features)
        # The same A multiplies the same features in every step.
        mixed = propagate(F.normalize(features.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0), dim=1))
        network = fitting.build(lambda: GraphNetwork(features.shape[1]), generator, view.runtime)

        def loss(_: None, moment: fitting.Moment) -> Tensor:
            kept = torch.rand(len(mixed), HIDDEN, generator=generator) >= DROPOUT
            return labeled_loss(network(mixed, propagate, kept.to(mixed.device))[1], labeled)

        fitting.fit(
            network,
            loss,
            lambda epoch: [None],
            epochs=self.steps,
            optimizer=torch.optim.Adam(network.parameters(), LR, weight_decay=WEIGHT_DECAY),
            runtime=view.runtime,
            title="query network",
        )
        with torch.no_grad():
            return Nodes(*network(mixed, propagate))


@register
class UncertainGcn(SequentialGcn):
    """The images whose probability of being labeled, by a graph network, is nearest to ``target``.

    The nodes are the labeled images and the candidates, connected by the cosine of their features. Without labeled
    images the query is random.

    Args:
        target: A probability, in [0, 1]; near 0, where images surely look unlabeled.
        steps: Training steps, over all nodes each.
        pool: None = this cycle's candidates.

    Raises:
        InvalidQuery: An option is out of range.

    Differs: losses come from logits, where the public code takes the logarithm of a probability that may be 0; the
    number of labeled images is what it is, where the public code takes (cycle + 1) x B; its command line trains for
    20 steps unless told otherwise, the paper for 200.
    """

    name: ClassVar[str] = "uncertain_gcn"

    def __init__(self, *, target: float = TARGET, steps: int = 200, pool: str | None = None) -> None:
        super().__init__(steps=steps, pool=pool)
        self.target = options.share("target", target)

    def choose(self, nodes: Nodes, labeled: int, count: int, generator: torch.Generator) -> Tensor:
        """Chooses the nearest to the target; equal ones at random."""
        probabilities = nodes.logits[labeled:].cpu().double().sigmoid()
        return best(-(probabilities - self.target).abs(), count, generator)


@register
class CoreGcn(SequentialGcn):
    """Greedy k-center on what a graph network has learned of which images are labeled.

    The nodes are the labeled images and the candidates, connected by the cosine of their features; the labeled ones
    are centers, and a point is a node's 128 hidden units and its logit. Without labeled images the query is random.

    Args:
        steps: Training steps, over all nodes each.
        pool: None = this cycle's candidates.

    Raises:
        InvalidQuery: ``steps`` is not a whole number of at least 1.

    Differs: as ``uncertain_gcn``. A copy of the public code in another project clusters the classifier's features,
    which is ``coreset``.
    """

    name: ClassVar[str] = "core_gcn"

    def choose(self, nodes: Nodes, labeled: int, count: int, generator: torch.Generator) -> Tensor:
        """Chooses each time the node farthest from all labeled and chosen ones."""
        points = torch.cat([nodes.hidden, nodes.logits[:, None]], dim=1)
        return geometry.k_center(points[labeled:], count, points[:labeled], generator=generator)
