"""The network learner: a backbone trained on the labeled set, in one loop for every training regime."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alenv import nets, pretraining
from alenv.batches import in_batches
from alenv.errors import InvalidRecipe
from alenv.learners import objectives
from alenv.learners.cycle import TrainingCycle
from alenv.learners.images import ImageSet
from alenv.learners.objectives import Objective
from alenv.learners.protocol import Predictions
from alenv.nets.classifier import global_average
from alenv.pool import OUTLIER
from alenv.runtime import Runtime
from alenv.seeding import Purpose, torch_stream
from alenv.settings import Recipe

MASKS = 10  # members that dropout gives where nobody says how many; what public code bases draw


class NetworkLearner:
    """Trains a classifier and scores images with it; knows labels only as they are handed to ``fit``.

    Attributes:
        feature_size: D, width of the penultimate features.
        frozen_features: False; they change with every training.
        provides: Names of the scores that the joint objective gives for pool images.
        classifier: The network, on the device.
    """

    frozen_features = False

    def __init__(
        self,
        recipe: Recipe,
        shape: tuple[int, int, int],
        num_classes: int,
        runtime: Runtime,
        pretrained: dict[str, Tensor] | None = None,
        member: int = 0,
    ) -> None:
        """Builds the network without drawing its weights; ``begin`` does that.

        Args:
            recipe: How to train.
            shape: (C, H, W) of the images.
            num_classes: C.
            runtime: Device, precision, threads.
            pretrained: Weights of the trunk that replace the initial ones (see ``pretraining.initial``).
            member: Which member of an ensemble this is; its random streams are its own.

        Raises:
            InvalidRecipe: The pretrained weights are those of another network, or the backbone takes images of one
                size only while the recipe trains on smaller ones.
        """
        self.recipe = recipe
        self.runtime = runtime
        self._shape = shape
        self._num_classes = num_classes
        self.objective: Objective = objectives.make(recipe)
        self.provides = self.objective.provides
        self._member = member
        self._warned = False
        self._key = 0
        self.classifier = self._build(torch.Generator().manual_seed(0))
        self.feature_size = self.classifier.feature_size
        if recipe.low_resolution and nets.fixed_size(recipe.backbone):
            raise InvalidRecipe(
                f"low_resolution={recipe.low_resolution!r} was given for backbone {recipe.backbone!r}, which takes "
                "images of one size only; use another backbone or low_resolution=0."
            )
        self._pretrained = pretrained
        if pretrained is not None:
            _check_weights(pretrained, self.classifier, str(recipe.pretraining))
        self.networks = nn.ModuleDict()

    @classmethod
    def build(cls, recipe: Recipe, images: ImageSet, num_classes: int, runtime: Runtime) -> NetworkLearner:
        """Makes the learner for images of a pool, with the pretrained weights that the recipe names."""
        cls(
            recipe, images.shape, num_classes, runtime
        )  # what cannot be trained is said before hours of pretraining
        pretrained = pretraining.initial(recipe, images, runtime)
        return cls(recipe, images.shape, num_classes, runtime, pretrained)

    @classmethod
    def offers(cls, recipe: Recipe) -> frozenset[str]:
        """Feature maps and the network, members with dropout, and the scores of the joint objective."""
        scores = objectives.find(recipe.joint).provides
        return frozenset({"feature_maps", "classifier", *scores, *(["members"] if recipe.dropout else [])})

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

    def _stream(self, purpose: Purpose, cycle: int = 0, device: str = "cpu") -> torch.Generator:
        return torch_stream(self._key, purpose, cycle, device, self._member)

    def sibling(self, member: int) -> NetworkLearner:
        """Returns another member of the same ensemble; ``begin`` draws its weights."""
        return NetworkLearner(
            self.recipe, self._shape, self._num_classes, self.runtime, self._pretrained, member
        )

    def begin(self, key: int) -> None:
        """Draws the weights of a new episode: the classifier's and the objective's, each from its own stream."""
        self._key = key
        classifier = self._build(self._stream(Purpose.WEIGHTS))
        if self._pretrained is not None:
            classifier.load_state_dict(self._pretrained, strict=False)
        self.networks = nets.construct(
            lambda: nn.ModuleDict(self.objective.modules(classifier)), self._stream(Purpose.OBJECTIVE_WEIGHTS)
        ).to(self.runtime.device)
        self.classifier = self._place(classifier)

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
        classifier = self.classifier
        classifier.dropout.generator = self._stream(Purpose.DROPOUT, cycle, self.runtime.device)
        self.objective.begin(classifier, self.networks, self._stream(Purpose.OBJECTIVE, cycle))
        TrainingCycle(
            self.recipe,
            self.runtime,
            self.objective,
            classifier,
            self.networks,
            images,
            known,
            order=self._stream(Purpose.BATCHES, cycle),
            augmenting=self._stream(Purpose.AUGMENTATION, cycle),
        ).run(labeled, unlabeled)
        classifier.dropout.generator = None
        kept = self.objective.evaluated(classifier)
        if kept is not classifier:
            classifier.load_state_dict(kept.state_dict())

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
        return in_batches(indices, lambda batch: self.score(images, batch, maps))

    @torch.no_grad()
    def score(self, images: ImageSet, batch: Tensor, maps: bool = False) -> dict[str, Tensor]:
        """Scores one batch, as ``infer`` does those that it makes."""
        self.classifier.eval()
        self.networks.eval()
        outputs = self.runtime.outputs(self.classifier, images.normalize(images.raw(batch)))
        result = {"logits": outputs.logits, "features": outputs.features.float()}
        result |= self.objective.scores(self.networks, outputs.features, outputs.feature_maps)
        if maps:
            stages = outputs.feature_maps
            result |= {f"map{i}": global_average(stage) for i, stage in enumerate(stages)}
        return result

    def predict(self, images: ImageSet) -> Predictions:
        """Classifies every image of a set."""
        everything = torch.arange(len(images), device=images.device)
        logits = self.infer(images, everything)["logits"]
        self.warn_if_diverged(logits)
        return Predictions(logits.argmax(1), logits)

    def warn_if_diverged(self, logits: Tensor) -> None:
        """Warns once where logits (n, C) of the classifier say nothing: NaN, or the same of every image."""
        same = len(logits) > 1 and bool((logits == logits[:1]).all())
        if self._warned or not (same or bool(logits.isnan().any())):
            return
        self._warned = True
        warnings.warn(
            f"Training has diverged ({'all images have the same scores' if same else 'scores are NaN'}); lower lr, now "
            f"{self.recipe.lr:g}.",
            stacklevel=2,
        )

    @torch.no_grad()
    def members(self, images: ImageSet, indices: Tensor, count: int | None, cycle: int) -> Tensor:
        """Returns (count, n, C) probabilities under ``count`` dropout masks, each shared by all images.

        Args:
            images: A set of images.
            indices: int64 (n,) positions in it.
            count: Members; None = ``MASKS``.
            cycle: The cycle that the masks are keyed by.
        """
        count = MASKS if count is None else count
        masks = self.classifier.member_masks(count, self._stream(Purpose.MEMBERS, cycle))
        masks = masks.to(self.runtime.device)
        if len(indices) == 0:
            return masks.new_zeros(count, 0, self._num_classes)

        def score(batch: Tensor) -> dict[str, Tensor]:
            features = self.runtime.outputs(
                self.classifier, images.normalize(images.raw(batch))
            ).features.float()
            each = [self.classifier.head(features * mask).softmax(1) for mask in masks]
            return {"members": torch.stack(each, dim=1)}

        self.classifier.eval()
        return in_batches(indices, score)["members"].transpose(0, 1)

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
        other = self.sibling(self._member)
        other.set_state(state)
        return other


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def _check_weights(weights: dict[str, Tensor], classifier: nets.Classifier, path: str) -> None:
    """Raises ``InvalidRecipe`` where pretrained weights are those of another network."""
    wanted = {k: v.shape for k, v in classifier.state_dict().items() if not k.startswith("head.")}
    given = {name: getattr(value, "shape", None) for name, value in weights.items()}
    if given != wanted:
        wrong = sorted(set(wanted.items()) ^ set(given.items()), key=str)[0][0]
        raise InvalidRecipe(
            f"pretraining={path!r} does not fit this backbone (first difference: {wrong}); give weights of "
            "the same backbone, width and channels."
        )
