"""Traces that must not change by accident: streams to the number, accuracies to a few test images.

A change here means that published runs no longer repeat; it is either a mistake, or a new version of the ids.
"""

from __future__ import annotations

# To mypy, gym.Env lacks what the environment adds, and what a made one always has is optional: hence the
# ignored attr-defined, union-attr and index in this file.
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
from alenv import STATS_SIZE, presets, seeding
from alenv.learners.network import NetworkLearner
from alenv.oracle import Oracle
from alenv.runtime import Runtime
from alenv.settings import Recipe

KEY = 5874934615388537135  # the episode key of seed 0


# What is bought, and how it is trained, of ids that people have run.
PUBLISHED: dict[tuple[str, str], dict[str, Any]] = {
    ("cifar10", "paper"): {
        "initial_size": 1000,
        "query_size": 1000,
        "budget": 9000,
        "epochs": 200,
        "lr": 0.1,
    },
    ("cifar100", "paper"): {"initial_size": 2000, "query_size": 2000, "budget": 18000, "crop_padding": 4},
    ("svhn", "paper"): {"initial_size": 1000, "query_size": 1000, "budget": 9000, "flip": False},
    ("fashion_mnist", "paper"): {"initial_size": 1000, "query_size": 1000, "budget": 9000, "flip": True},
    ("tiny_imagenet", "paper"): {
        "initial_size": 2000,
        "query_size": 2000,
        "budget": 18000,
        "crop_padding": 8,
    },
    ("image_folder", "paper"): {"initial_size": 100, "query_size": 100, "budget": 500, "image_size": 32},
    ("digits", "paper"): {
        **{"initial_size": 20, "query_size": 20, "budget": 160, "backbone": "convnet", "lr": 0.1},
        **{"nesterov": True, "batch_size": 20, "epochs": 30, "schedule": "onecycle", "warmup": 0.2},
        **{"start": "cold", "flip": False, "crop_padding": 1, "precision": "fp32", "threads": 1},
    },
    ("cifar10", "fast"): {
        **{"initial_size": 1000, "query_size": 1000, "budget": 9000, "backbone": "airbench", "epochs": 172},
        **{"batch_size": 64, "lr": 0.1, "nesterov": True, "momentum": 0.9, "weight_decay": 1e-3},
        **{"decay": "weights", "schedule": "onecycle", "warmup": 0.25, "label_smoothing": 0.1},
        **{"trivial_augment": True, "low_resolution": 0.7, "low_resolution_scale": 0.625, "start": "cold"},
    },
    ("cifar10", "ridge"): {
        **{"initial_size": 64, "query_size": 32, "budget": 320, "validation": 5000, "reward": "auc_gain"},
        **{"candidates": 256, "embedding": "patches", "embedding_size": 256, "ridge_penalty": "auto"},
        **{"beta": 10.0, "threads": 1},
    },
    ("digits", "ridge"): {
        **{"initial_size": 10, "query_size": 10, "budget": 100, "validation": 200, "candidates": None},
        **{"embedding": "pixels"},
    },
}


@pytest.mark.parametrize(("dataset", "recipe"), PUBLISHED)
def test_settings_of_published_ids(dataset: str, recipe: str) -> None:
    found = presets.resolve(dataset, recipe, {})
    settings = {**vars(found.recipe), **vars(found.protocol), **vars(found.options)}
    wanted = PUBLISHED[dataset, recipe]
    assert {name: settings[name] for name in wanted} == wanted


def test_numbers_of_every_stream() -> None:
    drawn = [int(seeding.numpy_stream(KEY, each, 3).integers(1000)) for each in seeding.Purpose]
    assert drawn == [417, 2, 256, 657, 782, 558, 42, 254, 790, 391, 989, 642, 661]
    drawn = [
        int(torch.randint(1000, (), generator=seeding.torch_stream(KEY, each, 3))) for each in seeding.Purpose
    ]
    assert drawn == [513, 231, 52, 784, 812, 464, 928, 263, 668, 234, 437, 952, 889]
    member = seeding.torch_stream(KEY, seeding.Purpose.WEIGHTS, member=2)
    assert int(torch.randint(1000, (), generator=member)) == 656


def test_label_noise() -> None:
    oracle = Oracle(np.arange(12) % 4, 4, 0.5)
    oracle.begin(KEY)
    assert oracle.answer(np.arange(12)).tolist() == [0, 3, 2, 1, 2, 1, 1, 3, 0, 1, 2, 3]


def test_initial_weights_of_a_network() -> None:
    made = NetworkLearner(Recipe(backbone="convnet", width=4), (1, 8, 8), 3, Runtime("cpu", "fp32", 1))
    made.begin(KEY)
    assert made.classifier.head.weight[0, :3].tolist() == pytest.approx(
        [-0.246069, 0.146528, 0.048184], abs=1e-5
    )


def test_streams_of_seed_zero() -> None:
    env = gym.make("ALDigitsRidge-v0", observe="progress").unwrapped
    env.reset(seed=0)
    assert env.key == KEY  # type: ignore[attr-defined]
    assert env.view.labeled[:5].tolist() == [46, 1004, 182, 474, 919]  # type: ignore[attr-defined]
    assert env.view.candidates[:5].tolist() == [1049, 985, 481, 865, 554]  # type: ignore[attr-defined]
    agent = agents.make("random")
    agent.reset(env.unwrapped.view, seed=0)
    assert agent.act(None)[:6].tolist() == [558, 1002, 780, 211, 816, 652]
    assert STATS_SIZE == 27


def test_accuracies_of_seed_zero() -> None:
    """The ridge head is a linear system, so another processor moves no more than a borderline image or two."""
    for name, expected in (("random", [266, 313, 308, 352]), ("margin", [243, 315, 395, 424])):
        env = gym.make(
            "ALDigitsRidge-v0", observe="progress", ridge_penalty=1.0
        )  # a chosen one has near ties
        observation, _ = env.reset(seed=0)
        agent = agents.make(name)
        agent.reset(env.unwrapped.view, seed=0)
        right = []
        for _ in range(4):
            observation, *_ = env.step(agent.act(observation))
            right.append(env.unwrapped.test_correct)  # type: ignore[attr-defined]
        assert all(abs(a - b) <= 2 for a, b in zip(right, expected, strict=True)), (name, right)
