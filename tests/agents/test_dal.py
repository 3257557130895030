"""Discriminative active learning: weights and parts by hand, and which images it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import agents
from agents.strategies import dal
from alenv import errors, progress, testbed


def test_both_classes_weigh_the_same():
    targets = torch.tensor([0.0, 1.0, 1.0, 1.0])
    assert dal.class_weights(targets).tolist() == [4.0] + [pytest.approx(4 / 3)] * 3


def test_balanced_accuracy_is_not_outvoted():
    accuracy = dal.BalancedAccuracy(torch.device("cpu"))
    targets = torch.cat([torch.zeros(10), torch.ones(90)])
    accuracy.add(torch.ones(60), targets[:60])  # all called unlabeled
    accuracy.add(torch.ones(40), targets[60:])
    assert accuracy.take() == 0.5
    accuracy.add(torch.tensor([-1.0, 1.0, 1.0, 1.0]), torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert accuracy.take() == 0.75


@pytest.mark.parametrize(
    ("count", "parts", "expected"),
    [(10, 3, [4, 4, 2]), (40, 20, [2] * 20), (5, 20, [1] * 5), (21, 20, [2] * 10 + [1]), (7, 1, [7])],
)
def test_the_parts_of_a_query(count, parts, expected):
    assert dal.parts_of(count, parts) == expected


def three_groups():
    """60 images in three directions; those of the first one, and no other, are labeled in part."""
    random = torch.Generator().manual_seed(0)
    kinds = np.arange(60) % 3
    features = torch.eye(3)[kinds] + 0.1 * torch.rand(60, 3, generator=random)
    labeled = np.flatnonzero(kinds == 0)[:10]
    return testbed.planted(features, torch.zeros(60, 4), labeled=labeled, query_size=8), kinds


def test_it_takes_the_features_that_are_not_labeled_yet(query):
    view, kinds = three_groups()
    picks = query(agents.make("dal:sub_batches=4:epochs=60:lr=0.003"), view)
    assert set(kinds[picks]) == {1, 2}  # 10 of the 50 unlabeled images are of kind 0


def test_what_is_chosen_counts_as_labeled_for_the_next_part(query):
    """The second part is of the group that the first one left."""
    kinds = np.arange(60) // 20
    features = 2.0 * torch.eye(3)[kinds]
    features[kinds == 1] *= 2  # farther from the labeled ones
    view = testbed.planted(features, torch.zeros(60, 4), labeled=range(10), query_size=20)
    agent = "dal:epochs=200:lr=0.003:sub_batches="
    parts = [kinds[query(agents.make(f"{agent}{parts}"), view)] for parts in (1, 2)]
    assert len(set(parts[0])) == 1
    assert set(parts[1]) == {1, 2}


def test_a_new_network_for_each_part_that_stops_when_it_knows_enough(query):
    view, _ = three_groups()
    with progress.recording() as training:
        query(agents.make("dal:sub_batches=2:epochs=3"), view)
    assert training.steps == 2 * 3
    features = torch.eye(2)[np.arange(60) // 20 % 2] + 0.01 * torch.rand(
        60, 2, generator=torch.Generator().manual_seed(0)
    )  # told apart at once
    apart = testbed.planted(features, torch.zeros(60, 4), labeled=[*range(20), *range(40, 60)], query_size=4)
    with progress.recording() as training:
        query(agents.make("dal:sub_batches=1:lr=0.01"), apart)
    assert training.steps < 100


def test_without_labels_nothing_is_trained(planted, query):
    with progress.recording() as training:
        query(agents.make("dal"), planted(labeled=()))
    assert training.steps == 0


def test_options():
    agent = agents.make("dal")
    assert (agent.sub_batches, agent.epochs, agent.lr, agent.batch_size) == (20, 500, 2e-4, 1024)
    for option, wrong in (("sub_batches", 0), ("epochs", 0), ("lr", 0), ("batch_size", 1.5)):
        with pytest.raises(errors.InvalidQuery, match=rf"^{option}={wrong!r} was given; give .*\.$"):
            agents.make("dal", **{option: wrong})
