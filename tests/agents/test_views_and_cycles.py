"""Temporal discrepancy and consistency: what changes between cycles, and between views of an image."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
from agents.strategies import consistency, tod
from alenv import Recipe, errors, testbed

# ---- temporal output discrepancy ---------------------------------------------------------------------------


def test_the_discrepancy_by_hand():
    now, then = (
        torch.tensor([[0.6, 0.4], [0.0, 1.0], [0.5, 0.5]]),
        torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]]),
    )
    found = tod.discrepancy(now.log(), then.log())
    assert found.tolist() == pytest.approx([0.5 * 0.02, 1.0, 0.0], abs=1e-7)


def test_tod_takes_what_has_changed_most(planted, query):
    before = 3 * torch.randn(220, 4, generator=torch.Generator().manual_seed(9))
    view = planted(previous={"logits": before}, cycle=1, query_size=10)
    now, then = view.probabilities().double(), before[:200].double().softmax(1)
    distance = (now - then).norm(dim=1).numpy()
    expected = view.unlabeled[np.argsort(-distance[view.unlabeled])[:10]]
    assert query(agents.make("tod"), view).tolist() == expected.tolist()


def test_tod_is_random_at_cycle_0_and_reads_the_classifier_of_the_cycle_before():
    quick = {"epochs": 2, "width": 4, "initial_size": 20, "query_size": 10, "budget": 20}
    env = gym.make("ALDigits-v0", **quick, observe="progress", on_invalid="raise")
    env.reset(seed=0)
    agent, view = agents.make("tod:pool=all"), env.unwrapped.view
    agent.reset(view, seed=0)
    first = agent.act(None)
    assert first.tolist() == agents.make("random").pick(view, view.unlabeled, 10, agent.stream()).tolist()
    before = view.probabilities().double()
    env.step(first)
    distance = (view.probabilities().double() - before).norm(dim=1).numpy()
    least = distance[agent.act(None)].min()
    assert np.sum(distance[view.unlabeled] > least) == 9
    env.close()


# ---- consistency -------------------------------------------------------------------------------------------


def test_the_inconsistency_by_hand():
    p = np.random.default_rng(0).dirichlet(np.ones(3), size=(5, 7))
    expected = [sum(np.mean((p[:, i, c] - p[:, i, c].mean()) ** 2) for c in range(3)) for i in range(7)]
    np.testing.assert_allclose(consistency.inconsistency(torch.from_numpy(p)), expected)
    same = torch.from_numpy(p[:1]).expand(5, -1, -1)
    np.testing.assert_allclose(consistency.inconsistency(same), 0.0, atol=1e-15)


def plain_and_noisy(recipe, kinds):
    """Images of one grey level look the same in every flip; the others are noise."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (len(kinds), 8, 8, 1), dtype=np.uint8)
    images[kinds == 0] = random.integers(0, 256, (int((kinds == 0).sum()), 1, 1, 1))
    nothing = torch.zeros(len(kinds), 1), torch.zeros(len(kinds), 4)
    return testbed.planted(*nothing, images=images, labeled=range(10), query_size=20, recipe=recipe)


@pytest.mark.parametrize("noisy", [0, 1])
def test_images_that_look_the_same_in_all_views_come_last(query, noisy):
    kinds = (np.arange(80) + noisy) % 2
    view = plain_and_noisy(Recipe(flip=True, crop_padding=0), kinds)
    assert (kinds[query(agents.make("consistency:views=4"), view)] == 1).all()


def test_views_are_those_of_the_recipe_or_small_crops(planted, query, monkeypatch):
    for recipe, expected in (
        (Recipe(), (True, 4)),
        (Recipe(flip=False), (False, 4)),
        (Recipe(augment=False), (False, 1)),  # an eighth of 8
        (Recipe(crop_padding=0, flip=False), (False, 1)),
        (Recipe(trivial_augment=True, cutout=4), (True, 4)),
    ):
        view, seen = planted(recipe=recipe), []
        augmented = view.augmented

        def spy(rows, *, generator, augmentation, augmented=augmented, seen=seen):
            seen.append(augmentation)
            return augmented(rows, generator=generator, augmentation=augmentation)

        monkeypatch.setattr(view, "augmented", spy)
        query(agents.make("consistency:views=3"), view)
        assert len(seen) == 3
        assert {(each.flip, each.crop_padding, each.trivial, each.cutout) for each in seen} == {
            (*expected, False, 0)
        }


def test_views_is_a_count():
    assert agents.make("consistency").views == 50
    with pytest.raises(errors.InvalidQuery, match="views=0 was given"):
        agents.make("consistency:views=0")
