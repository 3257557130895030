"""The network learner: a backbone trained on the labeled set, in one loop for every training regime."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alenv import nets
from alenv.errors import InvalidRecipe
from alenv.nets.classifier import global_average
from alenv.pool import OUTLIER
from alenv.recipe import Recipe
from alenv.runtime import Runtime
from alenv.seeding import Purpose, torch_stream
from alenv.training import objectives
from alenv.training.images import Augmentation, ImageSet, in_batches, shrink
from alenv.training.objectives import Objective, Part, Step
from alenv.training.optimization import learning_rate, make_optimizer


class NetworkLearner:
    """Trains a classifier and scores images with it; knows labels only as they are handed to ``fit``.

    Attributes:
        feature_size: D, width of the penultimate features.
        provides: Names of the scores that the joint objective gives for pool images.
        classifier: The network, on the device.
    """

    def __init__(
        self, recipe: Recipe, shape: tuple[int, int, int], num_classes: int, runtime: Runtime
    ) -> None:
        """Builds the network without drawing its weights; ``begin`` does that.

        Args:
            recipe: How to train.
            shape: (C, H, W) of the images.
            num_classes: C.
            runtime: Device, precision, threads.
        """
        self.recipe = recipe
        self.runtime = runtime
        self._shape = shape
        self._num_classes = num_classes
        self.objective: Objective = objectives.make(recipe)
        self.provides = self.objective.provides
        self._augmentation = Augmentation.of(recipe)
        self._key = 0
        self.classifier = self._build(torch.Generator().manual_seed(0))
        self.feature_size = self.classifier.feature_size
        if recipe.low_resolution and nets.fixed_size(recipe.backbone):
            raise InvalidRecipe(
                f"low_resolution={recipe.low_resolution!r} was given for backbone {recipe.backbone!r}, which takes "
                "images of one size only; use another backbone or low_resolution=0."
            )
        self._pretrained = (
            load_pretraining(recipe.pretraining, self.classifier) if recipe.pretraining else None
        )
        self.networks = nn.ModuleDict()

    def _build(self, generator: torch.Generator) -> nets.Classifier:
        channels, height, width = self._shape
        return nets.build(
            self.recipe.backbone,
            num_classes=self._num_classes,
            channels=channels,
            image_size=(height, width),
            width=self.recipe.width,
            dropout=self.recipe.dropout,
            generator=generator,
        )

    def begin(self, key: int) -> None:
        """Draws the weights of a new episode: the classifier's and the objective's, each from its own stream."""
        self._key = key
        classifier = self._build(torch_stream(key, Purpose.WEIGHTS))
        if self._pretrained is not None:
            classifier.load_state_dict(self._pretrained, strict=False)
        with torch.device("meta"):
            self.networks = nn.ModuleDict(self.objective.modules(classifier))
        self.networks.to_empty(device="cpu")
        nets.initialize(self.networks, torch_stream(key, Purpose.OBJECTIVE_WEIGHTS))
        self.classifier = self._place(classifier)
        self.networks.to(self.runtime.device)

    def _place(self, classifier: nets.Classifier) -> nets.Classifier:
        return classifier.to(self.runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # no overload has both

    # ---- training -------------------------------------------------------------------------------------------

    def fit(self, images: ImageSet, labeled: np.ndarray, labels: np.ndarray, cycle: int) -> None:
        """Trains one cycle.

        Args:
            images: The pool.
            labeled: int64 (L,) pool indices whose labels are known; L = 0 trains nothing.
            labels: int64 (L,), the labels of ``labeled`` in the same order; images of no class (``OUTLIER``) are
                neither trained on nor counted as unlabeled.
            cycle: The active-learning cycle, which the random streams are keyed by.
        """
        if cycle > 0 and self.recipe.start != "warm":
            self.begin(self._key)
        teaching = labeled[labels != OUTLIER]
        if len(teaching) == 0:
            return
        device = self.runtime.device
        bought = torch.tensor(labeled)
        known = torch.full((len(images),), OUTLIER, dtype=torch.int64)
        known[bought] = torch.tensor(labels)
        free = torch.ones(len(images), dtype=torch.bool)
        free[bought] = False
        unlabeled = torch.nonzero(free).squeeze(1).to(device)
        self._train(images, torch.from_numpy(teaching).to(device), unlabeled, known.to(device), cycle)

    def _train(self, images: ImageSet, labeled: Tensor, unlabeled: Tensor, known: Tensor, cycle: int) -> None:
        recipe, classifier, networks = self.recipe, self.classifier, self.networks
        order = torch_stream(self._key, Purpose.BATCHES, cycle)
        augmenting = torch_stream(self._key, Purpose.AUGMENTATION, cycle)
        classifier.dropout.generator = torch_stream(self._key, Purpose.DROPOUT, cycle, self.runtime.device)
        self.objective.begin(classifier, networks, torch_stream(self._key, Purpose.OBJECTIVE, cycle))
        trained = list(classifier.parameters())
        for name, network in networks.items():
            if name not in self.objective.self_trained:
                trained += network.parameters()
        optimizer = make_optimizer(recipe, trained)
        classifier.train()
        networks.train()
        for epoch in range(recipe.epochs):
            batches = self.objective.batches(labeled, unlabeled, order)
            right, seen = torch.zeros((), device=labeled.device), 0
            for position, (some, others) in enumerate(batches):
                progress = (epoch + position / len(batches)) / recipe.epochs
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(recipe, epoch, progress)
                step = self._forward(images, some, others, known, augmenting, epoch, progress)
                optimizer.zero_grad()
                self.objective.loss(step).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimizer.step()
                self.objective.after_step(step)
                if recipe.stop_accuracy is not None:
                    right += (step.labeled.logits.argmax(1) == known[some]).sum()
                    seen += len(some)
            if recipe.stop_accuracy is not None and float(right) >= recipe.stop_accuracy * seen:
                break
        classifier.dropout.generator = None
        kept = self.objective.evaluated(classifier)
        if kept is not classifier:
            classifier.load_state_dict(kept.state_dict())
        classifier.eval()
        networks.eval()

    def _forward(
        self,
        images: ImageSet,
        some: Tensor,
        others: Tensor | None,
        known: Tensor,
        augmenting: torch.Generator,
        epoch: int,
        progress: float,
    ) -> Step:
        def augment(raw: Tensor) -> Tensor:
            full = images.augmented(raw, self._augmentation, augmenting)
            early = progress < self.recipe.low_resolution
            return shrink(full, self.recipe.low_resolution_scale) if early else full

        def part(indices: Tensor, labels: Tensor | None) -> Part:
            raw = images.raw(indices)
            batch = augment(raw)
            with self.runtime.autocast():
                outputs = self.classifier.outputs(batch)
            return Part(indices, raw, batch, outputs.features, outputs.feature_maps, outputs.logits, labels)

        labeled = part(some, known[some])
        unlabeled = None if others is None or len(others) == 0 else part(others, None)
        losses = F.cross_entropy(
            labeled.logits, known[some], reduction="none", label_smoothing=self.recipe.label_smoothing
        )
        return Step(progress, epoch, labeled, unlabeled, losses, augment, self.classifier, self.networks)

    # ---- scoring --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def infer(self, images: ImageSet, indices: Tensor, maps: bool = False) -> dict[str, Tensor]:
        """Scores unaugmented images in eval mode, in batches of one size (the last padded with its first image).

        Args:
            images: A set of images.
            indices: int64 (n,) positions in it.
            maps: Whether to return the pooled feature maps too.

        Returns:
            ``logits`` (n, C), ``features`` (n, D), one (n,) per name in ``provides``, and with ``maps``
            ``map0`` ... ``map3`` (n, c); float32, on the device.
        """
        self.classifier.eval()
        self.networks.eval()

        def score(batch: Tensor) -> dict[str, Tensor]:
            with self.runtime.autocast():
                outputs = self.classifier.outputs(images.normalize(images.raw(batch)))
            result = {"logits": outputs.logits, "features": outputs.features.float()}
            result |= self.objective.scores(self.networks, outputs.features, outputs.feature_maps)
            if maps:
                stages = outputs.feature_maps
                result |= {f"map{i}": global_average(stage) for i, stage in enumerate(stages)}
            return result

        return in_batches(indices, score)

    def predict(self, images: ImageSet) -> Tensor:
        """Returns the class of every image of a set, int64 (n,)."""
        everything = torch.arange(len(images), device=images.device)
        return self.infer(images, everything)["logits"].argmax(1)

    def members(self, features: Tensor, count: int, cycle: int) -> Tensor:
        """Returns (count, n, C) probabilities under ``count`` dropout masks, each shared by all images.

        Args:
            features: (n, D).
            count: Members.
            cycle: The cycle that the masks are keyed by.
        """
        generator = torch_stream(self._key, Purpose.MEMBERS, cycle)
        masks = self.classifier.member_masks(count, generator).to(features.device)
        if len(features) == 0:
            return features.new_zeros(count, 0, self._num_classes)

        def score(batch: Tensor) -> dict[str, Tensor]:
            rows = features[batch]
            each = [self.classifier.head(rows * mask).softmax(1) for mask in masks]
            return {"members": torch.stack(each, dim=1)}

        with torch.no_grad():
            positions = torch.arange(len(features), device=features.device)
            return in_batches(positions, score)["members"].transpose(0, 1)

    def copy_classifier(self) -> nets.Classifier:
        """Returns an eval-mode fp32 deep copy of the classifier."""
        return copy.deepcopy(self.classifier).eval().float()

    # ---- state ----------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Returns copies of all weights (CPU tensors), enough to go on from here."""
        return {
            "key": self._key,
            "classifier": _copied(self.classifier.state_dict()),
            "networks": _copied(self.networks.state_dict()),
            "objective": self.objective.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""
        self.begin(int(state["key"]))
        self.classifier.load_state_dict(state["classifier"])
        self.networks.load_state_dict(state["networks"])
        self.objective.set_state(state["objective"])
        self.classifier.eval()
        self.networks.eval()

    def fork(self, state: dict[str, Any]) -> NetworkLearner:
        """Returns a learner of its own with the given state."""
        other = NetworkLearner(self.recipe, self._shape, self._num_classes, self.runtime)
        other.set_state(state)
        return other


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def load_pretraining(path: str, classifier: nets.Classifier) -> dict[str, Tensor]:
    """Reads a ``state_dict`` file for ``pretraining=``, without its head.

    Args:
        path: A file written by ``torch.save``; it is loaded weights-only and so runs no code.
        classifier: The network that the weights must fit.

    Raises:
        InvalidRecipe: The file is missing, unreadable, or belongs to another network.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InvalidRecipe(
            f"pretraining={path!r} cannot be read ({type(error).__name__}); give a state_dict file."
        ) from error
    if not isinstance(weights, dict):
        raise InvalidRecipe(f"pretraining={path!r} holds a {type(weights).__name__}; give a state_dict file.")
    weights = {name: value for name, value in weights.items() if not str(name).startswith("head.")}
    wanted = {k: v.shape for k, v in classifier.state_dict().items() if not k.startswith("head.")}
    given = {name: getattr(value, "shape", None) for name, value in weights.items()}
    if given != wanted:
        wrong = sorted(set(wanted.items()) ^ set(given.items()), key=str)[0][0]
        raise InvalidRecipe(
            f"pretraining={path!r} does not fit this backbone (first difference: {wrong}); give weights of "
            "the same backbone, width and channels."
        )
    return weights
