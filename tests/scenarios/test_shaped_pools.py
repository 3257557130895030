"""Redundancy, imbalance, label noise and outliers as their scenarios have them: by counting."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from alenv import data
from scenarios import build


def environments(name: str) -> dict[str, Any]:
    """Returns the environment of Random in every variant of a scenario's smoke size, reset with seed 0."""
    found = {}
    for arm in build(name).grid("smoke").arms:
        if arm.agent == "random":
            env = gym.make(arm.env_id, **{**arm.env_kwargs, "observe": "progress"}).unwrapped
            env.reset(seed=0)
            found[arm.label.removeprefix("random").strip()] = env
    return found


def class_sizes(env: Any) -> list[int]:
    return np.bincount(data.load("digits").train_labels[env.rows], minlength=10).tolist()


def test_redundant_pools_hold_so_many_copies() -> None:
    found = environments("redundancy")
    plain = found["1x"]
    assert len(set(plain.rows.tolist())) == len(plain.rows) == 1_297
    for copies in (2, 20):
        env = found[f"{copies}x"]
        assert len(env.rows) == 1_297
        assert class_sizes(env) == class_sizes(plain)
        _, counts = np.unique(env.rows, return_counts=True)
        unique = 40 + 1_297 // 10  # initial set and a tenth of the pool
        repeated = np.sort(counts)[unique:]
        assert (np.sort(counts)[:unique] == 1).all()
        assert repeated.sum() == 1_297 - unique
        assert abs(repeated.mean() - copies) <= 0.3 * copies
        assert repeated.max() <= copies


def test_rare_classes_are_as_rare_as_the_scenario_says() -> None:
    found = environments("imbalance")
    sizes = {name: class_sizes(env) for name, env in found.items()}
    assert set(sizes) == {"1:1", "1:10", "1:100"}
    assert max(sizes["1:1"]) < 1.3 * min(sizes["1:1"])
    for ratio in (10, 100):
        falling = sizes[f"1:{ratio}"]
        assert falling == sorted(falling, reverse=True)
        assert round(falling[0] / ratio) == falling[-1]


def test_so_many_of_the_bought_labels_are_wrong() -> None:
    for name, env in environments("label_noise").items():
        share = {"0% wrong": 0.0, "10% wrong": 0.1, "30% wrong": 0.3}[name]
        wrong = bought = 0
        true = data.load("digits").train_labels[env.rows]
        for seed in range(30):
            env.reset(seed=seed)
            env.step(env.view.unlabeled[:10])
            labeled = env.view.labeled
            wrong += int((env.view.labels(labeled).numpy() != true[labeled]).sum())
            bought += len(labeled)
        error = 3 * (share * (1 - share) / bought) ** 0.5
        assert abs(wrong / bought - share) <= error


def test_outliers_are_bought_as_often_as_they_stand_in_the_pool() -> None:
    for name, env in environments("outliers").items():
        out = int(name.split()[0])
        labels = data.load("digits").train_labels[env.rows]
        share = float((labels >= 10 - out).mean())
        assert share > 0.08 * out
        assert env.view.num_classes == 10 - out
        bought = []
        for seed in range(30):
            env.reset(seed=seed)
            query = np.random.default_rng(seed).choice(env.view.unlabeled, 10, replace=False)
            env.step(query)
            assert set(query) <= set(env.view.labeled.tolist())
            bought.extend((labels[query] >= 10 - out).tolist())
            spent = env.view.labels(query)
            assert (spent < 0).tolist() == (labels[query] >= 10 - out).tolist()
        error = 4 * (share * (1 - share) / len(bought)) ** 0.5
        assert abs(np.mean(bought) - share) <= error
