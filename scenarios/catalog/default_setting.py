"""The paper on its default setting: CIFAR-10, ResNet-18, 1,000 labels at a time.

Source: "Best Practices in Pool-based Active Learning for Image Classification".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from alenv.presets import BENCHMARKS
from alenv.registration import environment_id
from scenarios.plan.arm import Arm, product
from scenarios.plan.registry import check_option, register
from scenarios.plan.scenario import Check, Grid, Picture, Published, Scenario, against_one
from scenarios.plan.sizes import NAMES

UNCERTAINTY = ("entropy", "margin", "least_confidence")
WITH_MODULE = " + loss module"
LOSS_MODULE: Mapping[str, Any] = {"joint": "loss_prediction"}

# Accuracy (%) at 1k, 2k, 3k, 5k, 7k, 10k labels: mean and sd of 3 paired trials with nearly the same recipe.
_PUBLISHED_AT = (1_000, 2_000, 3_000, 5_000, 7_000, 10_000)
_PUBLISHED_SOURCE = "result files of intellisec/eval-al (WACV 2023)"
_PUBLISHED = {
    "random": ((46.98, 0.67), (57.81, 4.17), (66.29, 3.79), (78.36, 1.82), (83.83, 1.06), (86.85, 0.10)),
    "entropy": ((46.98, 0.67), (58.68, 1.46), (67.40, 1.25), (80.11, 0.78), (86.65, 0.53), (89.89, 0.29)),
    "coreset": ((46.98, 0.67), (58.17, 2.40), (66.83, 2.71), (79.75, 1.46), (85.63, 0.84), (89.14, 0.35)),
    "badge": ((46.98, 0.67), (59.02, 1.82), (67.40, 2.02), (80.06, 1.36), (86.23, 0.53), (89.72, 0.63)),
}


def _published(shown: Collection[str]) -> tuple[Published, ...]:
    return tuple(
        Published(label, labeled, accuracy, sd, _PUBLISHED_SOURCE)
        for label, row in _PUBLISHED.items()
        if label in shown
        for labeled, (accuracy, sd) in zip(_PUBLISHED_AT, row, strict=True)
    )


def _arms(env_id: str, uncertainty: str, **env_kwargs: Any) -> tuple[Arm, ...]:
    """Returns the arms of Figure 1 (LL4AL alone trains with its module), then those of Figure 8c."""
    own_score = ("random", uncertainty, "coreset", "badge")
    ll4al = Arm("ll4al", env_id, "ll4al", {**env_kwargs, **LOSS_MODULE})
    plain = product(env_id, own_score, env_kwargs)
    trained_alike = product(env_id, own_score, env_kwargs, {WITH_MODULE: LOSS_MODULE})
    return (*plain, ll4al, *trained_alike)


def _pictures(own_score: tuple[str, ...]) -> tuple[Picture, ...]:
    """Returns Figure 1 and Figure 8c; LL4AL, which always trains with its module, is in both."""
    labels = (*own_score, "ll4al")
    alike = (*(label + WITH_MODULE for label in own_score), "ll4al")
    alone = "LL4AL trains with its loss module, the others without"
    return (
        Picture("curve", alone, labels, against_one(labels, "random")),
        Picture(
            "curve_loss_module",
            "All train with the loss module",
            alike,
            against_one(alike, "random" + WITH_MODULE),
        ),
    )


def _checks(uncertainty: str) -> tuple[Check, ...]:
    """Returns what decides the claim, part by part."""
    strategies = (uncertainty, "coreset", "badge", "ll4al")
    return (
        *(
            Check(label, "random", 1, at, f"{label} beats Random {where}.")
            for label in strategies
            for at, where in ((None, "over the whole curve"), ("end", "where accuracy is above 75 %"))
        ),
        *(
            Check("ll4al", label, 1, None, f"LL4AL, alone with its loss module, leads {label}.")
            for label in (uncertainty, "badge")
        ),
        *(
            Check("ll4al", label + WITH_MODULE, 0, None, f"LL4AL leads no more once {label} has the module.")
            for label in (uncertainty, "badge")
        ),
    )


@register
def default_setting(uncertainty: str = "entropy", dataset: str = "cifar10") -> Scenario:
    """The paper's default setting, with and without the loss module for all (Figures 1, 8c, 11 and 46).

    Args:
        uncertainty: Which score stands for the paper's "Uncertainty": ``entropy``, ``margin`` or
            ``least_confidence`` (the paper does not say).
        dataset: One of the paper's datasets; the small size has FashionMNIST for CIFAR-10.
    """
    check_option("dataset", dataset, BENCHMARKS)
    check_option("uncertainty score", uncertainty, UNCERTAINTY)
    own_score = ("random", uncertainty, "coreset", "badge")
    paper = _arms(environment_id(dataset), uncertainty)
    # With a cold start a run takes about 90 s of one core, and Random passes 85 % at the third of five sizes.
    small = _arms(
        environment_id("fashion_mnist" if dataset == "cifar10" else dataset),
        uncertainty,
        backbone="lenet",
        epochs=20,
        batch_size=32,
        lr=0.05,
        nesterov=True,
        schedule="onecycle",
        warmup=0.2,
        crop_padding=0,
        initial_size=1_000,
        query_size=1_000,
        budget=4_000,
    )
    smoke = _arms("ALDigits-v0", uncertainty, epochs=2, initial_size=40, query_size=20, budget=40)
    return Scenario(
        name="default_setting",
        title="The paper's default setting",
        claim="Every strategy beats Random, mostly once accuracy is above 75 %; the lead of LL4AL vanishes "
        "when all strategies train with its loss module.",
        source="Figures 1, 8c, 11 and 46, sections 3 and 6",
        sizes={
            "paper": Grid(
                paper, 3, f"{NAMES[dataset]}, ResNet-18, the labels of the paper: hours a run on a GPU"
            ),
            "small": Grid(
                small,
                3,
                "FashionMNIST (or the dataset asked for), LeNet, 1,000 labels + 4 x 1,000: half an hour on 2 cores",
            ),
            "smoke": Grid(smoke, 2, "Digits, 2 epochs, 40 labels + 2 x 20: seconds"),
        },
        pictures=_pictures(own_score),
        checks=_checks(uncertainty),
        published=_published(own_score) if dataset == "cifar10" else (),
    )
