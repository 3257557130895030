"""The environments in which a policy sees and chooses candidates, or weighs their scores."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from equality import assert_equal
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import agents
import alenv
from agents.policies.candidates import described_space
from agents.policies.wrapping import Choices
from alenv import descriptors
from alenv.errors import EpisodeOver, InvalidQuery, InvalidState, NotReset, UnknownName

OPTIONS = {"query_size": 3, "budget": 9, "candidates": 12, "observe": "progress"}
SCORES = ["log_margin", "typicality"]
WRAPPERS = {
    "MixScores": lambda env: agents.MixScores(env, SCORES),
    "DescribeCandidates": agents.DescribeCandidates,
    "TopOfCandidates": agents.TopOfCandidates,
    "ScoreCandidates": agents.ScoreCandidates,
    "PickOneByOne": agents.PickOneByOne,
}


def native(**options):
    return gym.make("ALDigitsRidge-v0", **{**OPTIONS, **options})


def make(name, **options):
    return WRAPPERS[name](native(**options))


def begun(name, seed=0, **options):
    env = make(name, **options)
    env.reset(seed=seed)
    return env


def view_of(env):
    return env.unwrapped.view


@pytest.mark.parametrize("name", WRAPPERS)
def test_both_checkers(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*most likely has a wrapper applied")  # it has
        warnings.filterwarnings("ignore", message=".*unconventional shape")  # a row per candidate
        warnings.filterwarnings("ignore", message=".*not recommended.*flatten")
        check_env(make(name), skip_render_check=True)
        check_env_sb3(make(name), skip_render_check=True)


MIX = {
    **{"datasets": ["digits"], "classes": [2, 4], "pool_size": 120, "validation": 60, "initial": [2, 2]},
    **{
        "query_size": 5,
        "query_share": [0.1, 1.0],
        "cycles": 2,
        "candidates": 10,
        "feature_size": [8, 16],
        "observe": "progress",
    },
}


@pytest.mark.parametrize("name", [*WRAPPERS, "ChooseStrategy"])
def test_where_every_episode_is_a_task_of_its_own(name):
    wrap = WRAPPERS.get(name, lambda env: agents.ChooseStrategy(env, ["random", "coreset+margin"]))
    env = wrap(gym.make("ALMix-v0", **MIX))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*most likely has a wrapper applied")  # it has
        check_env(env, skip_render_check=True)
    sizes = set()
    for seed in range(4):
        env.reset(seed=seed)
        over = False
        while not over:
            action = (
                env.unwrapped.view.candidates[:5]
                if name == "DescribeCandidates"
                else env.action_space.sample()
            )
            _, reward, over, _, info = env.step(action)
        assert np.isfinite(reward)
        sizes.add(int((info["query"] >= 0).sum()))
        assert env.unwrapped.view.query_size in sizes
    assert len(sizes) > 1
    with pytest.raises(InvalidState, match="seed of the episode"):
        env.get_state()
    with pytest.raises(EpisodeOver):
        env.step(action)


@pytest.mark.parametrize("name", WRAPPERS)
def test_it_can_be_made_again_from_its_spec(name):
    env = make(name)
    again = gym.make(env.spec)
    assert again.action_space == env.action_space
    assert again.observation_space == env.observation_space
    assert isinstance(again.unwrapped, alenv.ActiveLearningEnv)


@pytest.mark.parametrize("vector", [SyncVectorEnv, AsyncVectorEnv])
def test_gymnasium_vector_environments(vector):
    envs = vector([lambda: make("TopOfCandidates")] * 2)
    try:
        shown, _ = envs.reset(seed=[1, 1])
        assert shown["candidates"].shape == (2, 12, 29)
        assert_equal(*({key: part[i] for key, part in shown.items()} for i in range(2)))
        shown, rewards, *_ = envs.step(np.array([[1, 2, 3]] * 2))
        assert rewards[0] == rewards[1]
    finally:
        envs.close()


@pytest.mark.parametrize("name", WRAPPERS)
def test_an_episode_goes_on_from_its_state(name):
    whole, other = begun(name), make(name)
    rng = np.random.default_rng(0)
    actions = [whole.action_space.sample() for _ in range(9)]
    whole.action_space.seed(0)
    cut = int(rng.integers(1, 3))
    for action in actions[:cut]:
        whole.step(action)
    state = whole.get_state()
    shown, _ = other.reset(options={"state": state})
    assert_equal(shown, whole._observation())
    for action in actions[cut:]:
        one, two = whole.step(action), other.step(action)
        assert_equal(one[0], two[0])
        assert one[1] == two[1]
        if one[2]:
            break
    assert view_of(whole).labeled.tolist() == view_of(other).labeled.tolist()


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_environments_own_state_is_taken_too(name):
    env = begun(name)
    state = env.unwrapped.get_state()
    shown, _ = make(name).reset(options={"state": state})
    assert_equal(shown, env._observation())


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_end_of_the_budget_and_the_time_before_reset(name):
    env = begun(name, budget=3)
    for _ in range(3 if name == "PickOneByOne" else 1):
        action = env.action_space.sample()
        over = env.step(action)[2]
    assert over
    with pytest.raises(EpisodeOver):
        env.step(action)
    bare = gym.make("ALDigitsRidge-v0", disable_env_checker=True, **OPTIONS).unwrapped
    with pytest.raises(NotReset):
        WRAPPERS[name](bare).step(action)


WRONG = {
    "MixScores": [[0.1], "a", [np.nan, 0.0], [[0.1, 0.2]]],
    "TopOfCandidates": [[0, 1], [0, 1, 12], [0.0, 1.0, 2.0], "a"],
    "ScoreCandidates": [[0.1], np.full(12, np.inf), None],
    "PickOneByOne": [12, -1, 0.5, "a", [1]],
}


@pytest.mark.parametrize(("name", "action"), [(name, action) for name in WRONG for action in WRONG[name]])
def test_a_wrong_action_is_refused_and_changes_nothing(name, action):
    env = begun(name)
    before = env.get_state()
    with pytest.raises(InvalidQuery, match=r"give .*\.$"):
        env.step(action)
    assert_equal(env.get_state()["wrapper"], before["wrapper"])
    assert view_of(env).cycle == 0


@pytest.mark.parametrize("name", ["DescribeCandidates", "TopOfCandidates", "ScoreCandidates"])
def test_what_is_shown_is_what_the_view_describes(name):
    env = make(name)
    shown, _ = env.reset(seed=0)
    found = view_of(env).descriptors()
    assert env.observation_space.contains(shown)
    np.testing.assert_array_equal(shown["candidates"], found.candidates)
    np.testing.assert_array_equal(shown["context"], found.context)


@pytest.mark.parametrize("name", ["TopOfCandidates", "ScoreCandidates"])
def test_more_candidates_are_needed_than_a_query_takes(name):
    with pytest.raises(InvalidQuery, match="candidates=3 or more"):
        make(name, candidates=2)


# ---- mixing ----------------------------------------------------------------------------------------------------


def test_weights_of_one_score_query_its_best():
    for column, name in enumerate(SCORES):
        env = begun("MixScores")
        scores = view_of(env).descriptors().candidates[:, descriptors.NAMES.index(name)]
        expected = view_of(env).candidates[scores.topk(3).indices.numpy()]
        weights = np.zeros(2, dtype=np.float32)
        weights[column] = 1.0
        assert env.step(weights)[4]["query"].tolist() == expected.tolist()
        env = begun("MixScores")
        worst = view_of(env).candidates[(-scores).topk(3).indices.numpy()]
        assert env.step(-weights)[4]["query"].tolist() == worst.tolist()


def test_mixed_scores_are_a_weighted_sum_and_weights_are_clipped():
    env = begun("MixScores")
    columns = [descriptors.NAMES.index(name) for name in SCORES]
    scores = view_of(env).descriptors().candidates[:, columns] @ torch.tensor([1.0, 0.5])
    expected = view_of(env).candidates[scores.topk(3).indices.numpy()]
    assert env.step(torch.tensor([7.0, 0.5]))[4]["query"].tolist() == expected.tolist()


def test_scores_that_do_not_exist():
    for names in ([], "log_margin", None):
        with pytest.raises(UnknownName, match="at least one"):
            agents.MixScores(native(), names)
    with pytest.raises(UnknownName, match="did you mean 'log_margin'"):
        agents.MixScores(native(), ["log_margn"])


# ---- choosing and scoring candidates ---------------------------------------------------------------------------


def test_positions_are_those_of_the_candidates():
    env = begun("TopOfCandidates")
    expected = view_of(env).candidates[[5, 0, 11]]
    assert env.step(np.array([5, 0, 11]))[4]["query"].tolist() == expected.tolist()


def test_repeated_positions_follow_the_environments_rule():
    assert begun("TopOfCandidates").step([4, 4, 4])[4]["replaced"] == 2
    strict = begun("TopOfCandidates", on_invalid="raise")
    with pytest.raises(InvalidQuery, match="twice"):
        strict.step([4, 4, 4])
    assert view_of(strict).cycle == 0


def test_the_highest_scores_are_queried():
    env = begun("ScoreCandidates")
    scores = np.linspace(-2, 0.9, 12)
    expected = view_of(env).candidates[[11, 10, 9]]
    assert env.step(scores)[4]["query"].tolist() == expected.tolist()
    env = begun("ScoreCandidates")
    found = env.step(np.zeros(12))[4]["query"].tolist()
    assert len(set(found)) == 3
    again = begun("ScoreCandidates")
    assert again.step(np.zeros(12))[4]["query"].tolist() == found


def test_a_spent_pool_repeats_candidates_and_still_gives_whole_queries():
    options = {"initial_size": 1087, "query_size": 5, "budget": 10, "candidates": 10, "on_invalid": "raise"}
    for name in ("ScoreCandidates", "MixScores"):
        env = begun(name, **options)
        action = np.ones(env.action_space.shape, dtype=np.float32)
        env.step(action)
        assert len(np.unique(view_of(env).candidates)) == 5
        assert env.step(action)[2]
        assert len(view_of(env).unlabeled) == 0


# ---- one after another -----------------------------------------------------------------------------------------


def test_labels_are_bought_with_the_last_pick():
    env = begun("PickOneByOne")
    candidates = view_of(env).candidates
    shown = None
    for count, pick in enumerate((7, 2), start=1):
        shown, reward, over, _, info = env.step(pick)
        assert (reward, over, info) == (0.0, False, {"picked": count})
        assert view_of(env).cycle == 0
        assert env.observation_space.contains(shown)
    assert shown["candidates"][:, 29].nonzero()[0].tolist() == [2, 7]
    points = view_of(env).positions(candidates)
    distances = torch.cdist(points, points[[7, 2]]).amin(1)
    np.testing.assert_allclose(shown["candidates"][:, 30], distances, atol=2e-3)
    shown, reward, _, _, info = env.step(0)
    assert info["query"].tolist() == candidates[[7, 2, 0]].tolist()
    assert reward > 0
    assert view_of(env).cycle == 1
    assert not shown["candidates"][:, 29].any()
    assert (shown["candidates"][:, 30] == 2).all()


def test_what_is_picked_is_masked():
    env = begun("PickOneByOne")
    assert env.action_masks().all()
    env.step(4)
    assert np.flatnonzero(~env.action_masks()).tolist() == [4]
    assert env.action_masks().dtype == bool


def test_repeated_candidates_are_masked_together():
    options = {"initial_size": 1087, "query_size": 5, "budget": 10, "candidates": 10}
    env = begun("PickOneByOne", **options)
    for pick in range(5):
        env.step(pick)
    env.step(3)
    same = view_of(env).candidates == view_of(env).candidates[3]
    assert same.sum() == 2
    assert np.array_equal(env.action_masks(), ~same)


def test_a_pick_twice_follows_the_environments_rule():
    env = begun("PickOneByOne")
    for _ in range(2):
        env.step(4)
    assert env.step(4)[4]["replaced"] == 2
    strict = begun("PickOneByOne", on_invalid="raise")
    strict.step(4)
    with pytest.raises(InvalidQuery, match="picked already"):
        strict.step(4)
    assert strict.get_state()["wrapper"] == {"picked": [4]}


@pytest.mark.parametrize("picked", [[12], [-1], [0, 1, 2], ["a"]])
def test_picks_that_cannot_be_are_refused(picked):
    state = begun("PickOneByOne").get_state()
    state["wrapper"]["picked"] = picked
    with pytest.raises(InvalidState, match="picks"):
        make("PickOneByOne").reset(options={"state": state})


# ---- spaces ----------------------------------------------------------------------------------------------------


def test_choices_obey_their_mask():
    space = Choices(5, seed=0)
    for dtype in (bool, np.int8):
        mask = np.array([0, 1, 0, 0, 1], dtype=dtype)
        assert {int(space.sample(mask)) for _ in range(30)} == {1, 4}
    assert {int(space.sample()) for _ in range(60)} == set(range(5))
    strategies = agents.ChooseStrategy(native(), ["random", "margin"]).action_space
    assert strategies.sample(mask=np.array([False, True])) == 1


@pytest.mark.parametrize(
    "mask",
    [np.ones(4, bool), np.ones(5), np.zeros(5, bool), "a", [[1, 0]]],
    ids=["short", "float", "none", "text", "2d"],
)
def test_choices_refuse_other_masks(mask):
    with pytest.raises(InvalidQuery, match=r"mask .*\.$"):
        Choices(5).sample(mask)
    with pytest.raises(InvalidQuery, match="probability"):
        Choices(5).sample(probability=np.full(5, 0.2))


def test_positions_of_a_query_obey_their_mask():
    space = make("TopOfCandidates").action_space
    mask = np.zeros(12, dtype=bool)
    mask[[2, 5, 7]] = True
    assert sorted(space.sample(mask=mask)) == [2, 5, 7]
    mask[2] = False
    with pytest.raises(InvalidQuery, match="allows 2"):
        space.sample(mask=mask)


def test_the_space_of_descriptors_is_bounded_as_they_are():
    space = described_space(7, 2)
    assert space["candidates"].shape == (7, 31)
    assert space["context"].shape == (8,)
    assert float(space["candidates"].high.max()) == descriptors.BOUND
