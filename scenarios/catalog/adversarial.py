"""Two published methods in their own settings and in the paper's: VAAL, and JLS's own parameters."""

from __future__ import annotations

from dataclasses import replace

from alenv.recipes import RECIPES
from scenarios.plan.arm import Arm
from scenarios.plan.registry import register
from scenarios.plan.scenario import Check, Grid, Picture, Scenario, against_one
from scenarios.plan.sizes import (
    Place,
    crossed,
    each_over_random,
    lenet_place,
    minus,
    paper_place,
    smoke_place,
)

PAPER, OWN = " paper", " VAAL's code"
TRAININGS = {PAPER: {"recipe": "paper"}, OWN: {"recipe": "vaal2019"}}
SETTINGS = {
    f"lr={rate}{' nesterov' if nesterov else ''} {start}": {"lr": rate, "nesterov": nesterov, "start": start}
    for rate in (0.1, 0.01)
    for nesterov in (False, True)
    for start in ("warm", "cold")
}
ADOPTED = "lr=0.01 nesterov warm"


@register
def vaal() -> Scenario:
    """VAAL beside Random under the paper's training and under VAAL's own (Figure 44)."""
    bought = RECIPES["vaal2019"].bought["cifar10"]
    agents = ("random", "vaal")
    cold = {
        PAPER: {},
        OWN: {"lr": 0.01, "schedule": "multistep", "milestones": [0.25, 0.5, 0.75], "start": "cold"},
    }
    narrow = {suffix: {**settings, "backbone": "convnet"} for suffix, settings in TRAININGS.items()}
    note = "Digits, three convolutions for 30 epochs, 20 labels + 4 x 20"
    return Scenario(
        name="vaal",
        title="VAAL under two trainings",
        claim="VAAL is on par with Random in its own code and in the paper's, which is 15 points or more above it.",
        source="Figure 44, section A.17",
        sizes=crossed(
            agents,
            TRAININGS,
            paper=paper_place(note="both trainings, the labels of VAAL: a GPU's work", **bought),
            small=Place("ALDigits-v0", {"budget": 80}, 5, note, cold, {"vaal": "vaal:width=0.125"}),
            smoke=replace(
                smoke_place(budget=20), variants=narrow, agents={"vaal": "vaal:width=0.03125:epochs=1"}
            ),
        ),
        pictures=(
            *each_over_random(agents, TRAININGS),
            minus("curve_training", "The paper's training minus VAAL's", agents, PAPER, OWN),
        ),
        checks=(
            *(
                Check("vaal" + suffix, "random" + suffix, 0, None, f"VAAL is on par with Random:{suffix}.")
                for suffix in TRAININGS
            ),
            Check("random" + PAPER, "random" + OWN, 1, None, "The paper's training is more accurate."),
        ),
    )


@register
def jls_parameters() -> Scenario:
    """JLS at two learning rates, with and without Nesterov momentum, warm and cold (Figure 45)."""
    bought = RECIPES["jls"].bought["cifar10"]
    settings = {
        "paper": paper_place(note="ResNet-18 for 200 epochs, the labels of JLS: a GPU's work", **bought),
        "small": lenet_place(),
        "smoke": smoke_place(),
    }
    return Scenario(
        name="jls_parameters",
        title="Parameters of JLS",
        claim="Which learning rate, momentum and start serve JLS best (the paper: 0.01, Nesterov and warm)?",
        source="Figure 45, section A.18; its discriminator's own learning rate is not among the settings, since it "
        "follows the classifier's",
        sizes={
            size: Grid(
                tuple(
                    Arm(label, place.env_id, "jls", {**place.settings, "joint": "discriminator", **chosen})
                    for label, chosen in SETTINGS.items()
                ),
                place.seeds,
                place.note,
            )
            for size, place in settings.items()
        },
        pictures=(Picture("curve", "", tuple(SETTINGS), against_one(SETTINGS, ADOPTED)),),
    )
