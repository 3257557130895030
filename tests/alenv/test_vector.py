"""Episodes as one batch, against each of them by itself."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from alenv import errors
from alenv.vector import RidgeVectorEnv

ID = "ALDigitsRidge-v0"
SHORT: dict[str, Any] = {"query_size": 10, "budget": 30}
# One image of the split at most: where two classes are equal to the last digits, rounding decides.
ONE_IMAGE = 1 / 200 + 1e-9


def batched(count: int = 4, **settings: Any) -> Any:
    return gym.make_vec(ID, num_envs=count, **settings)


def one_by_one(count: int = 4, mode: str = "NextStep", **settings: Any) -> Any:
    kwargs = {"autoreset_mode": mode}
    return gym.make_vec(ID, num_envs=count, vectorization_mode="sync", vector_kwargs=kwargs, **settings)


def queries(env: Any, random: np.random.Generator) -> Any:
    size = env.unwrapped.single_action_space.pool_size
    shape = env.num_envs, env.unwrapped.single_action_space.query_size
    return random.integers(size, size=shape)


def assert_alike(mine: Any, theirs: Any, name: str = "") -> None:
    if isinstance(theirs, dict):
        assert mine.keys() == theirs.keys(), name
        for key in theirs:
            assert_alike(mine[key], theirs[key], f"{name}/{key}")
    elif isinstance(theirs, np.ndarray) and theirs.dtype == object:
        for one, other in zip(mine, theirs, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                assert_alike(one, other, name)
    else:
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape), name
        measured = name == "reward" or name.endswith("accuracy")
        tolerance = ONE_IMAGE if measured else 2e-5 if theirs.dtype.kind == "f" else 0
        np.testing.assert_allclose(mine, theirs, atol=tolerance, rtol=0, err_msg=name)


CASES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "fixed": {"ridge_penalty": 0.3, "observe": "stats", "reward": "accuracy"},
    "spoiled": {"label_noise": 0.2, "outliers": 2, "imbalance": 3.0, "observe": "stats"},
    "from nothing": {"initial_size": 0, "query_size": 7, "budget": 21, "observe": "progress"},
    "spread": {"redundancy": 3, "initial_set": "kmeans++", "initial_size": 6, "reward": "gain"},
    "tested": {"test": True, "validation": 0, "initial_set": "stratified"},
    "whole pool": {"pool_size": 60, "budget": "all", "query_size": 10, "candidates": 50},
}


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("case", CASES)
def test_episodes_are_those_of_single_environments(case: str, mode: str) -> None:
    settings = {**SHORT, "test": True, **CASES[case]}
    mine, theirs = batched(autoreset_mode=mode, **settings), one_by_one(mode=mode, **settings)
    assert mine.observation_space == theirs.observation_space
    assert mine.action_space == theirs.action_space
    assert mine.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    random = np.random.default_rng(0)
    for name, one, other in zip(
        ("observation", "info"), mine.reset(seed=7), theirs.reset(seed=7), strict=True
    ):
        assert_alike(one, other, name)
    for _ in range(2 * mine.unwrapped.protocol.cycles + 3):
        action = queries(mine, random)
        found, wanted = mine.step(action), theirs.step(action)
        names = ("observation", "reward", "terminated", "truncated", "info")
        for name, one, other in zip(names, found, wanted, strict=True):
            assert_alike(one, other, name)
        assert mine.observation_space.contains(found[0])
        if mode == "Disabled" and wanted[2].any():
            mask = np.arange(4) < 3  # the last one waits until it is over, as all are
            for chosen in (mask, ~mask):
                again = [env.reset(options={"reset_mask": chosen.copy()}) for env in (mine, theirs)]
                assert_alike(again[0][0], again[1][0], "observation")
                assert_alike(again[0][1], again[1][1], "info")


def test_episodes_may_be_in_different_cycles() -> None:
    mine, theirs = batched(3, **SHORT, test=True), one_by_one(3, **SHORT)
    random = np.random.default_rng(1)
    for env in (mine, theirs):
        env.reset(seed=[5, None, 9])
    theirs.envs[1].unwrapped.np_random = mine.unwrapped._streams[1]  # nobody chose its seed
    for env in (mine, theirs):
        env.reset(seed=[5, 3, 9])
    for turn in range(7):
        if turn == 2:
            mask = np.array([False, True, False])
            for env in (mine, theirs):
                env.reset(options={"reset_mask": mask.copy()})
        action = queries(mine, random)
        for one, other in zip(mine.step(action), theirs.step(action), strict=True):
            if isinstance(one, dict):
                assert_alike(one, other)
    assert len(set(mine.unwrapped.batch.cycle)) == 2


@pytest.mark.parametrize("penalty", ["auto", 1.0])
def test_peek_is_what_step_gives(penalty: Any) -> None:
    settings = {**SHORT, "allow_peek": True, "ridge_penalty": penalty, "reward": "auc_gain"}
    mine, theirs = batched(3, **settings), one_by_one(3, **settings)
    random = np.random.default_rng(2)
    for env in (mine, theirs):
        env.reset(seed=1)
    for _ in range(3):
        asked = np.stack([queries(mine, random) for _ in range(4)], axis=1)
        found = mine.unwrapped.peek(asked)
        wanted = [env.unwrapped.peek(each) for env, each in zip(theirs.envs, asked, strict=True)]
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, wanted, atol=ONE_IMAGE, rtol=0)
        assert mine.unwrapped.peek(torch.from_numpy(asked[:, :0])).shape == (3, 0)
        np.testing.assert_allclose(mine.step(asked[:, 2])[1], found[:, 2], atol=ONE_IMAGE, rtol=0)
        theirs.step(asked[:, 2])
    with pytest.raises(errors.EpisodeOver, match="budget of 30 labels is spent"):
        mine.unwrapped.peek(asked)


def test_a_view_shows_one_of_the_episodes() -> None:
    mine, theirs = batched(3, **SHORT), one_by_one(3, **SHORT)
    random = np.random.default_rng(3)
    for env in (mine, theirs):
        env.reset(seed=4)
    view = mine.unwrapped.view(1)
    assert mine.unwrapped.view(-2) is view
    assert view.previous is None
    for _ in range(2):
        action = queries(mine, random)
        mine.step(action)
        theirs.step(action)
    other = theirs.envs[1].unwrapped.view
    for name in ("labeled", "unlabeled", "candidates"):
        np.testing.assert_array_equal(getattr(view, name), getattr(other, name))
    assert view.labels().tolist() == other.labels().tolist()
    assert view.validation.accuracy == pytest.approx(other.validation.accuracy, abs=ONE_IMAGE)
    for pair in (view, other), (view.previous, other.previous), (view.validation, other.validation):
        torch.testing.assert_close(pair[0].probabilities(), pair[1].probabilities(), atol=2e-5, rtol=0)
    assert_alike(view.observation("candidates"), other.observation("candidates"))
    with pytest.raises(errors.HiddenLabel):
        view.labels([int(view.unlabeled[0])])
    with pytest.raises(errors.MissingHead, match="no network"):
        _ = view.classifier


def test_a_batch_shows_all_of_them() -> None:
    env = batched(3, **SHORT, observe="progress", label_noise=0.3).unwrapped
    env.reset(seed=2)
    for _ in range(2):
        env.step(queries(env, np.random.default_rng(4)))
    env.reset(options={"reset_mask": np.array([True, False, False])})
    batch = env.batch
    assert len(batch) == 3
    assert batch.labeled_count.tolist() == [10, 30, 30]
    for i in range(3):
        view, count = env.view(i), batch.labeled_count[i]
        assert (batch.cycle[i], batch.query_size, batch.num_classes) == (view.cycle, 10, 10)
        np.testing.assert_array_equal(batch.candidates[i], view.candidates)
        np.testing.assert_array_equal(batch.labeled[i, :count], view.labeled)
        np.testing.assert_array_equal(batch.labels[i, :count], view.labels())
        np.testing.assert_array_equal(np.flatnonzero(batch.is_labeled[i]), np.sort(view.labeled))
        np.testing.assert_array_equal(batch.class_counts[i], np.bincount(view.labels(), minlength=10))
        assert (batch.labels[i, count:] == -1).all()
        assert (batch.labeled[i, count:] == 0).all()
        assert batch.validation_accuracy[i] == view.validation.accuracy
        assert torch.equal(batch.features[i], view.features(view.candidates))
        torch.testing.assert_close(
            batch.probabilities[i], view.probabilities(view.candidates), atol=1e-6, rtol=0
        )
    assert (batch.recipe, batch.protocol) == (view.recipe, view.protocol)
    assert torch.equal(batch.embedded(batch.candidates), batch.features)
    assert batch.feature_size == view.embedding().shape[1]
    assert batch.device == view.device


def test_test_accuracy_is_measured_when_it_is_asked_for() -> None:
    assert "test_accuracy" not in batched(1, **SHORT).reset(seed=0)[1]
    assert "test_accuracy" in batched(1, **SHORT, test=True).reset(seed=0)[1]
    assert "test_accuracy" in batched(1, **SHORT, validation=0).reset(seed=0)[1]


def test_gymnasium_makes_and_wraps_it() -> None:
    env = batched(2, **SHORT, autoreset_mode="SameStep")
    assert isinstance(env, RidgeVectorEnv)
    again = gym.make_vec(env.spec)
    assert (again.num_envs, again.metadata["autoreset_mode"]) == (2, AutoresetMode.SAME_STEP)
    assert again.unwrapped.protocol == env.protocol
    wrapped = gym.wrappers.vector.RecordEpisodeStatistics(env)
    wrapped.reset(seed=0)
    total = np.zeros(2)
    for _ in range(3):
        *_, info = step = wrapped.step(queries(env, np.random.default_rng(0)))
        total += step[1]
    np.testing.assert_allclose(info["episode"]["r"], total)
    assert env.render() is None
    pictures = batched(1, **SHORT, render_mode="rgb_array")
    pictures.reset(seed=0)
    assert pictures.render()[0].shape == (600, 1000, 3)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"head": "logistic"}, "vectorization_mode='sync'"),
        ({"num_envs": 0}, "num_envs=0 was given"),
        ({"autoreset_mode": "NextStap"}, "did you mean 'NextStep'"),
        ({"query_siz": 3}, "did you mean 'query_size'"),
        ({"render_mode": "human"}, "rgb_array"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.AlenvError, match=words):
        gym.make_vec(ID, **{"num_envs": 2, **settings})


def test_a_logistic_head_goes_one_by_one() -> None:
    env = one_by_one(2, **SHORT, head="logistic", ridge_penalty=1.0)
    env.reset(seed=0)
    assert env.step(queries(env, np.random.default_rng(0)))[1].shape == (2,)


def test_a_refused_query_changes_no_episode() -> None:
    env = batched(3, **SHORT, on_invalid="raise").unwrapped
    env.reset(seed=0)
    legal = np.stack([env.view(i).unlabeled[:10] for i in range(3)])
    before = env.batch.candidates
    labeled, repeated, outside = legal.copy(), legal.copy(), legal.copy()
    labeled[2, 0], repeated[2, 0], outside[2, 0] = env.view(2).labeled[0], legal[2, 1], -1
    for wrong, words in (
        (labeled, "labeled already"),
        (repeated, "twice"),
        (outside, "Pool index -1 was given"),
        (legal[:2], r"shape \(2, 10\)"),
        (legal.astype(float), "dtype float64"),
        ([[1, 2], [3], [4]], "no array"),
    ):
        with pytest.raises(errors.InvalidQuery, match=words):
            env.step(wrong)
        assert env.batch.cycle.tolist() == [0, 0, 0]
        np.testing.assert_array_equal(env.batch.candidates, before)
    assert env.step(torch.from_numpy(legal))[4]["query"].tolist() == legal.tolist()


def test_calls_out_of_order() -> None:
    env = batched(2, **SHORT, autoreset_mode="Disabled").unwrapped
    for early in (lambda: env.batch, lambda: env.view(0), lambda: env.keys, lambda: env.step(None)):
        with pytest.raises(errors.NotReset, match="before their first reset"):
            early()
    with pytest.raises(errors.NotReset, match="before their first reset"):
        env.reset(options={"reset_mask": np.array([True, False])})
    env.reset(seed=0)
    with pytest.raises(errors.PeekNotAllowed, match="allow_peek=True"):
        env.peek(np.zeros((2, 1, 10), dtype=np.int64))
    for options, words in (({"state": {}}, "reset_mask"), ({"reset_mask": [True]}, r"shape \(2,\)")):
        with pytest.raises(errors.AlenvError, match=words):
            env.reset(options=options)
    with pytest.raises(errors.InvalidQuery, match="3 seeds were given"):
        env.reset(seed=[1, 2, 3])
    action = queries(env, np.random.default_rng(0))
    for _ in range(3):
        env.step(action)
    with pytest.raises(errors.EpisodeOver, match="call reset"):
        env.step(action)


def test_an_interrupted_step_leaves_no_half_of_a_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    env = batched(2, **SHORT).unwrapped
    action = queries(env, np.random.default_rng(0))
    env.reset(seed=0)
    wanted = env.step(action)
    env.reset(seed=0)
    with monkeypatch.context() as patch:
        patch.setattr(env._episodes, "_correct", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            env.step(action)
    with pytest.raises(errors.NotReset, match="interrupted"):
        env.step(action)
    env.reset(seed=0)
    assert_alike(env.step(action)[0], wanted[0])


def test_nothing_depends_on_a_global_stream() -> None:
    env = batched(2, **SHORT)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002  (this is the global one)
    env.reset(seed=0)
    env.step(queries(env, np.random.default_rng(0)))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
