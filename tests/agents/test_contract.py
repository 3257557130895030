"""What every agent keeps, whatever it does inside."""

from __future__ import annotations

import inspect
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy import stats

import agents
import alenv

EVERY = [
    *agents.names(),
    "coreset+margin",
    "badge+ll4al:factor=3",
    "margin:pool=all",
    "badge:pool=candidates",
]


@pytest.fixture(params=EVERY, name="agent")
def agent_fixture(request):
    return agents.make(request.param)


def legal(found, view):
    assert found.dtype == np.int64
    assert found.shape == (view.query_size,)
    assert len(np.unique(found)) == view.query_size
    assert np.isin(found, view.unlabeled).all()


def test_the_issue_s_agents_exist():
    assert set(agents.names()) == {
        "random",
        "least_confidence",
        "margin",
        "entropy",
        "coreset",
        "badge",
        "kmeans",
        "ll4al",
    }


def test_every_agent_s_class_can_be_imported(agent):
    kind = type(agent)
    assert getattr(sys.modules[kind.__module__], kind.__name__) is kind


def test_distinct_unlabeled_indices(agent, planted, query):
    view = planted(query_size=25)
    legal(query(agent, view), view)


def test_no_labels_yet(agent, planted, query):
    view = planted(labeled=())
    legal(query(agent, view), view)


def test_the_last_query_takes_the_whole_pool(agent, planted, query):
    view = planted(n=15, labeled=range(10))
    assert sorted(query(agent, view)) == [10, 11, 12, 13, 14]


def test_fewer_left_than_asked_is_refused(agent, planted, query):
    with pytest.raises(alenv.errors.InvalidQuery, match="only 3 are unlabeled"):
        query(agent, planted(n=13, labeled=range(10)))


@pytest.mark.parametrize("candidates", [[50, 51], [50, 51] * 10, [60, 61, 62, 63, 64] * 3])
def test_few_or_repeated_candidates(agent, planted, query, candidates):
    view = planted(candidates=candidates)
    legal(query(agent, view), view)


def test_one_candidate_more_than_asked_stays_among_the_candidates(agent, planted, query):
    view = planted(candidates=[90, 80, 70, 60, 50, 40] * 2)
    found = query(agent, view)
    legal(found, view)
    if agent.pool == "candidates":
        assert np.isin(found, view.candidates).all()
        asked = np.concatenate([np.empty(0, dtype=np.int64), *view.asked])
        assert np.isin(asked, [*view.candidates, *view.labeled]).all()  # no inference on the rest


def test_whole_pool_agents_look_beyond_the_candidates(agent, planted, query):
    view = planted(candidates=range(100, 110))
    found = np.concatenate([query(agent, view, seed) for seed in range(20)])
    if agent.pool == "all":
        assert not np.isin(found, view.candidates).all()


@pytest.mark.parametrize("logit", [0.0, 1e4])
def test_ties(agent, planted, query, logit):
    logits = torch.zeros(200, 4)
    logits[:, 2] = logit
    view = planted(logits=logits, predicted_loss=torch.zeros(200))
    legal(query(agent, view), view)


def test_a_single_class(agent, planted, query):
    view = planted(classes=1)
    legal(query(agent, view), view)


def test_duplicates_in_the_pool(agent, planted, query):
    source = planted(n=10)
    copies = torch.arange(200) % 10
    view = planted(features=source._features[copies], logits=source._logits[copies], query_size=30)
    legal(query(agent, view), view)


def test_a_diverged_classifier(agent, planted, query):
    for broken in (torch.nan, torch.inf):
        features, logits = torch.full((200, 6), broken), torch.full((200, 4), broken)
        view = planted(features=features, logits=logits, predicted_loss=torch.full((200,), broken))
        legal(query(agent, view), view)


def test_same_seed_same_query_and_another_cycle_another(agent, planted, query):
    torch.manual_seed(1)
    first = query(agent, planted(), seed=3)
    torch.manual_seed(2)
    assert np.array_equal(first, query(agent, planted(), seed=3))
    equal = {"features": torch.ones(200, 6), "logits": torch.ones(200, 4), "predicted_loss": torch.ones(200)}
    view = planted(**equal)
    found = [query(agent, view, seed=3), query(agent, view, seed=4)]
    view.cycle = 1
    found.append(query(agent, view, seed=3))
    assert len({tuple(each) for each in found}) == 3


def test_no_global_random_state(agent, planted, query):
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002  (the global one)
    query(agent, planted())
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002  (the global one)


def test_inputs_stay_as_they_were(agent, planted):
    view = planted()
    indices = np.array(view.unlabeled)
    before = indices.copy(), view._features.clone(), view._logits.clone()
    found = agent.pick(view, indices, 5, torch.Generator().manual_seed(0))
    found[:] = -1  # what is returned is the caller's, not a window into the input
    assert np.array_equal(indices, before[0])
    assert torch.equal(view._features, before[1])
    assert torch.equal(view._logits, before[2])


def test_pick_stays_within_its_indices_and_ignores_the_pool(agent, planted):
    view = planted(candidates=range(100, 110))
    indices = np.arange(40, 60)
    found = agent.pick(view, indices, 7, torch.Generator().manual_seed(0))
    assert len(np.unique(found)) == 7
    assert np.isin(found, indices).all()


def test_hidden_labels_change_nothing(agent, planted, query):
    view, other = planted(), planted(labels=np.random.default_rng(9).integers(4, size=200))
    assert np.array_equal(query(agent, view), query(agent, other))


def test_identical_images_are_picked_evenly(agent, planted, query):
    """No position is preferred, neither early nor late, neither as first nor as any choice."""
    view = planted(
        features=torch.rand(6).expand(200, 6),
        logits=torch.rand(4).expand(200, 4),
        predicted_loss=torch.ones(200),
        labeled=(),
    )
    found = np.array([query(agent, view, seed) for seed in range(120)])
    for picks in (found, found[:, 0]):
        counts = np.bincount(picks.ravel() // 40, minlength=5)
        assert stats.chisquare(counts).pvalue > 1e-4


def test_state_round_trip(agent, planted, query):
    first = query(agent, planted())
    twin = agents.make("random") if not isinstance(agent, agents.Subset) else agent
    twin.set_state(agent.get_state())
    assert np.array_equal(query(agent, planted()), first)


@pytest.mark.parametrize("name", EVERY)
def test_descriptions_are_complete(name):
    found = agents.describe(name)
    document = inspect.getdoc(type(agents.make(name))).replace("``", "")
    assert document.startswith(found.what)
    assert "\n" not in found.what
    assert document.endswith(found.details)
    assert found.cost
    assert found.source
    assert found.pool == agents.make(name).pool


def test_an_agent_used_before_reset_says_so(agent):
    with pytest.raises(alenv.errors.NotReset, match=r"agent\.reset"):
        agent.act(None)


@pytest.mark.parametrize("initial_size", [0, 20])
def test_on_the_real_environment(agent, initial_size):
    env = gym.make(
        "ALDigits-v0",
        epochs=1,
        width=4,
        joint="loss_prediction",
        initial_size=initial_size,
        query_size=10,
        budget=20,
        observe="progress",
        on_invalid="raise",
    )
    observation, _ = env.reset(seed=0)
    agent.reset(env, seed=0)
    for _ in range(2):
        view = env.unwrapped.view
        weights = {k: v.clone() for k, v in view.classifier.state_dict().items()}
        found = agent.act(observation)
        legal(found, view)
        assert np.array_equal(found, agent.act(observation))
        assert all(torch.equal(weights[k], v) for k, v in view.classifier.state_dict().items())
        observation, reward, _, _, info = env.step(found)
        agent.update(float(reward), info)
    env.close()
