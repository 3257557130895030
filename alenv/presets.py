"""The defaults of every environment id: per dataset, per recipe, and how a user's own settings replace them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from alenv.errors import AlenvError, InvalidRecipe, unknown
from alenv.recipes import RECIPES
from alenv.settings import FOLDER_OPTIONS, Options, Protocol, Recipe, Settings, field_names, is_path


@dataclass(frozen=True)
class Preset:
    """Settings that differ from the defaults of ``Recipe``, ``Protocol`` and ``Options``."""

    title: str
    settings: dict[str, Any] = field(default_factory=dict)


BENCHMARKS = ("cifar10", "cifar100", "svhn", "fashion_mnist", "tiny_imagenet")

_TEN_THOUSAND = {"initial_size": 1000, "query_size": 1000, "budget": 9000}
_TWENTY_THOUSAND = {"initial_size": 2000, "query_size": 2000, "budget": 18000}

# A flip turns a 2 into no digit at all, so digits are only shifted; clothes and objects are flipped as well.
DATASETS: dict[str, Preset] = {
    "digits": Preset(
        "Digits",
        {
            "initial_size": 20,
            "query_size": 20,
            "budget": 160,
            "backbone": "convnet",
            "lr": 0.1,
            "nesterov": True,
            "batch_size": 20,  # a whole number of batches at every size of the labeled set
            "epochs": 30,
            "schedule": "onecycle",
            "warmup": 0.2,
            "start": "cold",
            "flip": False,
            "crop_padding": 1,
            "precision": "fp32",
            "default_device": "cpu",
            "threads": 1,
        },
    ),
    "cifar10": Preset("Cifar10", _TEN_THOUSAND),
    "cifar100": Preset("Cifar100", _TWENTY_THOUSAND),
    "svhn": Preset("Svhn", {**_TEN_THOUSAND, "flip": False}),
    "fashion_mnist": Preset("FashionMnist", _TEN_THOUSAND),
    "tiny_imagenet": Preset("TinyImageNet", {**_TWENTY_THOUSAND, "crop_padding": 8}),
    "image_folder": Preset("ImageFolder", {"initial_size": 100, "query_size": 100, "budget": 500}),
}

_RIDGE_SMALL = {"embedding": "pixels", "validation": 200, "initial_size": 10, "query_size": 10, "budget": 100}
_RIDGE_OF_FOLDER = {**_RIDGE_SMALL, "embedding": "patches", "candidates": None}
_LINEAR = ("ridge", "logistic")

# What a regime is, beside how long and how fast it trains: all that Digits take of one.
_REGIME = ("joint", "ensemble", "pretraining", "start")


def _as_digits(recipe: str) -> dict[str, Any]:
    """Returns the settings with which Digits train under a regime as they always do."""
    plain_recipe, own = Recipe(), DATASETS["digits"].settings
    taken = [
        name for name in RECIPES[recipe].settings if name not in _REGIME and not name.startswith("joint_")
    ]
    return {name: own.get(name, getattr(plain_recipe, name)) for name in taken}


# Settings of one dataset with one recipe, where the recipe's own do not fit it.
EXCEPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    **{("digits", name): {**_RIDGE_SMALL, "candidates": None} for name in _LINEAR},
    **{("image_folder", name): _RIDGE_OF_FOLDER for name in _LINEAR},
    **{("digits", name): _as_digits(name) for name in ("jls", "fixmatch")},
    ("digits", "waal"): {
        **_as_digits("waal"),
        "joint_length": "labeled",
    },  # seconds, where the published takes minutes
    ("digits", "rotation"): {"pretraining_epochs": 10},
}

# The default Digits recipe is a small network trained from scratch in seconds already.
LEFT_OUT = {("digits", "fast"), ("digits", "convnet"), ("digits", "cold")}


def recipes_of(dataset: str) -> list[str]:
    """Names the recipes that a dataset has an id with."""
    return [
        name
        for name, recipe in RECIPES.items()
        if (dataset, name) not in LEFT_OUT and (dataset in BENCHMARKS or not recipe.benchmarks_only)
    ]


def recipe_named(text: Any) -> str:
    """Returns the key of a recipe that is given by its key or its title, for instance ``"jls"`` or ``"Jls"``.

    Raises:
        UnknownName: There is none.
    """
    keys = {recipe.title: name for name, recipe in RECIPES.items()}
    if not isinstance(text, str) or (text not in RECIPES and text not in keys):
        raise unknown("recipe", text, RECIPES)
    return text if text in RECIPES else keys[text]


def add_dataset(name: str, title: str, settings: dict[str, Any]) -> None:
    """Adds the defaults of a user's own dataset, with every recipe; a repeated name replaces them.

    Raises:
        UnknownName: There is no such setting.
        AlenvError: A value is not allowed.
    """
    before = DATASETS.get(name)
    DATASETS[name] = Preset(title, dict(settings))
    # What is bought is the dataset's, whatever the recipe; how it is trained, the recipe's where it says so.
    bought = {field: value for field, value in settings.items() if field not in field_names(Recipe)}
    for recipe in recipes_of(name):
        EXCEPTIONS[name, recipe] = {**(_RIDGE_OF_FOLDER if recipe in _LINEAR else {}), **bought}
    try:
        for recipe in recipes_of(name):
            resolve(name, recipe, {})
    except AlenvError:
        del DATASETS[name]
        if before is not None:
            DATASETS[name] = before
        raise


def defaults(dataset: str, recipe: str) -> dict[str, Any]:
    """Returns the settings of an id that differ from the dataclasses' own defaults.

    Raises:
        UnknownName: There is no such dataset or recipe.
    """
    if not isinstance(dataset, str) or dataset not in DATASETS:
        raise unknown("dataset", dataset, DATASETS)
    named = RECIPES[recipe_named(recipe)]
    special = EXCEPTIONS.get((dataset, recipe_named(recipe)), {})
    return {**DATASETS[dataset].settings, **named.settings, **named.bought.get(dataset, {}), **special}


def resolve(dataset: str, recipe: str, given: dict[str, Any]) -> Settings:
    """Merges the defaults of an id with what the user gave.

    Args:
        dataset: A key of ``DATASETS``.
        recipe: A key of ``RECIPES``, or its title.
        given: Any field of ``Recipe``, ``Protocol`` and ``Options``; names that start with ``joint_`` are
            options of the joint objective; ``recipe`` replaces that of the id.

    Raises:
        UnknownName: A setting does not exist; the message names the nearest one that does.
        InvalidRecipe: A value cannot be trained.
        InvalidProtocol: A value cannot be played.
    """
    groups = {
        "recipe": set(field_names(Recipe)) - {"joint_options"},
        "protocol": set(field_names(Protocol)),
        "options": set(field_names(Options)),
    }
    known = set().union(*groups.values())
    given = {name: plain(value) for name, value in given.items()}
    for name in FOLDER_OPTIONS:
        if name in given and dataset != "image_folder":
            raise InvalidRecipe(f"{name}= was given for {dataset}; only ALImageFolder environments take it.")
    recipe = recipe_named(given.pop("recipe", recipe))
    merged = {**_fitting(defaults(dataset, recipe), given), **given}
    joint = {name: value for name, value in merged.items() if name.startswith("joint_")}
    for name in merged:
        if name not in known and name not in joint:
            raise unknown("setting", name, known - {"default_device"})
    if "initial_size" not in given and is_path(given.get("initial_set")):
        from alenv.initial import names_in  # noqa: PLC0415  (torch loads only where a file is given)

        merged["initial_size"] = len(names_in(given["initial_set"]))
    parts = {group: {k: v for k, v in merged.items() if k in names} for group, names in groups.items()}
    settings = Settings(
        Recipe(**parts["recipe"], joint_options=tuple(sorted(joint.items()))),
        Protocol(**parts["protocol"]),
        Options(**parts["options"]),
    )
    chosen = settings.protocol.initial_set
    if chosen in ("kmeans++", "kcenter") and settings.recipe.embedding is None:
        raise InvalidRecipe(f"initial_set={chosen!r} needs distances; add embedding='patches' or 'pixels'.")
    if not settings.options.test and not settings.protocol.validation:
        raise InvalidRecipe(
            "test=False was given without a validation split, so nothing would be measured; add validation=500."
        )
    return settings


def _fitting(preset: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Returns an id's defaults without those that belong to a setting which the user replaced."""
    replaced = set()
    chosen = {
        **preset,
        **given,
    }  # a recipe may bring an optimizer for which a dataset's momentum means nothing
    if chosen.get("optimizer", "sgd") != "sgd" or chosen.get("momentum") == 0:
        replaced.add("nesterov")
    if "query_size" in given:
        replaced.add("candidates")
    if given.get("joint", preset.get("joint")) != preset.get("joint"):
        replaced |= {name for name in preset if name.startswith("joint_")}
    if isinstance(given.get("backbone"), str):
        from alenv import nets  # noqa: PLC0415  (torch loads only where a backbone is given)

        if nets.fixed_size(given["backbone"]):
            replaced.add("low_resolution")
    return {name: value for name, value in preset.items() if name not in replaced}


def plain(value: Any) -> Any:
    """Turns lists into tuples, paths into text, and what is NumPy's into Python's, as states and specs hold them."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return tuple(plain(each) for each in value)
    return value
