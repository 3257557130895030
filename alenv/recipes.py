"""The named recipes: every training regime, and the settings of the publications that the paper compares.

A recipe replaces settings of its dataset; ``AL<Dataset><Title>-v0`` and ``recipe=`` name it. What stands in ``bought``
replaces the dataset's protocol where the publication used that dataset.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class NamedRecipe:
    """Settings that differ from those of the dataset.

    Attributes:
        title: How ids spell it.
        what: What it is, in a few words.
        source: Where it comes from.
        settings: Fields of ``Recipe``, ``Protocol`` and ``Options``.
        bought: Fields of ``Protocol`` by dataset, as published.
        benchmarks_only: Whether it is for the published benchmarks alone, not for Digits or a user's images.
    """

    title: str
    what: str
    source: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    bought: dict[str, dict[str, Any]] = field(default_factory=dict)
    benchmarks_only: bool = False


def _bought(initial: int, query: int, queries: int) -> dict[str, Any]:
    return {"initial_size": initial, "query_size": query, "budget": queries * query}


_TENTH_THEN_HALF_OF_IT = {"cifar10": _bought(5000, 2500, 6), "cifar100": _bought(5000, 2500, 6)}
_JLS = {**_TENTH_THEN_HALF_OF_IT, "fashion_mnist": _bought(100, 100, 9)}
_WAAL = {
    "cifar10": _bought(2000, 2000, 6),
    "svhn": _bought(1000, 1000, 6),
    "fashion_mnist": _bought(1000, 1000, 6),
}
_VABAL = {"cifar10": _bought(2000, 2000, 5), "cifar100": _bought(2000, 2000, 4)}

_RIDGE: dict[str, Any] = {
    "head": "ridge",
    "ridge_penalty": "auto",
    "embedding": "patches",
    "validation": 5000,
    "reward": "auc_gain",
    "initial_size": 64,
    "query_size": 32,
    "budget": 320,
    "candidates": 256,
    "default_device": "cpu",
    "threads": 1,
}

_JLS_TRAINING = {"joint": "discriminator", "lr": 0.01, "nesterov": True}

_WAAL_TRAINING: dict[str, Any] = {
    "joint": "wasserstein",
    "lr": 0.01,
    "momentum": 0.5,
    "weight_decay": 0.0,
    "batch_size": 64,
    "epochs": 80,
    "schedule": "constant",
    "start": "cold",
}

RECIPES: dict[str, NamedRecipe] = {
    # ---- the ladder from milliseconds to the paper ----
    "paper": NamedRecipe(
        "", "ResNet-18, SGD at 0.1 for 200 epochs, kept from cycle to cycle", "the paper, section 3"
    ),
    "ridge": NamedRecipe("Ridge", "closed-form head on frozen features, milliseconds a step", "", _RIDGE),
    "logistic": NamedRecipe(
        "Logistic",
        "logistic regression on frozen features, tens of milliseconds a step",
        "",
        {**{k: v for k, v in _RIDGE.items() if k != "ridge_penalty"}, "head": "logistic"},
    ),
    "convnet": NamedRecipe(
        "Convnet",
        "three convolutions, seconds to a minute a cycle on a CPU",
        "",
        {
            "backbone": "convnet",
            "epochs": 60,
            "batch_size": 32,
            "lr": 0.1,
            "nesterov": True,
            "schedule": "onecycle",
            "warmup": 0.2,
            "start": "cold",
        },
    ),
    "fast": NamedRecipe(
        "Fast",
        "short modern recipe of a tenth of the paper's arithmetic",
        "",
        {
            "backbone": "airbench",
            "epochs": 172,  # of 0.12 of the arithmetic on average: a tenth of the paper's 200
            "batch_size": 64,
            "lr": 0.1,
            "nesterov": True,
            "weight_decay": 1e-3,
            "decay": "weights",
            "schedule": "onecycle",
            "warmup": 0.25,
            "label_smoothing": 0.1,
            "trivial_augment": True,
            "low_resolution": 0.7,  # at 20 instead of 32 pixels
            "start": "cold",
        },
    ),
    # ---- training regimes, each of which goes with any agent ----
    "cold": NamedRecipe(
        "Cold", "weights drawn anew in every cycle", "the paper, section 5", {"start": "cold"}
    ),
    "loss_prediction": NamedRecipe(
        "LossPrediction",
        "a module that predicts losses beside the classifier",
        "Yoo & Kweon 2019; the paper, Figure 8c",
        {"joint": "loss_prediction"},
    ),
    "jls": NamedRecipe(
        "Jls",
        "a discriminator of labeled and unlabeled images on the features",
        "Caramalau et al. 2021b, at the paper's setting (A.18) and start; Figure 8a",
        _JLS_TRAINING,
        _JLS,
    ),
    "waal": NamedRecipe(
        "Waal",
        "a Wasserstein critic of labeled and unlabeled images on the features",
        "Shui et al. 2020, at the paper's start; Figure 8b",
        _WAAL_TRAINING,
        _WAAL,
    ),
    "rotation": NamedRecipe(
        "Rotation",
        "weights that told rotations apart, put back in every cycle",
        "Gidaris et al. 2018; the paper, Figure 10",
        {"pretraining": "rotation", "start": "pretrained"},
    ),
    "fixmatch": NamedRecipe(
        "FixMatch",
        "pseudo-labels of confident unlabeled images, under strong augmentation",
        "Sohn et al. 2020",
        {
            "joint": "fixmatch",
            "joint_length": "longest",  # as many steps as it takes to show all unlabeled images
            "lr": 0.03,
            "nesterov": True,
            "batch_size": 64,
            "schedule": "cosine",
            "start": "cold",
        },
    ),
    "ensemble": NamedRecipe(
        "Ensemble", "five networks, whose mean softmax classifies", "Beluch et al. 2018", {"ensemble": 5}
    ),
    # ---- the publications' own settings, as the paper's Tables 1 and 4 list them ----
    "coreset2018": NamedRecipe(
        "Coreset2018",
        "VGG-16, RMSProp at 0.001, cold start",
        "Sener & Savarese 2018",
        {"backbone": "vgg16", "optimizer": "rmsprop", "lr": 1e-3, "momentum": 0.0, "start": "cold"},
        {name: _bought(5000, 5000, 9) for name in ("cifar10", "cifar100")} | {"svhn": _bought(7300, 7300, 9)},
        benchmarks_only=True,
    ),
    "vaal2019": NamedRecipe(
        "Vaal2019",
        "VGG-16, SGD at 0.01 divided by 10 after each quarter, flips only, cold start",
        "Sinha et al. 2019; 1,000 epochs of 5,000 images are its 39,062 steps, later cycles take more",
        {
            "backbone": "vgg16",
            "lr": 0.01,
            "epochs": 1000,
            "milestones": (0.25, 0.5, 0.75),
            "crop_padding": 0,
            "start": "cold",
        },
        _TENTH_THEN_HALF_OF_IT,
        benchmarks_only=True,
    ),
    "badge2019": NamedRecipe(
        "Badge2019",
        "thin ResNet-18, Adam at 0.001 to 99 % training accuracy, no augmentation, cold start",
        "Ash et al. 2020; the paper's Table 1 lists 0.01, the public code 0.0001; gradients are not clipped",
        {
            "backbone": "resnet18",
            "width": 16,
            "optimizer": "adam",
            "lr": 1e-3,
            "weight_decay": 0.0,
            "schedule": "constant",
            "stop_accuracy": 0.99,
            "augment": False,
            "start": "cold",
        },
        {name: _bought(100, 1000, 10) for name in ("cifar10", "svhn")},
        benchmarks_only=True,
    ),
    "ll4al2019": NamedRecipe(
        "LL4AL2019",
        "the paper's own recipe with the loss module, warm start",
        "Yoo & Kweon 2019",
        {"joint": "loss_prediction"},
        benchmarks_only=True,
    ),
    "sraal2020": NamedRecipe(
        "Sraal2020",
        "the paper's own recipe at a constant rate, warm start",
        "Zhang et al. 2020",
        {"schedule": "constant"},
        _TENTH_THEN_HALF_OF_IT,
        benchmarks_only=True,
    ),
    "waal2020": NamedRecipe(
        "Waal2020",
        "VGG-16 with the critic, SGD at 0.01, 80 epochs, cold start",
        "Shui et al. 2020; momentum 0.3 for CIFAR-10, 0.5 elsewhere",
        {**_WAAL_TRAINING, "backbone": "vgg16"},
        {**_WAAL, "cifar10": {**_WAAL["cifar10"], "momentum": 0.3}},
        benchmarks_only=True,
    ),
    "jls2021": NamedRecipe(
        "Jls2021",
        "VGG-16 with the discriminator, SGD at 0.01 with Nesterov momentum, cold start",
        "Caramalau et al. 2021b",
        {**_JLS_TRAINING, "backbone": "vgg16", "start": "cold"},
        _JLS,
        benchmarks_only=True,
    ),
    "gcn2021": NamedRecipe(
        "Gcn2021",
        "the paper's own recipe, cold start",
        "Caramalau et al. 2021a (CoreGCN, UncertainGCN)",
        {"start": "cold"},
        benchmarks_only=True,
    ),
    "tavaal2021": NamedRecipe(
        "TaVaal2021",
        "the paper's own recipe with the ranking module, cold start",
        "Kim et al. 2021",
        {"joint": "loss_ranking", "start": "cold"},
        benchmarks_only=True,
    ),
    "isal2021": NamedRecipe(
        "Isal2021",
        "the paper's own recipe, cold start",
        "Liu et al. 2021",
        {"start": "cold"},
        {"cifar100": _bought(5000, 5000, 9), "svhn": _bought(1465, 1465, 9)},
        benchmarks_only=True,
    ),
    "vabal2021": NamedRecipe(
        "VabAl2021",
        "the paper's own recipe, cold start",
        "Choi et al. 2021",
        {"start": "cold"},
        _VABAL,
        benchmarks_only=True,
    ),
}
