"""What a training comes to when every label is bought."""

from __future__ import annotations

from alenv.presets import BENCHMARKS
from alenv.registration import environment_id
from scenarios.plan.registry import register
from scenarios.plan.scenario import Grid, Picture, Published, Scenario
from scenarios.plan.sizes import NAMES, arms_of, lenet_place, smoke_place

IMAGES = {
    "cifar10": 50_000,
    "cifar100": 50_000,
    "svhn": 73_257,
    "fashion_mnist": 60_000,
    "tiny_imagenet": 100_000,
}
TABLE_2 = {
    "cifar10": (92.88, 0.23),
    "svhn": (95.22, 0.46),
    "fashion_mnist": (94.20, 0.17),
    "cifar100": (73.31, 0.28),
    "tiny_imagenet": (24.56, 0.98),
}


@register
def full_data() -> Scenario:
    """The paper's training on all labels of its five datasets (Table 2)."""
    once = {name: {"initial_size": count, "budget": 0} for name, count in IMAGES.items()}
    lenet, smoke = lenet_place(epochs=10).settings, smoke_place()
    environments = {name: environment_id(name) for name in BENCHMARKS}
    paper = {name: (environments[name], once[name]) for name in BENCHMARKS}
    small = {name: (environments[name], {**lenet, **once[name]}) for name in BENCHMARKS}
    digits = {
        name: (smoke.env_id, {**smoke.settings, "initial_size": 1_297, "budget": 0, "width": 4 + at})
        for at, name in enumerate(BENCHMARKS)
    }
    return Scenario(
        name="full_data",
        title="All labels of five datasets",
        claim="With all labels the training comes to "
        + ", ".join(f"{accuracy:.2f} % on {NAMES[name]}" for name, (accuracy, _) in TABLE_2.items())
        + ".",
        source="Table 2",
        sizes={
            "paper": Grid(
                arms_of("random", paper), 3, "five datasets, ResNet-18 for 200 epochs: a GPU's work"
            ),
            "small": Grid(arms_of("random", small), 2, "five datasets, LeNet for 10 epochs"),
            "smoke": Grid(
                arms_of("random", digits), 2, "Digits in the place of each, five widths, 1 epoch: seconds"
            ),
        },
        pictures=(Picture("curve", "", BENCHMARKS),),
        published=tuple(
            Published(name, IMAGES[name], accuracy, sd, "the paper, Table 2")
            for name, (accuracy, sd) in TABLE_2.items()
        ),
    )
