"""What every agent keeps, whatever it does inside."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy import stats
from spellings import EVERY as REGISTERED

import agents
import alenv
from agents import index, registry
from alenv import needs, testbed

EVERY = [
    *REGISTERED,
    "coreset+margin",
    "badge+ll4al:factor=3",
    "margin:pool=all",
    "badge:pool=candidates",
]


@pytest.fixture(params=EVERY, name="agent")
def agent_fixture(request):
    return agents.make(request.param)


def constant(value, n=200):
    return {"predicted_loss": torch.full((n,), value), "labeled_score": torch.full((n,), value)}


def undecided(value=0.25, n=200):
    """Five members that say the same of all images."""
    return torch.full((5, n, 4), value)


def legal(found, view):
    assert found.dtype == np.int64
    assert found.shape == (view.query_size,)
    assert len(np.unique(found)) == view.query_size
    assert np.isin(found, view.unlabeled).all()


def test_the_registry_finds_every_file():
    assert {"random", "margin", "badge"} <= set(agents.names())
    for package in ("strategies", "policies"):
        for file in (Path(agents.__file__).parent / package).glob("*.py"):
            importlib.import_module(f"agents.{package}.{file.stem}")
    assert set(agents.names()) == {
        n for n, a in registry._registered().items() if a.__module__.startswith("agents.")
    }


def test_the_index_says_what_the_agents_themselves_say():
    """It reads their files without importing them."""
    for name in agents.names():
        assert index.describe(name) == agents.describe(name)


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
        asked = np.concatenate([np.empty(0, dtype=np.int64), *view._learner.asked])
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
    view = planted(logits=logits, scores=constant(0.0), members=logits.softmax(1).expand(5, -1, -1))
    legal(query(agent, view), view)


def test_a_single_class(agent, planted, query):
    view = planted(classes=1)
    legal(query(agent, view), view)


def test_duplicates_in_the_pool(agent, planted, query):
    source = planted(n=10, labeled=())
    copies = torch.arange(200) % 10
    view = planted(
        features=source.features()[copies],
        logits=source.logits()[copies],
        embedding=source.embedding()[torch.arange(220) % 10],
        query_size=30,
    )
    legal(query(agent, view), view)


def test_a_diverged_classifier(agent, planted, query):
    for broken in (torch.nan, torch.inf):
        features, logits = torch.full((200, 6), broken), torch.full((200, 4), broken)
        members = undecided(torch.nan)
        view = planted(features=features, logits=logits, scores=constant(broken), members=members)
        legal(query(agent, view), view)


def test_same_seed_same_query_and_another_cycle_another(agent, planted, query):
    torch.manual_seed(1)
    first = query(agent, planted(), seed=3)
    torch.manual_seed(2)
    assert np.array_equal(first, query(agent, planted(), seed=3))
    equal = {"features": torch.ones(200, 6), "logits": torch.ones(200, 4), "scores": constant(1.0)}
    equal["members"] = undecided()
    equal["embedding"] = torch.ones(220, 6)
    view = planted(**equal)
    found = [query(agent, view, seed=3), query(agent, view, seed=4)]
    found.append(query(agent, planted(**equal, cycle=1), seed=3))
    assert len({tuple(each) for each in found}) == 3


def test_no_global_random_state(agent, planted, query):
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002  (the global one)
    query(agent, planted())
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002  (the global one)


def test_inputs_stay_as_they_were(agent, planted):
    view = planted()
    indices = np.array(view.unlabeled)
    before = indices.copy(), view.features(), view.logits()
    found = agent.pick(view, indices, 5, torch.Generator().manual_seed(0))
    found[:] = -1  # what is returned is the caller's, not a window into the input
    assert np.array_equal(indices, before[0])
    assert torch.equal(view.features(), before[1])
    assert torch.equal(view.logits(), before[2])


def test_pick_stays_within_its_indices_and_ignores_the_pool(agent, planted):
    view = planted(candidates=range(100, 110))
    indices = np.arange(40, 60)
    found = agent.pick(view, indices, 7, torch.Generator().manual_seed(0))
    assert len(np.unique(found)) == 7
    assert np.isin(found, indices).all()


def relabeled():
    """The labels of the random pool, where they were not bought permuted."""
    labels = np.random.default_rng(0).integers(testbed.CLASSES, size=220)
    hidden = np.setdiff1d(np.arange(200), np.arange(0, 30, 3))
    labels[hidden] = (labels[hidden] + 1) % testbed.CLASSES
    return labels


def test_hidden_labels_change_nothing(agent, planted, query):
    view, other = planted(), planted(labels=relabeled())
    assert np.array_equal(query(agent, view), query(agent, other))


def test_identical_images_are_picked_evenly(agent, planted, query):
    """No position is preferred, neither early nor late, neither as first nor as any choice."""
    view = planted(
        features=torch.rand(6).expand(200, 6),
        logits=torch.rand(4).expand(200, 4),
        scores=constant(1.0),
        members=(3 * torch.rand(5, 1, 4)).softmax(2).expand(-1, 200, -1),
        images=np.full((220, 8, 8, 1), 100, dtype=np.uint8),
        embedding=torch.nn.functional.normalize(torch.rand(6), dim=0).expand(220, 6),
        labeled=(),
    )
    found = np.array([query(agent, view, seed) for seed in range(120)])
    for picks in (found, found[:, 0]):
        counts = np.bincount(picks.ravel() // 40, minlength=5)
        assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("name", EVERY)
def test_a_restored_agent_goes_on_as_the_one_that_was_saved(name):
    """What an agent has learned while it plays is in its state, or it would forget it when a run is resumed."""
    env, (whole, stopped) = playground(agents.make(name)), (agents.make(name) for _ in range(2))
    queries = [played(env, whole, range(3))]
    queries.append(played(env, stopped, range(1)))
    saved, state = stopped.get_state(), env.unwrapped.get_state()
    resumed, other = agents.make(name), playground(agents.make(name))
    other.reset(options={"state": state})
    resumed.reset(other.unwrapped.view, seed=0)
    resumed.set_state(saved)
    queries[1] += played(other, resumed, range(1, 3))
    assert queries[0] == queries[1]


def playground(agent, **settings):
    """A small environment that offers what an agent needs."""
    recipe, options = alenv.Recipe(), {}
    for need in needs.missing(agent.needs, needs.offers(recipe)):
        options |= needs.settings_for(need, recipe)
    quick = {
        "epochs": 1,
        "width": 4,
        "initial_size": 20,
        "query_size": 10,
        "budget": 30,
        "observe": "progress",
    }
    return gym.make("ALDigits-v0", **{**quick, **options, "on_invalid": "raise", **settings})


def played(env, agent, cycles):
    """Plays some cycles, from the first one after a reset, and returns the queries."""
    if 0 in cycles:
        env.reset(seed=0)
        agent.reset(env.unwrapped.view, seed=0)
    queries = []
    for _ in cycles:
        found = agent.act(None)
        _, reward, _, _, info = env.step(found)
        agent.update(*agents.feedback(reward, info))
        queries.append(found.tolist())
    return queries


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
    env = playground(agent, initial_size=initial_size, budget=20)
    observation, _ = env.reset(seed=0)
    agent.reset(env.unwrapped.view, seed=0)
    for _ in range(2):
        view = env.unwrapped.view
        weights = env.unwrapped.get_state()["learner"]["classifier"]
        found = agent.act(observation)
        legal(found, view)
        assert np.array_equal(found, agent.act(observation))
        assert all(
            torch.equal(weights[k], v) for k, v in env.unwrapped.get_state()["learner"]["classifier"].items()
        )
        observation, reward, _, _, info = env.step(found)
        agent.update(*agents.feedback(reward, info))
    env.close()
