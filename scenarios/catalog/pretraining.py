"""Weights that were trained before the first label is bought, and a handful of labels with and without them."""

from __future__ import annotations

from typing import Any

from scenarios.plan.registry import check_option, register
from scenarios.plan.scenario import Check, Scenario
from scenarios.plan.sizes import (
    FEW,
    STRATEGIES,
    Place,
    crossed,
    further,
    lenet_place,
    minus,
    over_random,
    pairwise,
    paper_place,
    smoke_place,
    to_random,
)

SCRATCH, PRETRAINED = " from scratch", " pretrained"
_PUT_BACK = {"start": "pretrained"}
ROTATION = {SCRATCH: {}, PRETRAINED: {"pretraining": "rotation", **_PUT_BACK}}
QUICK = {SCRATCH: {}, PRETRAINED: {"pretraining": "rotation", "pretraining_epochs": 1, **_PUT_BACK}}
HANDFUL: dict[str, Any] = {"initial_size": 100, "query_size": 100, "budget": 900}


def _convnet(dataset: str, variant: dict[str, Any], note: str, **settings: Any) -> Place:
    """Returns the place where pretraining was seen to help on a CPU."""
    env_id = {"cifar10": "ALCifar10Convnet-v0", "cifar100": "ALCifar100Convnet-v0"}[dataset]
    variants = {SCRATCH: {}, PRETRAINED: {**variant, **_PUT_BACK}}
    return Place(env_id, {"threads": 1, **FEW, **settings}, 3, note, variants)


_TURNS = {"pretraining": "rotation", "pretraining_epochs": 15}
_TURNED = (
    "CIFAR-10 (or CIFAR-100), three convolutions, rotations for 15 epochs once (50 minutes of one core), then {}: "
    "2 minutes of one core a run"
)


@register
def rotation_pretraining(dataset: str = "cifar10") -> Scenario:
    """Weights that told rotations apart, put back in every cycle, minus random ones (Figures 10, 32 and 33).

    Args:
        dataset: ``cifar10`` or ``cifar100``.
    """
    check_option("dataset", dataset, ("cifar10", "cifar100"))
    shrinking = "Pretraining helps {} on the initial set."
    return Scenario(
        name="rotation_pretraining",
        title="Rotation pretraining",
        claim="Pretraining adds about 25 points on the initial set of CIFAR-10 and less later; LL4AL no longer leads."
        if dataset == "cifar10"
        else "How much does rotation pretraining add, and what does it leave of the strategies' lead?",
        source="Figures 10, 32 and 33",
        sizes=crossed(
            STRATEGIES,
            ROTATION,
            paper=paper_place(dataset),
            small=_convnet(dataset, _TURNS, _TURNED.format("200 labels + 4 x 200")),
            smoke=smoke_place().but(variants=QUICK),
        ),
        pictures=(
            minus("curve", "Pretrained minus from scratch", STRATEGIES, PRETRAINED, SCRATCH),
            *further(STRATEGIES, ROTATION),
        ),
        checks=(
            *pairwise(("random",), PRETRAINED, SCRATCH, 1, shrinking, "start"),
            *pairwise(STRATEGIES, PRETRAINED, SCRATCH, 1, "Pretraining helps {} over the whole curve."),
            Check("ll4al" + PRETRAINED, "badge" + PRETRAINED, 0, None, "LL4AL does not lead BADGE."),
        )
        if dataset == "cifar10"
        else (),
    )


@register
def supervised_pretraining() -> Scenario:
    """Weights that were trained on the labels of TinyImageNet, put back in every cycle (Figure 34)."""
    variants = {SCRATCH: {}, PRETRAINED: {"pretraining": "tiny_imagenet", **_PUT_BACK}}
    other = {"pretraining": "cifar100", "pretraining_epochs": 15}
    note = (
        "CIFAR-10, three convolutions, the labels of CIFAR-100 for 15 epochs once, then 200 labels + 4 x 200"
    )
    smoke = smoke_place()
    return Scenario(
        name="supervised_pretraining",
        title="Pretraining on another dataset's labels",
        claim="Pretraining on the labels of TinyImageNet helps.",
        source="Figure 34, section A.11.3; ImageNet's weights, which it found to hurt slightly, are not among the arms",
        sizes=crossed(
            STRATEGIES,
            variants,
            paper=paper_place(),
            small=_convnet("cifar10", other, note),
            smoke=smoke.but(
                f"{smoke.note}; rotations stand for another dataset, which would be a download",
                variants=QUICK,
            ),
        ),
        pictures=(
            minus("curve", "Pretrained minus from scratch", STRATEGIES, PRETRAINED, SCRATCH),
            *further(STRATEGIES, variants),
        ),
        checks=pairwise(STRATEGIES, PRETRAINED, SCRATCH, 1, "Pretraining on TinyImageNet's labels helps {}."),
    )


@register
def handful(dataset: str = "cifar10") -> Scenario:
    """A hundred labels, and a hundred more at a time (Figure 47).

    Args:
        dataset: ``cifar10``, ``svhn`` or ``fashion_mnist``.
    """
    check_option("dataset", dataset, ("cifar10", "svhn", "fashion_mnist"))
    small = {"initial_size": 20, "query_size": 20, "budget": 180}
    return Scenario(
        name="handful",
        title="A handful of labels",
        claim="With a handful of labels no strategy is consistently better than Random.",
        source="Figure 47, section A.19",
        sizes=crossed(
            STRATEGIES,
            {"": {}},
            paper=paper_place(dataset, note="ResNet-18 for 200 epochs, 100 labels + 9 x 100", **HANDFUL),
            small=lenet_place(dataset, small, seeds=10),
            smoke=smoke_place(),
        ),
        pictures=(over_random("curve", "", STRATEGIES),),
        checks=to_random(STRATEGIES, "", 0, "With a handful of labels {} is as good as Random."),
    )


@register
def handful_pretrained() -> Scenario:
    """A hundred labels, and a hundred more at a time, with rotation pretraining (Figure 48)."""
    return Scenario(
        name="handful_pretrained",
        title="A handful of labels with pretraining",
        claim="Pretraining gains more than 100 % of the accuracy at first and more than 40 % at the end; the "
        "strategies stay near Random.",
        source="Figure 48, section A.19",
        sizes=crossed(
            STRATEGIES,
            ROTATION,
            paper=paper_place(note="ResNet-18 for 200 epochs, 100 labels + 9 x 100", **HANDFUL),
            small=_convnet(
                "cifar10",
                _TURNS,
                _TURNED.format("100 labels + 5 x 100"),
                initial_size=100,
                query_size=100,
                budget=500,
            ),
            smoke=smoke_place().but(variants=QUICK),
        ),
        pictures=(
            minus("curve", "Pretrained minus from scratch", STRATEGIES, PRETRAINED, SCRATCH),
            *further(STRATEGIES, ROTATION),
        ),
        checks=(
            *(
                Check("random" + PRETRAINED, "random" + SCRATCH, 1, at, f"Pretraining helps at the {at}.")
                for at in ("start", "end")
            ),
            *to_random(STRATEGIES, PRETRAINED, 0, "Pretrained, {} is as good as Random."),
        ),
    )
