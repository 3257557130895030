"""All strategies on real images: trained from scratch, and on frozen features with few labels and with many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents import index
from alenv.needs import ALWAYS
from scenarios.plan.arm import Arm
from scenarios.plan.registry import register
from scenarios.plan.scenario import Check, Grid, Picture, Scenario
from scenarios.plan.sizes import LENET

# What a training must have for the scores that some strategies need, and how its arms are labeled.
REGIMES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "members": ("dropout", {"dropout": 0.5}),
    "predicted_loss": ("loss module", {"joint": "loss_prediction"}),
    "discriminator": ("discriminator", {"joint": "discriminator"}),
    "wasserstein": ("critic", {"joint": "wasserstein", "joint_length": "labeled"}),
}

# Strategies that train networks of their own, or sample: as much of it as a CPU can do, and next to nothing.
ON_A_CPU = {
    "asal": "asal:width=0.25:epochs=4:steps=20",
    "bait": "bait:dimensions=512",
    "batch_bald": "batch_bald:samples=1000",
    "consistency": "consistency:views=5",
    "core_gcn": "core_gcn:steps=50",
    "dal": "dal:sub_batches=2:epochs=20",
    "sraal": "sraal:width=0.0625:latent=32:epochs=2",
    "ta_vaal": "ta_vaal:width=0.0625:epochs=4",
    "uncertain_gcn": "uncertain_gcn:steps=50",
    "vaal": "vaal:width=0.0625:epochs=2",
    "vab_al": "vab_al:epochs=4:samples=10",
}
IN_A_MOMENT = {
    "asal": "asal:width=0.25:epochs=2:steps=2:latent=8",
    "batch_bald": "batch_bald:samples=500",
    "consistency": "consistency:views=2",
    "core_gcn": "core_gcn:steps=2",
    "dal": "dal:sub_batches=2:epochs=2",
    "sraal": "sraal:width=0.03125:latent=8:epochs=1",
    "ta_vaal": "ta_vaal:width=0.03125:epochs=1",
    "uncertain_gcn": "uncertain_gcn:steps=2",
    "vaal": "vaal:width=0.03125:epochs=1",
    "vab_al": "vab_al:epochs=1:samples=2",
}


# They learn from the images, whatever the classifier is: not beside frozen features.
ON_IMAGES = ("sraal", "vaal")
# It chooses 40 images at most, and the query on FashionMNIST is larger.
LARGE_QUERY = ("batch_bald",)


@dataclass(frozen=True)
class Ground:
    """An environment with all strategies that it can be played with.

    Attributes:
        name: How its picture is called and what stands behind an agent in a label.
        title: Heading of its picture.
        env_id: The environment.
        settings: Its settings; all arms share them.
        seeds: How many seeds are played.
        frozen: Whether the classifier is a linear head on frozen features.
        spelled: Agents that are spelled with options here.
        left_out: Agents that cannot be played here.
    """

    name: str
    title: str
    env_id: str
    settings: Mapping[str, Any]
    seeds: int
    frozen: bool = False
    spelled: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def agents(self) -> dict[str, str]:
        """Returns agent -> the regime that it needs, ``""`` for none; agents that need more are left out."""
        found = {}
        for name in index.names():
            needed = set(index.describe(name).needs)
            regimes = [need for need in REGIMES if need in needed]
            impossible = self.frozen and (name in ON_IMAGES or needed - {*ALWAYS, "embedding"})
            if impossible or name in self.left_out or index.is_ceiling(name):
                continue
            found[name] = regimes[0] if regimes else ""
        return found

    def label(self, agent: str, regime: str = "") -> str:
        """Names an arm; only Random is played under several regimes."""
        trained = f" + {REGIMES[regime][0]}" if agent == "random" and regime else ""
        return f"{agent}{trained} ({self.name})"

    def arms(self) -> tuple[Arm, ...]:
        """Returns Random under every regime, then all strategies."""
        pairs = list(self.agents().items())
        played = [("random", regime) for regime in dict.fromkeys(regime for _, regime in pairs if regime)]
        return tuple(
            Arm(
                self.label(agent, regime),
                self.env_id,
                self.spelled.get(agent, agent),
                {**self.settings, **(REGIMES[regime][1] if regime else {})},
            )
            for agent, regime in (*pairs, *played)
        )

    def picture(self) -> Picture:
        """Returns every strategy minus Random under the training that it needs."""
        against = {
            self.label(agent, regime): self.label("random", regime)
            for agent, regime in self.agents().items()
            if agent != "random"
        }
        labels = tuple(arm.label for arm in self.arms())
        return Picture(self.name, self.title, labels, against, ranked=True)


def _grid(grounds: tuple[Ground, ...], note: str) -> Grid:
    most = max(ground.seeds for ground in grounds)
    fewer = {arm.label: ground.seeds for ground in grounds for arm in ground.arms() if ground.seeds < most}
    return Grid(tuple(arm for ground in grounds for arm in ground.arms()), most, note, fewer)


def _bought(initial: int, query: int, queries: int) -> dict[str, int]:
    return {"initial_size": initial, "query_size": query, "budget": query * queries}


def _frozen(pool: int, initial: int, query: int, queries: int) -> dict[str, Any]:
    features = {"embedding": "imagenet", "validation": 0, "reward": "accuracy"}
    return {**features, **_whole(pool, initial), **_bought(initial, query, queries)}


def _whole(pool: int, initial: int) -> dict[str, int]:
    """Returns a pool of some images, all of which are candidates: no strategy sees more than another."""
    return {"pool_size": pool, "candidates": pool - initial}


def _grounds(size: str) -> tuple[Ground, ...]:
    # The split is for those that learn from validation images; it is set aside for all.
    digits = {"embedding": "pixels", "validation": 100, **_whole(1_197, 20), **_bought(20, 20, 5)}
    fashion = {"embedding": "patches", "validation": 1_000}
    if size == "paper":
        whole = {**fashion, **_whole(59_000, 1_000), **_bought(1_000, 1_000, 9)}
        return (
            Ground("digits", "Digits", "ALDigits-v0", digits, 20),
            Ground("fashion", "FashionMNIST", "ALFashionMnist-v0", whole, 3, left_out=LARGE_QUERY),
            _on_cifar10("low", "few labels", _frozen(50_000, 0, 10, 10)),
            _on_cifar10("high", "many labels", _frozen(50_000, 1_000, 1_000, 9)),
        )
    if size == "small":
        lenet = {**fashion, **LENET, "start": "cold", **_whole(10_000, 200), **_bought(200, 100, 4)}
        title = "FashionMNIST, LeNet, 200 to 600 labels"
        return (
            Ground(
                "digits",
                "Digits, a small convnet, 20 to 120 labels",
                "ALDigits-v0",
                digits,
                10,
                False,
                ON_A_CPU,
            ),
            Ground("fashion", title, "ALFashionMnist-v0", lenet, 5, False, ON_A_CPU, LARGE_QUERY),
            _on_cifar10("low", "up to 10 labels a class", _frozen(5_000, 0, 20, 5), ON_A_CPU),
            _on_cifar10("high", "50 to 150 labels a class", _frozen(5_000, 500, 250, 4), ON_A_CPU),
        )
    trained = {**digits, "epochs": 1, "width": 4, **_bought(20, 10, 1)}
    frozen = {"validation": 0, "reward": "accuracy"}
    return tuple(
        Ground(
            name,
            name,
            f"ALDigits{recipe}-v0",
            settings,
            2,
            bool(recipe),
            IN_A_MOMENT,
            LARGE_QUERY if name == "fashion" else (),
        )
        for name, recipe, settings in (
            ("digits", "", trained),
            ("fashion", "", {**trained, **_whole(500, 20)}),
            ("low", "Ridge", {**frozen, **_whole(300, 0), **_bought(0, 10, 1)}),
            ("high", "Ridge", {**frozen, **_whole(300, 50), **_bought(50, 50, 1)}),
        )
    )


def _on_cifar10(
    name: str, labels: str, settings: Mapping[str, Any], spelled: Mapping[str, str] | None = None
) -> Ground:
    title = f"CIFAR-10, {labels}"
    return Ground(name, title, "ALCifar10Ridge-v0", settings, 20, True, spelled or {})


@register
def all_strategies() -> Scenario:
    """Every strategy minus Random under the same training: from scratch, and on frozen features."""
    low = ("typiclust", "prob_cover", "dcom")
    checks = [
        *(
            Check(f"{name} (low)", "random (low)", 1, what=f"With few labels {name} beats Random.")
            for name in low
        ),
        *(
            Check(
                f"{name} (low)",
                f"{other} (low)",
                1,
                what=f"With few labels {name} beats {other}.",
            )
            for name in low
            for other in ("entropy", "margin")
        ),
        *(
            Check(
                f"{name} (high)",
                f"{other} (high)",
                1,
                what=f"With many labels {name} beats {other}.",
            )
            for name in ("margin", "badge")
            for other in ("random", "typiclust", "prob_cover")
        ),
    ]
    notes = {
        "paper": "Digits; FashionMNIST with the paper's recipe; CIFAR-10, all images, on frozen features",
        "small": "as paper, with LeNet, pools of 5,000 and 10,000 images, and smaller networks of the strategies",
        "smoke": "Digits: a query each",
    }
    return Scenario(
        name="all_strategies",
        title="All strategies",
        claim="Typicality and coverage beat Random and uncertainty while labels are few, uncertainty beats Random "
        "and them when labels are many.",
        source="Hacohen et al. 2022, section 3; Yehuda et al. 2022, section 4; Mishal and Weinshall 2024, section 4",
        sizes={size: _grid(_grounds(size), note) for size, note in notes.items()},
        pictures=tuple(ground.picture() for ground in _grounds("paper")),
        checks=tuple(checks),
    )
