"""Which network is trained, and whether the strategies' lead outlives a change of it."""

from __future__ import annotations

from scenarios.plan.registry import register
from scenarios.plan.scenario import Check, Scenario
from scenarios.plan.sizes import (
    STRATEGIES,
    crossed,
    each_over_random,
    lenet_place,
    paper_place,
    smoke_place,
    to_random,
)

RESNET, VGG, DENSENET = " ResNet-18", " VGG-16", " DenseNet-201"
NETWORKS = {
    RESNET: {"backbone": "resnet18"},
    VGG: {"backbone": "vgg16"},
    DENSENET: {"backbone": "densenet201"},
}
NARROW = {
    suffix: {**settings, "width": width}
    for (suffix, settings), width in zip(NETWORKS.items(), (8, 8, 4), strict=True)
}


@register
def backbones(dataset: str = "cifar10") -> Scenario:
    """The default setting with three networks (Figures 2 and 12).

    Args:
        dataset: One of the paper's datasets.
    """
    small = lenet_place(dataset, seeds=3).but(
        "FashionMNIST (or the dataset asked for), the three networks at an eighth of their width, 20 epochs, "
        "200 labels + 2 x 200: the first cycle takes 3 to 29 s of one core, DenseNet-201 longest",
        variants=NARROW,
        budget=400,
        lr=0.1,
    )
    return Scenario(
        name="backbones",
        title="Three networks",
        claim="ResNet-18 is more accurate than VGG-16, and that more than DenseNet-201, where the strategies are about "
        "as good as Random.",
        source="Figures 2 and 12",
        sizes=crossed(
            STRATEGIES,
            NETWORKS,
            paper=paper_place(
                dataset, note="three networks, 200 epochs, the labels of the paper: a GPU's work"
            ),
            small=small,
            smoke=smoke_place().but(variants=NARROW),
        ),
        pictures=each_over_random(STRATEGIES, NETWORKS),
        checks=(
            Check("random" + RESNET, "random" + VGG, 1, None, "ResNet-18 is more accurate than VGG-16."),
            Check("random" + VGG, "random" + DENSENET, 1, None, "VGG-16 is more accurate than DenseNet-201."),
            *to_random(STRATEGIES, DENSENET, 0, "{} is as good as Random with DenseNet-201."),
        ),
    )
