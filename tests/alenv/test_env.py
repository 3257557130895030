"""The environment's contract: spaces, rewards, seeds, errors, state, peeking."""

from __future__ import annotations

# To mypy, gym.Env lacks what the environment adds, and what a made one always has is optional: hence the
# ignored attr-defined, union-attr and index in this file.
import copy
import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from equality import assert_equal
from gymnasium.utils.env_checker import check_env
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import alenv
from alenv import errors, pool, queries
from alenv.episode import Episode

QUICK: dict[str, Any] = {"epochs": 1, "width": 8, "initial_size": 10, "query_size": 5, "budget": 15}
RIDGE: dict[str, Any] = {"initial_size": 10, "query_size": 5, "budget": 15}


def make(name: str = "ALDigits-v0", **kwargs: Any) -> gym.Env[Any, Any]:
    return gym.make(name, **{**(RIDGE if "Ridge" in name else QUICK), **kwargs})


def play(env: gym.Env[Any, Any], seed: int = 0) -> list[Any]:
    env.action_space.seed(seed)
    trace: list[Any] = [env.reset(seed=seed)]
    over = False
    while not over:
        trace.append(env.step(env.action_space.sample()))
        over = trace[-1][2]
    return trace


def weights(env: gym.Env[Any, Any]) -> Any:
    return env.unwrapped.get_state()["learner"]  # type: ignore[attr-defined]


# ---- the checkers ----

HEAVY = {
    "threads": 1,
    "epochs": 1,
    "initial_size": 6,
    "query_size": 3,
    "budget": 6,
    "backbone": "convnet",
    "width": 8,
}


LIGHT = {"embedding": "pixels", "validation": 10, "initial_size": 6, "query_size": 3, "budget": 6}
LINEAR = ("ridge", "logistic")
EVERY_ID = {
    name: LIGHT if recipe in LINEAR else {**HEAVY, "pretraining_epochs": 1, "pretraining_batch_size": 16}
    for name, (_, recipe) in alenv.ENVIRONMENTS.items()
}
CHECKED: list[tuple[str, dict[str, Any]]] = [  # each dataset and each recipe; the slow tests take every id
    *(
        (name, kwargs)
        for name, kwargs in EVERY_ID.items()
        if alenv.ENVIRONMENTS[name][1] in ("paper", "ridge")
    ),
    *((name, kwargs) for name, kwargs in EVERY_ID.items() if alenv.ENVIRONMENTS[name][0] == "cifar10"),
    ("ALDigits-v0", {**QUICK, "observe": "stats"}),
    ("ALDigits-v0", {**QUICK, "joint": "loss_prediction"}),
    ("ALCifar10-v0", {**HEAVY, "backbone": "resnet18"}),
    ("ALCifar10Ridge-v0", {**LIGHT, "embedding": "patches"}),
]


@pytest.mark.parametrize(("name", "kwargs"), CHECKED)
def test_both_checkers_pass(
    name: str, kwargs: dict[str, Any], image_folder: Path, fixture_sets: None
) -> None:
    if "ImageFolder" in name:
        kwargs = {**kwargs, "root": str(image_folder), "image_size": 12}
    env = gym.make(name, **kwargs)
    check_env(env.unwrapped)
    with warnings.catch_warnings():
        # SB3 advises a custom extractor for 2-D keys; every other warning is an error.
        warnings.filterwarnings("ignore", message=".*unconventional shape.*")
        sb3_check_env(env.unwrapped, skip_render_check=False)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kwargs"), [pair for pair in EVERY_ID.items() if pair not in CHECKED])
def test_both_checkers_pass_for_every_id(
    name: str, kwargs: dict[str, Any], image_folder: Path, fixture_sets: None
) -> None:
    test_both_checkers_pass(name, kwargs, image_folder, fixture_sets)


@pytest.mark.parametrize("vector", [gym.vector.SyncVectorEnv, gym.vector.AsyncVectorEnv])
def test_vector_environments_give_the_single_environments_numbers(vector: Any) -> None:
    single = [play(make(observe="stats"), seed) for seed in (3, 4)]
    envs = vector(
        [lambda: make(observe="stats")] * 2
    )  # after training in the parent: forked workers must not hang
    observations, _ = envs.reset(seed=[3, 4])
    for lane in range(2):
        assert_equal(observations[lane], single[lane][0][0])
    for cycle in range(1, 4):
        queries = np.stack([single[lane][cycle][4]["query"] for lane in range(2)])
        observations, rewards, over, _, _ = envs.step(queries)
        for lane in range(2):
            assert_equal(observations[lane], single[lane][cycle][0])
            assert rewards[lane] == single[lane][cycle][1]
            assert over[lane] == single[lane][cycle][2]
    envs.close()


@pytest.mark.parametrize("observe", ["candidates", "stats", "progress"])
@pytest.mark.parametrize("joint", [None, "loss_prediction"])
def test_observations_lie_in_their_space_and_share_no_memory(observe: str, joint: str | None) -> None:
    env = make(observe=observe, joint=joint)
    trace = [env.reset(seed=0), *(step for step in play(env)[1:])]
    for step in trace:
        assert env.observation_space.contains(step[0])
    if observe == "candidates":
        view = env.unwrapped.view  # type: ignore[attr-defined]
        last = trace[-1][0]
        assert env.observation_space["indices"].high.max() == len(view) - 1  # type: ignore[index]
        np.testing.assert_array_equal(last["indices"], view.candidates)
        np.testing.assert_allclose(np.linalg.norm(last["features"], axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(last["probabilities"], view.probabilities(view.candidates).numpy())
        assert ("predicted_loss" in last) == (joint is not None)
        last["indices"][:] = -1
        assert (view.candidates >= 0).all()


# ---- seeds and bits ----


@pytest.mark.parametrize("name", ["ALDigits-v0", "ALDigitsRidge-v0"])
def test_one_seed_gives_the_same_bytes(name: str) -> None:
    first, second = make(name), make(name)
    assert_equal(play(first, 5), play(second, 5))
    assert_equal(weights(first), weights(second))
    assert not np.array_equal(play(first, 6)[0][0]["indices"], play(second, 5)[0][0]["indices"])


def test_no_global_random_state_is_read_or_changed() -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002  (the global one)
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy()  # noqa: NPY002  (the global one)
    first = play(make(dropout=0.3, joint="loss_prediction"))
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002  (the global one)
    torch.manual_seed(2)
    assert_equal(first, play(make(dropout=0.3, joint="loss_prediction")))


def test_arms_with_one_seed_share_initial_set_and_weights() -> None:
    plain, joint = make(observe="progress"), make(observe="progress", joint="loss_prediction")
    plain.reset(seed=1)
    joint.reset(seed=1)
    np.testing.assert_array_equal(plain.unwrapped.view.labeled, joint.unwrapped.view.labeled)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(plain.unwrapped.view.candidates, joint.unwrapped.view.candidates)  # type: ignore[attr-defined]
    a, b = make(initial_size=0, joint=None), make(initial_size=0, joint="loss_prediction")
    a.reset(seed=1)
    b.reset(seed=1)
    assert_equal(weights(a)["classifier"], weights(b)["classifier"])


def test_resetting_without_a_seed_starts_another_episode() -> None:
    env = make(observe="progress")
    env.reset(seed=0)
    first = np.array(env.unwrapped.view.labeled)  # type: ignore[attr-defined]
    env.reset()
    assert not np.array_equal(first, env.unwrapped.view.labeled)  # type: ignore[attr-defined]


# ---- queries ----


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_labeled_and_unlabeled_always_partition_the_pool(data: st.DataObject) -> None:
    env = make("ALDigitsRidge-v0", observe="progress", initial_size=0, query_size=7, budget=28)
    _, info = env.reset(seed=data.draw(st.integers(0, 3)))
    size = len(env.unwrapped.rows)  # type: ignore[attr-defined]
    over = False
    while not over:
        query = np.array(data.draw(st.lists(st.integers(0, 12), min_size=7, max_size=7)), dtype=np.int64)
        labeled = set(env.unwrapped.view.labeled.tolist())  # type: ignore[attr-defined]
        legal = {int(i) for i in query} - labeled
        _, _, over, _, info = env.step(query)
        view = env.unwrapped.view  # type: ignore[attr-defined]
        assert legal <= set(info["query"].tolist())
        assert info["replaced"] == 7 - len(legal)
        assert len(set(info["query"].tolist()) | labeled) == len(labeled) + 7
        assert sorted([*view.labeled, *view.unlabeled]) == list(range(size))
        assert info["labeled_count"] == len(view.labeled) == info["class_counts"].sum()


BAD_QUERIES = [
    (np.zeros((4,), np.int64), "shape"),
    (np.zeros((5, 1), np.int64), "shape"),
    (3, "shape"),
    (np.zeros(5, np.float32), "dtype"),
    (np.full(5, np.nan), "dtype"),
    (np.ones(5, bool), "dtype"),
    (np.arange(5, dtype=np.uint64), "dtype"),
    (np.array(list("abcde")), "dtype"),
    ([[1], [2, 3], 4, 5, 6], "no array"),
    (torch.zeros(5, dtype=torch.bfloat16), "no array"),
    (np.array([0, 1, 2, 3, -1]), "-1"),
    (np.array([0, 1, 2, 3, 10**6]), "1000000 .* 0 to 1096"),
    (np.array([0, 1, 2, 3, 1097]), "1097 .* 0 to 1096"),
    (torch.zeros(5, requires_grad=True), "dtype"),
    (torch.zeros(5, dtype=torch.complex64), "dtype"),
]


@pytest.mark.parametrize(("query", "words"), BAD_QUERIES)
def test_a_query_outside_the_space_is_refused_and_changes_nothing(query: Any, words: str) -> None:
    env = make("ALDigitsRidge-v0").unwrapped
    env.reset(seed=0)
    before = env.get_state()  # type: ignore[attr-defined]
    with pytest.raises(errors.InvalidQuery, match=words):
        env.step(query)
    assert_equal(env.get_state(), before)  # type: ignore[attr-defined]


def test_labeled_and_repeated_indices_are_refused_on_request() -> None:
    env = make("ALDigitsRidge-v0", on_invalid="raise").unwrapped
    env.reset(seed=0)
    view = env.view  # type: ignore[attr-defined]
    free, before = view.unlabeled[:5].copy(), env.get_state()  # type: ignore[attr-defined]
    for position, words in ((view.labeled[0], "labeled already"), (free[1], "twice")):
        query = free.copy()
        query[0] = position
        with pytest.raises(errors.InvalidQuery, match=words):
            env.step(query)
    assert_equal(env.get_state(), before)  # type: ignore[attr-defined]
    given = free.copy()
    _, _, _, _, info = env.step(free)
    np.testing.assert_array_equal(info["query"], given)
    assert info["replaced"] == 0


def test_replacements_are_drawn_anew_in_every_cycle() -> None:
    bought = np.arange(5)
    drawn = [
        queries.legalize(bought.copy(), Episode(7, bought, bought, 5, (1,) * (cycle + 1)), 500, False)[0]
        for cycle in (0, 1, 2)
    ]
    assert len({tuple(each) for each in drawn}) == 3


def test_the_callers_array_is_not_changed_by_replacement() -> None:
    env = make("ALDigitsRidge-v0")
    env.reset(seed=0)
    query = np.zeros(5, np.int64)
    _, _, _, _, info = env.step(query)
    assert (query == 0).all()
    assert info["replaced"] in (4, 5)


def test_a_sampled_action_is_exactly_the_random_strategy() -> None:
    """Replacing labeled indices of a uniform sample keeps every unlabeled index equally likely."""
    env = make("ALDigitsRidge-v0", initial_size=1000, query_size=50, budget=50, observe="progress").unwrapped
    env.action_space.seed(0)
    counts = np.zeros(len(env.rows))  # type: ignore[attr-defined]
    env.reset(seed=0)
    episode = env._episode  # type: ignore[attr-defined]
    for seed in range(400):
        again = dataclasses.replace(episode, key=seed)  # the same labeled images, another stream
        query, _ = queries.legalize(env.action_space.sample(), again, len(counts), refuse=False)
        counts[query] += 1
    free = env.view.unlabeled  # type: ignore[attr-defined]
    assert counts.sum() == counts[free].sum() == 400 * 50
    expected = 400 * 50 / len(free)
    chi_square = ((counts[free] - expected) ** 2 / expected).sum()
    assert chi_square < len(free) + 5 * np.sqrt(2 * len(free))  # five standard deviations


# ---- rewards ----


@pytest.mark.parametrize("validation", [0, 100])
def test_rewards_are_what_they_say(validation: int) -> None:
    traces = {
        kind: play(make("ALDigitsRidge-v0", reward=kind, validation=validation))
        for kind in ("accuracy", "gain", "auc_gain")
    }
    name = "validation_accuracy" if validation else "test_accuracy"
    first = traces["accuracy"][0][1][name]
    accuracy = [step[4][name] for step in traces["accuracy"][1:]]
    assert len(set(accuracy)) > 1
    assert [step[1] for step in traces["accuracy"][1:]] == accuracy
    gains = [step[1] for step in traces["gain"][1:]]
    np.testing.assert_allclose(gains, np.diff([first, *accuracy]), atol=1e-12)
    assert sum(step[1] for step in traces["auc_gain"][1:]) == pytest.approx(
        np.mean(accuracy) - first, abs=1e-12
    )
    assert ("validation_accuracy" in traces["gain"][0][1]) == bool(validation)
    assert all("test_accuracy" in (step[4] if len(step) == 5 else step[1]) for step in traces["gain"])


def test_accuracy_is_measured_on_the_test_set() -> None:
    env = make(budget=5).unwrapped
    env.reset(seed=0)
    _, _, over, truncated, info = env.step(env.view.unlabeled[:5])  # type: ignore[attr-defined]
    from alenv import data

    digits = data.load("digits")
    images = (digits.test_images / 255 - np.array(digits.mean)) / np.array(digits.std)
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    logits = env.view.classifier(batch)  # type: ignore[attr-defined]
    right = (logits.argmax(1).numpy() == digits.test_labels).sum()
    assert info["test_accuracy"] == pytest.approx(right / 500, abs=1 / 500)
    assert env.test_correct == round(info["test_accuracy"] * 500)  # type: ignore[attr-defined]
    assert over
    assert not truncated


def test_the_test_set_may_be_left_out() -> None:
    """Rewards, queries and observations stay; what is not measured is absent."""
    settings = {"validation": 100, "reward": "auc_gain", "allow_peek": True, "render_mode": "rgb_array"}
    whole, without = make("ALDigitsRidge-v0", **settings), make("ALDigitsRidge-v0", test=False, **settings)
    one, other = play(whole, 4), play(without, 4)
    for mine, theirs in zip(one, other, strict=True):
        assert "test_accuracy" in mine[-1]
        assert "test_accuracy" not in theirs[-1]
        assert_equal(theirs[:-1], mine[:-1])
        assert_equal(theirs[-1], {k: v for k, v in mine[-1].items() if k != "test_accuracy"})
    assert without.render().shape == (600, 1000, 3)  # type: ignore[union-attr]
    with pytest.raises(errors.MissingHead, match="test=False"):
        _ = without.unwrapped.test_correct  # type: ignore[attr-defined]
    without.reset(seed=4)
    without.step(one[1][4]["query"])
    state = without.unwrapped.get_state()  # type: ignore[attr-defined]
    again = make("ALDigitsRidge-v0", test=False, **settings)
    again.reset(options={"state": state})
    assert_equal(again.step(one[2][4]["query"])[:4], one[2][:4])
    assert_equal(again.unwrapped.peek([one[3][4]["query"]]), [one[3][1]])  # type: ignore[attr-defined]
    with pytest.raises(errors.InvalidState, match="0 test accuracies"):
        make("ALDigitsRidge-v0", **settings).reset(options={"state": state})
    with pytest.raises(errors.InvalidRecipe, match="add validation=500"):
        make("ALDigits-v0", test=False)


def test_a_peek_trains_the_cycle_that_the_step_would(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make("ALDigitsRidge-v0", allow_peek=True, validation=100).unwrapped
    env.reset(seed=0)
    cycles: list[int] = []
    fit = env._learner.fit  # type: ignore[attr-defined]
    monkeypatch.setattr(env._learner, "fit", lambda *args: (cycles.append(args[3]), fit(*args)))  # type: ignore[attr-defined]
    for cycle in (1, 2):
        query = env.view.unlabeled[:5]  # type: ignore[attr-defined]
        env.peek([query])  # type: ignore[attr-defined]
        env.step(query)
        assert cycles[-2:] == [cycle, cycle]


# ---- legal corners ----


@pytest.mark.parametrize("name", ["ALDigits-v0", "ALDigitsRidge-v0"])
def test_no_initial_labels(name: str) -> None:
    env = make(name, initial_size=0)
    observation, info = env.reset(seed=0)
    assert info["labeled_count"] == 0
    assert env.observation_space.contains(observation)
    assert env.step(env.action_space.sample())[4]["labeled_count"] == 5


def test_budget_zero_trains_once_and_ends() -> None:
    env = make(budget=0).unwrapped
    _, info = env.reset(seed=0)
    assert info["cycle"] == 0
    with pytest.raises(errors.EpisodeOver, match="reset"):
        env.step(np.arange(5))


@pytest.mark.parametrize("observe", ["candidates", "stats"])
def test_the_last_query_may_take_the_whole_pool(observe: str) -> None:
    env = make(
        "ALDigitsRidge-v0", initial_size=1083, query_size=7, budget="all", validation=200, observe=observe
    )
    trace = play(env)
    assert trace[-1][2]
    assert trace[-1][4]["labeled_count"] == len(env.unwrapped.rows) == 1097  # type: ignore[attr-defined]
    assert all(env.observation_space.contains(step[0]) for step in trace)
    assert len(env.unwrapped.view.unlabeled) == 0  # type: ignore[attr-defined]


def test_fewer_candidates_left_than_shown_repeat_cyclically() -> None:
    env = make("ALDigitsRidge-v0", initial_size=1080, query_size=5, budget=15, validation=200, candidates=17)
    trace = play(env)
    shown = trace[2][0]["indices"]
    assert len(set(shown.tolist())) == 7
    np.testing.assert_array_equal(shown, np.resize(shown[:7], 17))


def test_classes_missing_from_the_labeled_set() -> None:
    env = make(initial_size=1, query_size=1, budget=2)
    _, info = env.reset(seed=0)
    assert (info["class_counts"] == 0).sum() == 9
    assert 0 <= env.step(env.action_space.sample())[1] <= 1


# ---- outliers ----


def test_outliers_by_counting() -> None:
    from alenv import data

    digits = data.load("digits")
    classes = np.bincount(digits.train_labels)
    settings = {"validation": 100, "query_size": 1, "budget": "all", "initial_size": 1, "label_noise": 1.0}
    env = make(outliers=3, observe="stats", **settings).unwrapped
    env.reset(seed=0)
    oracle = env._oracle  # type: ignore[attr-defined]
    rows = env.rows  # type: ignore[attr-defined]
    assert len(env.class_names) == env.view.num_classes == 7  # type: ignore[attr-defined]
    assert env.test_size == (digits.test_labels < 7).sum()  # type: ignore[attr-defined]
    validation = env.view.validation.labels()  # type: ignore[attr-defined]
    assert len(validation) == 100
    assert validation.min() >= 0
    assert validation.max() == 6
    outlying = digits.train_labels[rows] >= 7
    assert outlying.sum() == classes[7:].sum()  # all of them are in the pool
    assert len(rows) == len(digits.train_labels) - 100
    labels = oracle.reveal(np.arange(len(rows)))
    np.testing.assert_array_equal(
        labels == pool.OUTLIER, outlying
    )  # noise makes no outlier, and unmakes none
    assert (labels[~outlying] != digits.train_labels[rows][~outlying]).all()
    assert labels.max() == 6


@pytest.mark.parametrize("name", ["ALDigits-v0", "ALDigitsRidge-v0"])
def test_an_outlier_costs_a_label_and_teaches_nothing(name: str) -> None:
    env = make(name, outliers=2, observe="stats", start="cold", render_mode="rgb_array")
    env.reset(seed=0)
    core: Any = env.unwrapped
    free = core.view.unlabeled
    junk = free[core._oracle.answer(free) == pool.OUTLIER][:5]
    before = core.test_correct
    other = make(name, outliers=2, observe="stats", start="cold")
    other.reset(seed=0, options={"state": core.get_state()})
    _, _, _, _, info = env.step(junk)
    assert info["labeled_count"] == 15
    assert info["class_counts"].sum() == (core.view.labels() != pool.OUTLIER).sum() <= 10
    assert len(info["class_counts"]) == 8
    np.testing.assert_array_equal(core.view.labels(junk), [pool.OUTLIER] * 5)
    assert env.render() is not None
    if "Ridge" in name:
        assert core.test_correct == before
    # The same cycle without the outliers ends with the same weights.
    learner, images = other.unwrapped._learner, other.unwrapped._images  # type: ignore[attr-defined]
    episode = other.unwrapped._episode  # type: ignore[attr-defined]
    learner.fit(images, episode.labeled, episode.labels, 1)
    mine, theirs = core.get_state()["learner"], learner.get_state()
    assert_equal({**mine, "count": 0}, {**theirs, "count": 0})
    restored = make(name, outliers=2, observe="stats", start="cold")
    restored.reset(seed=0, options={"state": core.get_state()})
    query = core.view.unlabeled[:5]
    assert_equal(env.step(query), restored.step(query))


def test_a_bought_outlier_is_not_unlabeled(monkeypatch: pytest.MonkeyPatch) -> None:
    from alenv.learners.objectives import Objective

    seen: list[Any] = []
    batches = Objective.batches

    def spy(self: Any, labeled: Any, unlabeled: Any, generator: Any) -> Any:
        seen.append((set(labeled.tolist()), set(unlabeled.tolist())))
        return batches(self, labeled, unlabeled, generator)

    monkeypatch.setattr(Objective, "batches", spy)
    env = make(outliers=5, initial_size=40, budget=5)
    env.reset(seed=0)
    view = env.unwrapped.view  # type: ignore[attr-defined]
    junk = set(view.labeled[view.labels() == pool.OUTLIER].tolist())
    assert junk
    assert seen[0] == (set(view.labeled.tolist()) - junk, set(view.unlabeled.tolist()))


def test_only_outliers_train_nothing() -> None:
    env = make(outliers=8, initial_size=1, query_size=1, budget=2)
    for seed in range(20):
        _, info = env.reset(seed=seed)
        if info["class_counts"].sum() == 0:
            break
    assert info["class_counts"].tolist() == [0, 0]
    assert 0 <= env.step(env.action_space.sample())[1] <= 1


# ---- settings ----

BAD_SETTINGS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"querysize": 5}, errors.UnknownName, "query_size"),
    ({"backbone": "resnet19"}, errors.UnknownName, "resnet18"),
    ({"device": "tpu"}, errors.UnknownName, "cpu"),
    ({"optimizer": "sdg"}, errors.InvalidRecipe, "'sgd'"),
    ({"query_size": 0}, errors.InvalidProtocol, "at least 1"),
    ({"query_size": 2.5}, errors.InvalidProtocol, "whole number"),
    ({"query_size": True}, errors.InvalidProtocol, "whole number"),
    ({"budget": 16}, errors.InvalidProtocol, "15 or 20"),
    ({"budget": 5000}, errors.InvalidProtocol, "1285"),
    ({"initial_size": 1298}, errors.InvalidProtocol, "1297"),
    ({"validation": 1297}, errors.InvalidProtocol, "1296"),
    ({"candidates": 1288}, errors.InvalidProtocol, "1287"),
    ({"candidates": 0}, errors.InvalidRecipe, "at least 1"),
    ({"reward": "f1"}, errors.InvalidRecipe, "auc_gain"),
    ({"observe": "all"}, errors.InvalidRecipe, "stats"),
    ({"joint": "los_prediction"}, errors.UnknownName, "loss_prediction"),
    ({"joint": "loss_prediction", "joint_wieght": 1}, errors.UnknownName, "joint_weight"),
    ({"joint": "loss_prediction", "joint_weight": "1"}, errors.InvalidRecipe, "number"),
    ({"joint_weight": 1.0}, errors.InvalidRecipe, "joint="),
    ({"start": "pretrained"}, errors.InvalidRecipe, "pretraining"),
    ({"pretraining": "/nowhere.pt"}, errors.InvalidRecipe, "cannot be read"),
    ({"lr": float("nan")}, errors.InvalidRecipe, "above 0"),
    ({"embedding": "patchs"}, errors.UnknownName, "patches"),
    ({"initial_set": "kcenter"}, errors.InvalidRecipe, "embedding"),
    ({"outliers": 9}, errors.InvalidProtocol, "at most 8"),
    ({"joint": "loss_prediction", "joint_width": 0}, errors.InvalidRecipe, "at least 1"),
    ({"joint": "loss_prediction", "joint_weight": float("nan")}, errors.InvalidRecipe, "number"),
    ({"joint": "loss_prediction", "joint_cut": 2}, errors.InvalidRecipe, "at most 1"),
    ({"head": "ridge", "embedding": "pixels", "backbone": "resnet81"}, errors.UnknownName, "resnet18"),
    ({"head": "logistic"}, errors.InvalidRecipe, "frozen features"),
    (
        {"head": "logistic", "embedding": "pixels", "joint": "fixmatch"},
        errors.InvalidRecipe,
        "frozen features",
    ),
    ({"head": "ridge", "embedding": "pixels", "ensemble": 2}, errors.InvalidRecipe, "ensemble"),
    ({"head": "ridge", "embedding": "pixels", "ridge_penalty": "gcv"}, errors.InvalidRecipe, "'auto'"),
    ({"head": "ridge", "embedding": "pixels", "pretraining": "rotation"}, errors.InvalidRecipe, "no network"),
    ({"ensemble": 0}, errors.InvalidRecipe, "at least 1"),
    ({"initial_set": "clusters"}, errors.UnknownName, "kcenter"),
    ({"image_size": 64}, errors.InvalidRecipe, "ALImageFolder"),
    ({"root": "/nowhere"}, errors.InvalidRecipe, "ALImageFolder"),
    ({"nesterov": True, "optimizer": "adam"}, errors.InvalidRecipe, "nesterov=True"),
    ({"initial_size": 0, "query_size": 1298, "budget": 0}, errors.InvalidProtocol, "at most 1297"),
]


@pytest.mark.parametrize(("kwargs", "error", "words"), BAD_SETTINGS)
def test_bad_settings_get_one_clear_sentence(
    kwargs: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        make(**kwargs)
    assert "\n" not in str(caught.value)


def test_an_unknown_dataset_or_recipe() -> None:
    from alenv import ActiveLearningEnv

    with pytest.raises(errors.UnknownName, match="cifar10"):
        ActiveLearningEnv("cifar")
    for nonsense in (["digits"], {"a": 1}, None):
        with pytest.raises(errors.UnknownName):
            ActiveLearningEnv(nonsense)  # type: ignore[arg-type]  # on purpose
        with pytest.raises(errors.UnknownName):
            ActiveLearningEnv("digits", recipe=nonsense)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(errors.UnknownName, match="fast"):
        ActiveLearningEnv("digits", recipe="fasst")
    assert gym.make("ALDigits-v0", recipe="Ridge").unwrapped.recipe.head == "ridge"  # type: ignore[attr-defined]
    with pytest.raises(errors.UnknownName, match="rgb_array"):
        ActiveLearningEnv("digits", render_mode="human")
    env = make().unwrapped
    env.reset(seed=0)
    with pytest.raises(errors.UnknownName, match="'stats'"):
        env.view.observation("stat")  # type: ignore[attr-defined]
    with pytest.raises(errors.UnknownName, match="state"):
        make().unwrapped.reset(options={"sate": 1})


def test_a_setting_replaces_the_defaults_that_belong_to_it() -> None:
    make(optimizer="adam").reset(seed=0)  # whose default recipe has Nesterov momentum
    assert not make(momentum=0.0).unwrapped.recipe.nesterov  # type: ignore[attr-defined]
    assert make(momentum=0.5).unwrapped.recipe.nesterov  # type: ignore[attr-defined]


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    given = {
        "query_size": np.uint8(5),
        "lr": np.float64(0.1),
        "candidates": np.int64(20),
        "threads": np.int64(1),
        "nesterov": np.bool_(True),
        "joint": "loss_prediction",
        "joint_width": np.int64(8),
        "milestones": np.array([0.5, 0.75]),
    }
    env = make(**given)
    env.reset(seed=0)
    torch.save(env.unwrapped.get_state(), tmp_path / "state.pt")  # type: ignore[attr-defined]
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    make(**given).reset(options={"state": state})


@contextmanager
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def another_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, double_precision, another_device])
@pytest.mark.parametrize("name", ["ALDigits-v0", "ALDigitsRidge-v0"])
def test_what_the_caller_set_in_torch_changes_nothing(name: str, mode: Any) -> None:
    kwargs = {"validation": 50} if "Ridge" in name else {"validation": 50, "epochs": 3, "dropout": 0.2}
    expected = play(make(name, **kwargs))
    with mode():
        env = make(name, **kwargs)
        trace = play(env)
        if "dropout" in kwargs:
            env.unwrapped.view.member_probabilities(2)  # type: ignore[attr-defined]
    assert_equal(trace, expected)
    assert_equal(play(env), expected)  # outside again, with what was made inside


def test_rows_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        make().unwrapped.rows[0] = 1  # type: ignore[attr-defined]


def test_use_before_reset() -> None:
    env = make().unwrapped
    for use in (lambda: env.step(np.arange(5)), lambda: env.view, env.get_state):  # type: ignore[attr-defined]
        with pytest.raises(errors.NotReset, match="reset"):
            use()


# ---- state and peeking ----


@pytest.mark.parametrize("kwargs", [{}, {"start": "cold"}, {"joint": "loss_prediction", "dropout": 0.2}])
def test_a_restored_state_goes_on_to_the_same_bytes(kwargs: dict[str, Any], tmp_path: Path) -> None:
    env = make(**kwargs)
    whole = play(env, 2)
    expected = weights(env)
    first = make(**kwargs)
    first.reset(seed=2)
    first.step(whole[1][4]["query"])
    torch.save(first.unwrapped.get_state(), tmp_path / "state.pt")  # type: ignore[attr-defined]
    second = make(**kwargs)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    observation, info = second.reset(options={"state": state})
    assert_equal(observation, whole[1][0])
    assert info["cycle"] == 1
    assert second.unwrapped.view.previous is not None  # type: ignore[attr-defined]
    for cycle in (2, 3):
        assert_equal(second.step(whole[cycle][4]["query"]), whole[cycle])
    assert_equal(weights(second), expected)


def test_a_restored_oracle_knows_what_was_bought_and_nothing_else() -> None:
    env, other = (make(label_noise=0.5).unwrapped for _ in range(2))
    env.reset(seed=0)
    env.step(env.view.unlabeled[:5])  # type: ignore[attr-defined]
    other.reset(seed=1)
    elsewhere = np.setdiff1d(other.view.labeled, env.view.labeled)  # type: ignore[attr-defined]
    other.reset(seed=1, options={"state": env.get_state()})  # type: ignore[attr-defined]
    assert_equal(other.view.labels(), env.view.labels())  # type: ignore[attr-defined]
    with pytest.raises(errors.HiddenLabel):
        other.view.labels(elsewhere)  # type: ignore[attr-defined]
    free = env.view.unlabeled  # type: ignore[attr-defined]
    answers = [each._oracle.answer(free) for each in (env, other)]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(*answers)  # the noise of the episode, not of the one before
    assert other.costs["train_seconds"] == other.costs["evaluate_seconds"] == 0  # type: ignore[attr-defined]


def test_a_state_of_another_environment_is_refused() -> None:
    env = make()
    env.reset(seed=0)
    state = env.unwrapped.get_state()  # type: ignore[attr-defined]
    for other, word in (({"lr": 0.3}, "lr"), ({"query_size": 15}, "query_size")):
        with pytest.raises(errors.InvalidState, match=word):
            make(**other).reset(options={"state": state})
    with pytest.raises(errors.InvalidState, match="version"):
        env.reset(options={"state": {"key": 1}})


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", ["ALDigits-v0", "ALDigitsRidge-v0"])
def test_a_broken_state_is_refused_and_changes_nothing(name: str, fresh: bool) -> None:
    source = make(name, epochs=3, joint="loss_prediction") if name == "ALDigits-v0" else make(name)
    source.reset(seed=5)
    state = source.unwrapped.get_state()  # type: ignore[attr-defined]
    env = gym.make(source.spec).unwrapped  # type: ignore[arg-type]  # on purpose
    if not fresh:
        env.reset(seed=0)
        before = env.get_state()  # type: ignore[attr-defined]
        stream = env.np_random.bit_generator.state
    broken = [{k: v for k, v in state.items() if k != part} for part in state if part != "version"]
    broken += [{**state, part: 5} for part in state if part != "version"]
    broken += [{**state, "episode": {}}, {**state, "learner": {}}, {**state, "environment": {"recipe": 3}}]
    inner = [part for part in state["learner"] if part != "objective"]  # this objective keeps nothing
    broken += [{**state, "learner": {**state["learner"], part: "x"}} for part in inner]
    for each in broken:
        with pytest.raises(errors.InvalidState):
            env.reset(seed=3, options={"state": each})
    if fresh:
        with pytest.raises(errors.NotReset):
            env.get_state()  # type: ignore[attr-defined]
    else:
        assert_equal(env.get_state(), before)  # type: ignore[attr-defined]
        assert env.np_random.bit_generator.state == stream
        env.view.labels()  # type: ignore[attr-defined]
    env.reset(options={"state": state})
    assert_equal(env.get_state(), state)  # type: ignore[attr-defined]


def test_an_interrupted_restore_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make("ALDigitsRidge-v0").unwrapped
    env.reset(seed=5)
    other = env.get_state()  # type: ignore[attr-defined]
    env.reset(seed=0)
    before = env.get_state()  # type: ignore[attr-defined]
    learner, restore = env._learner, env._learner.set_state  # type: ignore[attr-defined]

    def interrupted(state: dict[str, Any]) -> None:
        restore(state)
        monkeypatch.setattr(learner, "set_state", restore)
        raise KeyboardInterrupt

    monkeypatch.setattr(learner, "set_state", interrupted)
    with pytest.raises(KeyboardInterrupt):
        env.reset(seed=3, options={"state": other})
    assert_equal(env.get_state(), before)  # type: ignore[attr-defined]


def test_a_state_shares_no_memory_with_the_environment() -> None:
    env = make("ALDigitsRidge-v0").unwrapped
    env.reset(seed=0)
    logits = env.view.logits([0, 1])  # type: ignore[attr-defined]
    state = env.get_state()  # type: ignore[attr-defined]
    env.reset(options={"state": state})
    for values in state["learner"].values():
        if isinstance(values, torch.Tensor):
            values.zero_()
    assert torch.equal(env.view.logits([0, 1]), logits)  # type: ignore[attr-defined]
    assert logits.any()


@pytest.mark.parametrize("name", ["ALDigits-v0", "ALDigitsRidge-v0"])
def test_what_is_written_into_a_state_changes_no_environment(name: str) -> None:
    env = make(name).unwrapped
    env.reset(seed=0)
    env.step(env.view.unlabeled[:5])  # type: ignore[attr-defined]

    def spoil(values: Any) -> None:
        for value in values.values() if isinstance(values, dict) else ():
            if isinstance(value, torch.Tensor) and value.numel():
                value.fill_(7)
            spoil(value)

    untouched = copy.deepcopy(env.get_state())  # type: ignore[attr-defined]  # or a shared tensor is spoiled on both sides
    spoil(env.get_state())  # type: ignore[attr-defined]
    assert_equal(env.get_state(), untouched)  # type: ignore[attr-defined]
    other = make(name).unwrapped
    given = env.get_state()  # type: ignore[attr-defined]
    other.reset(options={"state": given})
    spoil(given)
    assert_equal(other.get_state(), untouched)  # type: ignore[attr-defined]
    assert torch.equal(other.view.previous.logits([3]), env.view.previous.logits([3]))  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["ALDigits-v0", "ALDigitsRidge-v0"])
@pytest.mark.parametrize("reward", ["accuracy", "auc_gain"])
def test_peek_is_what_step_would_give_and_changes_nothing(name: str, reward: str) -> None:
    env = make(name, allow_peek=True, validation=200, reward=reward).unwrapped
    env.reset(seed=0)
    env.step(env.view.unlabeled[:5])  # type: ignore[attr-defined]
    before = env.get_state()  # type: ignore[attr-defined]
    queries = [env.view.unlabeled[start : start + 5] for start in (0, 20, 40)]  # type: ignore[attr-defined]
    rewards = env.peek(queries)  # type: ignore[attr-defined]
    assert rewards.dtype == np.float64
    assert_equal(env.get_state(), before)  # type: ignore[attr-defined]
    with pytest.raises(errors.HiddenLabel):
        env.view.labels(queries[0])  # type: ignore[attr-defined]
    for query, reward_seen in zip(queries, rewards, strict=True):
        env.reset(options={"state": before})
        assert env.step(query)[1] == reward_seen


def test_peek_needs_leave_and_a_split() -> None:
    for kwargs in ({"allow_peek": True}, {"validation": 100}):
        env = make(**kwargs).unwrapped
        env.reset(seed=0)
        with pytest.raises(errors.PeekNotAllowed, match="allow_peek=True"):
            env.peek([np.arange(5)])  # type: ignore[attr-defined]
    env = make(allow_peek=True, validation=100, budget=0).unwrapped
    env.reset(seed=0)
    with pytest.raises(errors.EpisodeOver, match="reset"):
        env.peek([env.view.unlabeled[:5]])  # type: ignore[attr-defined]
    env = make(allow_peek=True, validation=100).unwrapped
    env.reset(seed=0)
    with pytest.raises(errors.InvalidQuery, match="sequence of queries"):
        env.peek(None)  # type: ignore[attr-defined]


def test_an_interrupted_step_leaves_the_state_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(allow_peek=True, validation=50).unwrapped
    env.reset(seed=0)
    before = env.get_state()  # type: ignore[attr-defined]
    query = env.view.unlabeled[:5]  # type: ignore[attr-defined]
    learner = env._learner  # type: ignore[attr-defined]
    fit = learner.fit

    def interrupted(*args: Any) -> None:
        fit(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(learner, "fit", interrupted)
    for interrupt in (lambda: env.step(query), lambda: env.peek([query])):  # type: ignore[attr-defined]
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        assert_equal(env.get_state(), before)  # type: ignore[attr-defined]
    with pytest.raises(errors.HiddenLabel):
        env.view.labels(query)  # type: ignore[attr-defined]
    monkeypatch.setattr(learner, "fit", fit)
    other = make(allow_peek=True, validation=50).unwrapped
    other.reset(seed=0)
    assert_equal(env.step(query), other.step(query))


def test_an_interrupted_reset_leaves_no_half_of_an_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make().unwrapped
    env.reset(seed=0)
    with monkeypatch.context() as patch:
        patch.setattr(env._learner, "fit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))  # type: ignore[attr-defined]
        with pytest.raises(KeyboardInterrupt):
            env.reset(seed=5)
    with pytest.raises(errors.NotReset, match="interrupted"):
        env.step(np.arange(5))
    assert_equal(play(env, 2), play(make(), 2))


# ---- leaks and costs ----


def test_labels_of_unqueried_images_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = play(env := make(joint="loss_prediction"))
    expected = weights(env)
    bought = env.unwrapped.view.labeled  # type: ignore[attr-defined]
    other = make(joint="loss_prediction")
    oracle = other.unwrapped._oracle  # type: ignore[attr-defined]
    hidden = np.setdiff1d(np.arange(len(oracle._true)), bought)
    oracle._true[hidden] = np.random.default_rng(0).permutation(oracle._true[hidden])
    assert_equal(play(other), first)
    assert_equal(weights(other), expected)


def test_a_step_costs_training_and_evaluation_and_nothing_else() -> None:
    env = make(observe="progress", dropout=0.5).unwrapped
    env.reset(seed=0)
    env.step(env.view.unlabeled[:5])  # type: ignore[attr-defined]
    assert env.costs["inferred_images"] == 0  # type: ignore[attr-defined]
    assert 0 < env.costs["train_seconds"] < 60  # type: ignore[attr-defined]
    assert 0 < env.costs["evaluate_seconds"] < 60  # type: ignore[attr-defined]
    measured = env.costs["evaluate_seconds"]  # type: ignore[attr-defined]
    env.step(env.view.unlabeled[:5])  # type: ignore[attr-defined]
    assert env.costs["evaluate_seconds"] != measured  # type: ignore[attr-defined]
    env.view.logits(np.arange(7))  # type: ignore[attr-defined]
    env.view.features(np.arange(9))  # type: ignore[attr-defined]
    env.view.features(np.arange(9))  # type: ignore[attr-defined]
    assert env.costs["inferred_images"] == 9  # type: ignore[attr-defined]
    before = env.costs["inference_seconds"]  # type: ignore[attr-defined]
    env.view.member_probabilities(3, np.arange(4))  # type: ignore[attr-defined]
    assert env.costs["inferred_images"] == 13  # type: ignore[attr-defined]
    assert 0 < before < env.costs["inference_seconds"] < 60  # type: ignore[attr-defined]


def test_render_shows_what_was_bought_last(monkeypatch: pytest.MonkeyPatch) -> None:
    from alenv import render

    drawn: list[Any] = []
    monkeypatch.setattr(render, "draw", lambda episode, **given: drawn.append(given["images"]))
    env = make(render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    env.render()
    env.step(env.view.unlabeled[:5])  # type: ignore[attr-defined]
    env.render()
    view = env.view  # type: ignore[attr-defined]
    for shown, wanted in zip(drawn, (view.labeled[:10], view.labeled[10:]), strict=True):
        np.testing.assert_array_equal(shown, view.images(wanted, raw=True).permute(0, 2, 3, 1))


@pytest.mark.parametrize("settings", [{}, {"validation": 50, "test": False}])
def test_render_shows_the_accuracy_that_is_measured(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from alenv import render

    drawn: list[Any] = []
    monkeypatch.setattr(render, "draw", lambda episode, **given: drawn.append(given["accuracies"]))
    env = make(render_mode="rgb_array", **settings).unwrapped
    infos = [env.reset(seed=0)[1], env.step(env.view.unlabeled[:5])[4]]  # type: ignore[attr-defined]
    env.render()
    split = "validation" if settings else "test"
    assert drawn == [(split, [info[f"{split}_accuracy"] for info in infos])]


def test_render_shows_the_cycle() -> None:
    env = make(render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    env.step(env.action_space.sample())
    second = env.render()
    assert first.shape == second.shape == (600, 1000, 3)  # type: ignore[union-attr]
    assert first.dtype == np.uint8  # type: ignore[union-attr]
    assert not np.array_equal(first, second)
    large = make(
        query_size=30, budget=30, render_mode="rgb_array"
    )  # more images than the picture has room for
    large.reset(seed=0)
    large.step(large.action_space.sample())
    assert large.render().shape == (600, 1000, 3)  # type: ignore[union-attr]
    assert make().unwrapped.render() is None


@pytest.mark.parametrize("count", [3, 40])
def test_a_class_name_is_text_and_no_formula(count: int) -> None:
    from alenv import render

    episode = Episode(1, np.arange(5), np.array([0, 1, 0, 1, 2]), 5, (10,))
    names = ("a$_$", *map(str, range(1, count)))
    images = np.zeros((5, 8, 8, 1), np.uint8)
    drawn = render.draw(
        episode, title="t", accuracies=("test", [0.5]), query_size=5, images=images, class_names=names
    )
    assert drawn.shape == (600, 1000, 3)


def test_numbers_of_numpy_and_paths_leave_a_spec_of_json(image_folder: Path) -> None:
    env = make(
        query_size=np.int64(5), lr=np.float32(0.5), milestones=np.array([0.5]), nesterov=np.bool_(False)
    )
    text = env.spec.to_json()  # type: ignore[union-attr]
    again = gym.make(gym.envs.registration.EnvSpec.from_json(text))
    assert again.unwrapped.recipe == env.unwrapped.recipe  # type: ignore[attr-defined]
    folder = {"root": image_folder, "image_size": np.int16(12), "backbone": "convnet", "width": 4}
    env = gym.make("ALImageFolder-v0", **folder, **{k: v for k, v in QUICK.items() if k != "width"})
    gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))  # type: ignore[union-attr]


def test_specs_are_json_and_make_the_same_environment() -> None:
    env = make(milestones=[0.5, 0.75], schedule="multistep")
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))  # type: ignore[union-attr]
    assert again.unwrapped.recipe == env.unwrapped.recipe  # type: ignore[attr-defined]
    assert again.unwrapped.recipe.milestones == (0.5, 0.75)  # type: ignore[attr-defined]
