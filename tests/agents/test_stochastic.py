"""Stochastic acquisition against the probabilities that its formula gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import agents
from agents.strategies.disagreement import mutual_information
from agents.strategies.stochastic import power_scores
from agents.strategies.uncertainty import margin
from alenv.errors import InvalidQuery, MissingHead


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("coldness", [0.0, 1.0, 2.0])
def test_the_first_choice_is_drawn_by_a_power_of_the_score(coldness):
    scores, generator = torch.tensor([0.1, 0.4, 0.3, 0.2]), stream()
    drawn = [int(power_scores(scores, coldness, generator).argmax()) for _ in range(4000)]
    share = scores.double().numpy() ** coldness
    expected = 4000 * share / share.sum()
    assert stats.chisquare(np.bincount(drawn, minlength=4), expected).pvalue > 1e-3


def test_pairs_are_drawn_without_replacement():
    """P(i, then j) = s_i / S * s_j / (S - s_i)."""
    share, generator = np.array([0.5, 0.3, 0.2]), stream()
    drawn = [
        tuple(power_scores(torch.tensor(share), 1.0, generator).topk(2).indices.tolist()) for _ in range(4000)
    ]
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    expected = [4000 * share[i] * share[j] / (1 - share[i]) for i, j in pairs]
    assert stats.chisquare([drawn.count(pair) for pair in pairs], expected).pvalue > 1e-3


def test_a_score_of_zero_is_drawn_last_at_any_coldness():
    scores = torch.tensor([0.0, 1e-9, 0.0, 1e-3])
    for coldness in (0.0, 1.0):
        noisy = power_scores(scores, coldness, stream())
        assert noisy[[0, 2]].tolist() == [-torch.inf] * 2
        assert noisy[[1, 3]].isfinite().all()


@pytest.mark.parametrize("name", ["power_margin", "power_bald"])
def test_great_coldness_takes_the_highest_scores(planted, query, name):
    view = planted(query_size=20)
    free = view.unlabeled
    scores = (
        margin(view.logits(free))
        if name == "power_margin"
        else mutual_information(view.member_probabilities(None, free))
    )
    expected = free[np.argsort(-scores.numpy())[:20]]
    assert sorted(query(agents.make(name, coldness=1e7), view)) == sorted(expected)
    assert sorted(query(agents.make(name), view)) != sorted(expected)


def test_undecided_images_are_drawn_more_often(planted, query):
    """Half of the images have a margin score of about 0.999, half of about 0.0001."""
    logits = torch.zeros(200, 2)
    logits[::2, 0], logits[1::2, 0] = 0.002, 10.0
    view = planted(logits=logits, classes=2, query_size=40, labeled=(), members=None)
    found = np.concatenate([query(agents.make("power_margin"), view, seed) for seed in range(5)])
    assert (found % 2 == 0).mean() > 0.95


def test_options(planted):
    with pytest.raises(InvalidQuery, match=r"^coldness=-1 was given; give a number of at least 0\.$"):
        agents.make("power_margin:coldness=-1")
    with pytest.raises(InvalidQuery, match="members=0"):
        agents.make("power_bald:members=0")
    with pytest.raises(MissingHead, match="dropout"):
        agents.make("power_bald").reset(planted(members=None))
