"""One cycle of training a network: what a step sees, in which order numbers are drawn, when it ends."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alenv import fitting, nets
from alenv.captured import WORTHWHILE, CapturedSteps, take_step
from alenv.fitting import Moment
from alenv.learners.augmentation import Augmentation
from alenv.learners.images import ImageSet, shrink
from alenv.learners.objectives import Batch, Objective, Part, Step
from alenv.learners.optimization import learning_rate, make_optimizer
from alenv.progress import training
from alenv.runtime import Runtime
from alenv.settings import Recipe

# Indices, raw, pictures, labels; then of unlabeled images indices, raw, and pictures unless the objective makes them.
Inputs = tuple[Tensor, ...]


@dataclass
class TrainingCycle:
    """Trains a classifier, and the objective's networks beside it, on what is labeled now.

    Attributes:
        recipe: How to train.
        runtime: Device and precision.
        objective: Gives batches and losses.
        classifier: The network, on the device.
        networks: The objective's own networks.
        images: The pool.
        known: int64 (N,), the labels that are known.
        order: CPU generator of the batches.
        augmenting: CPU generator of the augmentation.
    """

    recipe: Recipe
    runtime: Runtime
    objective: Objective
    classifier: nets.Classifier
    networks: nn.ModuleDict
    images: ImageSet
    known: Tensor
    order: torch.Generator
    augmenting: torch.Generator
    _hits: list[Tensor] = field(default_factory=list)  # of the last epoch; with stop_accuracy, of each
    _latest: Step | None = None

    def run(self, labeled: Tensor, unlabeled: Tensor) -> None:
        """Trains all epochs.

        Args:
            labeled: int64 (L,) pool indices, L >= 1.
            unlabeled: int64 (U,) pool indices.
        """
        recipe = self.recipe
        optimizer = make_optimizer(recipe, self._trained())
        steps = recipe.epochs * -(-len(labeled) // recipe.batch_size)
        with self._captured(optimizer, steps) as captured:

            def replayed(batch: Batch, moment: Moment) -> Tensor | None:
                assert captured is not None, "asked for only then"
                # The last epoch runs plainly, by the same kernels, so that its loss can be noted.
                if moment.epoch == recipe.epochs - 1:
                    take_step(optimizer, loss := self._loss(batch, moment))
                    return loss
                inputs, phase = self._inputs(batch, moment), self.objective.phase(moment.epoch)
                captured.run(phase, inputs, lambda *held: self.objective.loss(self._step(held, moment)))
                return None

            fitting.fit(
                [self.classifier, self.networks],
                self._loss,
                lambda epoch: self.objective.batches(labeled, unlabeled, self.order),
                epochs=recipe.epochs,
                optimizer=optimizer,
                step=None if captured is None else replayed,
                learning_rate=lambda moment: learning_rate(recipe, moment.epoch, moment.progress),
                after_step=self._after_step,
                ended=self._ended,
                title="training",
            )

    def _trained(self) -> list[nn.Parameter]:
        """Returns what the recipe's optimizer trains: the classifier, and those networks that it is not kept from."""
        parameters = list(self.classifier.parameters())
        for name, network in self.networks.items():
            if name not in self.objective.self_trained:
                parameters += network.parameters()
        return parameters

    @contextmanager
    def _captured(self, optimizer: torch.optim.Optimizer, steps: int) -> Iterator[CapturedSteps | None]:
        """Yields what records and replays the steps, or None where they run plainly."""
        phases: set[Hashable] = {self.objective.phase(epoch) for epoch in range(self.recipe.epochs)}
        random = self.recipe.dropout > 0 or self.recipe.stop_accuracy is not None
        possible = self.runtime.records and isinstance(optimizer, torch.optim.SGD) and not random
        if not possible or steps < WORTHWHILE or None in phases:
            yield None
            return
        with CapturedSteps(optimizer) as captured:
            yield captured

    def _loss(self, batch: Batch, moment: Moment) -> Tensor:
        self._latest = step = self._step(self._inputs(batch, moment), moment)
        if self.recipe.stop_accuracy is not None or moment.epoch == self.recipe.epochs - 1:
            self._hits.append(step.labeled.logits.argmax(1) == self.known[step.labeled.indices])
        return self.objective.loss(step)

    def _after_step(self) -> None:
        if self._latest is not None:  # a recorded step is seen by nobody
            self.objective.after_step(self._latest)

    def _ended(self) -> bool:
        if not self._hits:
            return False
        right, count = float(torch.cat(self._hits).sum()), sum(map(len, self._hits))
        self._hits.clear()
        if (noted := training()) is not None:
            noted.accuracy = right / count
        stop = self.recipe.stop_accuracy
        return stop is not None and right >= stop * count

    # ---- one step -------------------------------------------------------------------------------------------

    def _inputs(self, batch: Batch, moment: Moment) -> Inputs:
        """Looks up and augments the images of one step."""
        some, others = batch
        raw = self.images.raw(some)
        inputs: Inputs = (some, raw, self._augment(raw, None, moment), self.known[some])
        if others is None or len(others) == 0:
            return inputs
        raw = self.images.raw(others)
        if self.objective.own_passes:
            return (*inputs, others, raw)
        return (*inputs, others, raw, self._augment(raw, None, moment))

    def _augment(
        self,
        raw: Tensor,
        augmentation: Augmentation | None,
        moment: Moment,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        chosen = augmentation or Augmentation.of(self.recipe)
        full = self.images.augmented(raw, chosen, generator or self.augmenting)
        early = moment.progress < self.recipe.low_resolution
        return shrink(full, self.recipe.low_resolution_scale) if early else full

    def _step(self, inputs: Inputs, moment: Moment) -> Step:
        """Classifies the images of one step.

        Labeled and unlabeled ones are one batch: apart, BatchNorm would take out of each what tells them apart.
        """
        labels, count = inputs[3], len(inputs[0])
        together = len(inputs) == 7
        pictures = torch.cat([inputs[2], inputs[6]]) if together else inputs[2]
        outputs = self.runtime.outputs(self.classifier, pictures)
        labeled = _part(inputs[:3], outputs, slice(count), labels)
        losses = F.cross_entropy(
            labeled.logits, labels, reduction="none", label_smoothing=self.recipe.label_smoothing
        )
        return Step(
            progress=moment.progress,
            epoch=moment.epoch,
            labeled=labeled,
            unlabeled=_part(inputs[4:], outputs, slice(count, None), None) if together else None,
            unlabeled_raw=inputs[5] if len(inputs) > 4 else None,
            losses=losses,
            classifier=self.classifier,
            networks=self.networks,
            _augment=lambda raw, augmentation, own: self._augment(raw, augmentation, moment, own),
            _forward=self.runtime.outputs,
        )


def _part(inputs: Inputs, outputs: nets.Outputs, rows: slice, labels: Tensor | None) -> Part:
    """Returns some images of a step with their rows of what the network gave."""
    indices, raw, pictures = inputs
    maps = [stage[rows] for stage in outputs.feature_maps]
    return Part(indices, raw, pictures, outputs.features[rows], maps, outputs.logits[rows], labels)
