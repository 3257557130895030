"""What the catalog's scenarios share: the paper's strategies, where each size is played, and the usual pictures."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from alenv.presets import BENCHMARKS
from alenv.registration import environment_id
from scenarios.plan.arm import Arm, product
from scenarios.plan.registry import check_option
from scenarios.plan.scenario import Check, Grid, Picture, against_one

Variants = Mapping[str, Mapping[str, Any]]

NAMES = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "svhn": "SVHN",
    "fashion_mnist": "FashionMNIST",
    "tiny_imagenet": "TinyImageNet",
}
RANDOM = "random"
# The paper does not say which score its "Uncertainty" is; `default_setting` has an option for it.
OWN_SCORE = (RANDOM, "entropy", "coreset", "badge")
STRATEGIES = (*OWN_SCORE, "ll4al@joint=loss_prediction")

LENET: Mapping[str, Any] = {
    "backbone": "lenet",
    "epochs": 20,
    "batch_size": 32,
    "lr": 0.05,
    "nesterov": True,
    "schedule": "onecycle",
    "warmup": 0.2,
    "crop_padding": 0,
}
FEW: Mapping[str, Any] = {"initial_size": 200, "query_size": 200, "budget": 800}
MANY: Mapping[str, Any] = {"initial_size": 1_000, "query_size": 1_000, "budget": 4_000}


@dataclass(frozen=True)
class Place:
    """Where the arms of one size are played.

    Attributes:
        env_id: The environment.
        settings: Its settings, the same for all arms.
        seeds: How many.
        note: What it is, and how long it takes where that was measured.
        variants: What replaces a scenario's variants in this size: variant -> settings.
        agents: What replaces an agent in this size, under the same label: agent -> spelling.
    """

    env_id: str
    settings: Mapping[str, Any]
    seeds: int
    note: str
    variants: Variants = field(default_factory=dict)
    agents: Mapping[str, str] = field(default_factory=dict)

    def but(self, note: str = "", seeds: int = 0, variants: Variants | None = None, **settings: Any) -> Place:
        """Returns the same place with other settings; what is left out stays."""
        return replace(
            self,
            settings={**self.settings, **settings},
            seeds=seeds or self.seeds,
            note=note or self.note,
            variants=self.variants if variants is None else variants,
        )

    def grid(self, agents: Sequence[str], variants: Variants) -> Grid:
        """Crosses agents with variants."""
        here = {suffix: self.variants.get(suffix, settings) for suffix, settings in variants.items()}
        arms = product(self.env_id, agents, self.settings, here)
        played = tuple(replace(arm, agent=self.agents.get(arm.agent, arm.agent)) for arm in arms)
        return Grid(played, self.seeds, self.note)


def crossed(
    agents: Sequence[str], variants: Variants, *, paper: Place, small: Place, smoke: Place
) -> dict[str, Grid]:
    """Crosses agents with variants in all sizes."""
    places = {"paper": paper, "small": small, "smoke": smoke}
    return {size: place.grid(agents, variants) for size, place in places.items()}


def paper_place(dataset: str = "cifar10", *, recipe: str = "paper", note: str = "", **settings: Any) -> Place:
    """Returns a dataset as published: by default ResNet-18, 200 epochs, three seeds.

    Raises:
        UnknownName: It is none of the paper's datasets.
    """
    check_option("dataset", dataset, BENCHMARKS)
    said = note or "ResNet-18 for 200 epochs, the labels of the paper: a GPU's work"
    return Place(environment_id(dataset, recipe), settings, 3, f"{NAMES[dataset]}, {said}")


def lenet_place(
    dataset: str = "cifar10", labels: Mapping[str, Any] = FEW, *, seeds: int = 5, **settings: Any
) -> Place:
    """Returns a small network that is trained in seconds; FashionMNIST stands for CIFAR-10.

    Weights are kept from cycle to cycle, as in the paper. The training is that of ``default_setting``.

    Raises:
        UnknownName: It is none of the paper's datasets.
    """
    check_option("dataset", dataset, BENCHMARKS)
    name = "fashion_mnist" if dataset == "cifar10" else dataset
    bought = {key: {**labels, **settings}[key] for key in FEW}
    queries, size = bought["budget"] // bought["query_size"], bought["query_size"]
    note = (
        f"{NAMES[name]}, LeNet for {settings.get('epochs', LENET['epochs'])} epochs, "
        f"{bought['initial_size']:,} labels + {queries} x {size:,}"
    )
    if labels is FEW and name == "fashion_mnist" and bought == FEW:
        note += ": 7 to 9 s of one core a run of random queries, plain or with the loss module"
    return Place(environment_id(name), {**LENET, "threads": 1, **labels, **settings}, seeds, note)


def ridge_place(note: str = "", *, seeds: int = 20, **settings: Any) -> Place:
    """Returns a closed-form head on frozen features, for questions that do not concern training."""
    bought = {"initial_size": 500, "query_size": 500, "budget": 5_000, "candidates": 5_000, **settings}
    said = "500 labels + 10 x 500"
    return Place(
        environment_id("fashion_mnist", "ridge"),
        bought,
        seeds,
        f"FashionMNIST, ridge head on patches, {note or said}",
    )


def smoke_place(**settings: Any) -> Place:
    """Returns digits for seconds."""
    chosen = {
        "epochs": 1,
        "width": 4,
        "start": "warm",
        "initial_size": 40,
        "query_size": 20,
        "budget": 40,
        **settings,
    }
    return Place(environment_id("digits"), chosen, 2, f"Digits, {chosen['epochs']} epoch: seconds")


def labels_of(agents: Iterable[str], suffix: str = "") -> tuple[str, ...]:
    """Returns the labels that ``product`` gives agents in one variant."""
    return tuple(agent.split("@", 1)[0] + suffix for agent in agents)


def over_random(name: str, title: str, agents: Sequence[str], suffix: str = "") -> Picture:
    """Returns a picture of one variant: every strategy minus Random within it."""
    labels = labels_of(agents, suffix)
    return Picture(name, title, labels, against_one(labels, RANDOM + suffix))


def minus(name: str, title: str, agents: Sequence[str], suffix: str, other: str) -> Picture:
    """Returns a picture of two variants: every agent in one minus the same agent in the other."""
    first, second = labels_of(agents, suffix), labels_of(agents, other)
    return Picture(name, title, (*first, *second), dict(zip(first, second, strict=True)))


def each_over_random(agents: Sequence[str], variants: Collection[str]) -> tuple[Picture, ...]:
    """Returns a picture for every variant, the first one named ``curve``."""
    return tuple(
        over_random(
            f"curve{_file(suffix)}" if at else "curve", suffix.strip(" +()") or "plain", agents, suffix
        )
        for at, suffix in enumerate(variants)
    )


def further(agents: Sequence[str], variants: Iterable[str]) -> tuple[Picture, ...]:
    """Returns a picture for every variant beside a scenario's first picture."""
    return tuple(
        over_random(f"curve{_file(suffix)}", f"{suffix.strip(' +()')}: differences to Random", agents, suffix)
        for suffix in variants
    )


def _file(suffix: str) -> str:
    """Returns what of a variant's name can stand in the name of a file."""
    words = "".join(letter if letter.isalnum() or letter == "." else " " for letter in suffix).split()
    return "_" + "_".join(words) if words else ""


def pairwise(
    agents: Sequence[str], suffix: str, other: str, sign: int, what: str, at: int | str | None = None
) -> tuple[Check, ...]:
    """Checks each agent in one variant against the same agent in another.

    Args:
        agents: Agent spellings.
        suffix: The variant that the claim is about.
        other: The variant it is compared with.
        sign: See ``Check``.
        what: The sentence, ``{}`` standing for the agent.
        at: See ``Check``.
    """
    return tuple(
        Check(agent + suffix, agent + other, sign, at, what.format(agent)) for agent in labels_of(agents)
    )


def to_random(
    agents: Sequence[str], suffix: str, sign: int, what: str, at: int | str | None = None
) -> tuple[Check, ...]:
    """Checks each strategy against Random within one variant; ``{}`` in ``what`` stands for the strategy."""
    return tuple(
        Check(agent + suffix, RANDOM + suffix, sign, at, what.format(agent))
        for agent in labels_of(agents)
        if agent != RANDOM
    )


def arms_of(agent: str, places: Mapping[str, tuple[str, Mapping[str, Any]]]) -> tuple[Arm, ...]:
    """Returns one arm for every place: label -> environment and settings."""
    return tuple(Arm(label, env_id, agent, settings) for label, (env_id, settings) in places.items())
