"""Every publication in its own setting, beside the range that it reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from alenv.presets import resolve
from alenv.recipes import RECIPES
from scenarios.plan.arm import Arm
from scenarios.plan.registry import register
from scenarios.plan.scenario import Check, Grid, Picture, Published, Scenario

SOURCE = "the paper, Table 3; the middle value is taken to be that of the middle cycle, which the table does not say"


class Publication(NamedTuple):
    """A publication on CIFAR-10: its recipe here, its method, and accuracies (%) at first, in the middle, at last."""

    recipe: str
    agent: str
    method: tuple[float | None, ...]
    random: tuple[float | None, ...]


ROWS = (
    Publication("coreset2018", "coreset", (60, 81, 90), (60, 77, 90)),
    Publication("vaal2019", "vaal:original=true", (61, 77, 80), (61, 69, 74)),
    Publication(
        "badge2019", "badge", (None, None, None), (None, None, None)
    ),  # almost equal, in many settings
    Publication("ll4al2019", "ll4al", (52, 84, 90.5), (51, 80, 87)),
    Publication("sraal2020", "sraal", (80, 91, None), (80, 88.5, 91)),
    Publication("waal2020", "waal", (55, 68, 75), (47, 61, 72)),
    Publication("jls2021", "jls", (81, 87, 90.5), (62, 70, 76)),
    Publication("gcn2021", "core_gcn", (51, 85, 90.5), (51, 82, 86)),
    Publication("tavaal2021", "ta_vaal", (53, 85, 90), (50, 82, 87)),
    Publication("isal2021", "isal", (45, 82, 90), (45, 80, 87)),
    Publication("vabal2021", "vab_al", (72, 87, 91.5), (72, 85, 87)),
)
# Methods that train networks of their own, in the sizes for a CPU and in the one for seconds.
NARROW = {
    "vaal:original=true": "vaal:width=0.125",
    "sraal": "sraal:width=0.125:latent=32",
    "ta_vaal": "ta_vaal:width=0.125",
    "vab_al": "vab_al",
}
BRIEF = {
    "vaal:original=true": "vaal:width=0.03125:epochs=1",
    "core_gcn": "core_gcn:steps=2",
    "sraal": "sraal:width=0.03125:latent=8:epochs=1",
    "ta_vaal": "ta_vaal:width=0.03125:epochs=1",
    "vab_al": "vab_al:epochs=1:samples=2",
}
QUICK = {
    "backbone": "convnet",
    "initial_size": 40,
    "query_size": 20,
    "lr": 0.1,
    "optimizer": "sgd",
    "nesterov": False,
    "batch_size": 20,
}


def _labels(row: Publication) -> tuple[str, str]:
    title = RECIPES[row.recipe].title
    name = row.agent.partition(":")[0]
    return f"{name} {title}", f"random {title}"


def _arms(env_id: str, spellings: Mapping[str, str], **settings: object) -> tuple[Arm, ...]:
    """Returns each publication's method, maybe in another spelling, and Random in its training."""
    arms = []
    for row in ROWS:
        agents = (spellings.get(row.agent, row.agent), "random")
        for label, player in zip(_labels(row), agents, strict=True):
            arms.append(Arm(label, env_id, player, {"recipe": row.recipe, **settings}))
    return tuple(arms)


def _published() -> tuple[Published, ...]:
    found = []
    for row in ROWS:
        protocol = resolve("cifar10", row.recipe, {}).protocol
        last = protocol.cycles
        for label, accuracies in zip(_labels(row), (row.method, row.random), strict=True):
            for cycle, accuracy in zip((0, last // 2, last), accuracies, strict=True):
                labeled = protocol.initial_size + cycle * protocol.query_size
                if accuracy is not None:
                    found.append(Published(label, labeled, accuracy, None, SOURCE))
    return tuple(found)


@register
def table3() -> Scenario:
    """Every publication's method and Random in that publication's own setting (Table 3)."""
    digits = "Digits, three convolutions, each publication's schedule and start with SGD at 0.1"
    return Scenario(
        name="table3",
        title="The publications' own settings",
        claim="Every publication reports its method to be ahead of Random in its own setting.",
        source="Tables 1, 3 and 4; on CIFAR-10, what cannot be read left out",
        sizes={
            "paper": Grid(
                _arms("ALCifar10-v0", {}),
                3,
                "CIFAR-10, eleven publications' recipes and labels: a GPU's work",
            ),
            "small": Grid(
                _arms("ALDigits-v0", NARROW, **QUICK, epochs=30, budget=80),
                5,
                f"{digits}, 40 labels + 4 x 20",
            ),
            "smoke": Grid(
                _arms("ALDigits-v0", BRIEF, **QUICK, epochs=1, budget=20, width=4),
                2,
                f"{digits}, 1 epoch: seconds",
            ),
        },
        pictures=tuple(
            Picture(
                f"curve_{row.recipe}" if at else "curve",
                RECIPES[row.recipe].source or row.recipe,
                _labels(row),
                {_labels(row)[0]: _labels(row)[1]},
            )
            for at, row in enumerate(ROWS)
        ),
        checks=tuple(
            Check(*_labels(row), 1, None, f"{_labels(row)[0]} beats Random in its own setting.")
            for row in ROWS
        ),
        published=_published(),
    )
