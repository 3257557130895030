"""Class-balanced queries against sums worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import agents
from agents.strategies import class_balanced
from alenv.errors import InvalidQuery


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_what_each_class_lacks():
    labels = torch.tensor([0, 0, 0, 0, 0, 1, -1])
    assert class_balanced.wanted_counts(labels, 3, 6).tolist() == [0.0, 3.0, 4.0]
    assert class_balanced.wanted_counts(labels[:0], 4, 6).tolist() == [1.5] * 4


def test_choices_equal_the_plain_greedy_rule():
    p = (2 * torch.randn(40, 4, generator=stream(), dtype=torch.float64)).softmax(1)
    scores = torch.rand(40, generator=stream(1), dtype=torch.float64)
    wanted, chosen = torch.tensor([0.0, 1.0, 2.0, 5.0], dtype=torch.float64), []

    def value(rows):
        return float(scores[rows].sum() - 0.7 * (wanted - p[rows].sum(0)).abs().sum())

    for _ in range(8):
        chosen.append(max((i for i in range(40) if i not in chosen), key=lambda i: value([*chosen, i])))
    assert class_balanced.balanced(scores, p, wanted, 0.7, 8, stream()).tolist() == chosen


def test_the_class_without_labels_is_bought_first(planted, query):
    """All images are equally uncertain; a tenth is of class 2, of which there is no label."""
    logits = torch.zeros(200, 3)
    kinds = torch.arange(200) % 10
    logits[kinds < 5, 0], logits[(kinds >= 5) & (kinds < 9), 1], logits[kinds == 9, 2] = 4.0, 4.0, 4.0
    labels = np.arange(200) % 2
    view = planted(logits=logits, labels=labels, labeled=range(8), query_size=4, validation=0)
    assert (query(agents.make("class_balanced"), view) % 10 == 9).all()


def test_without_weight_it_is_entropy(planted, query):
    view = planted(query_size=20)
    found = query(agents.make("class_balanced:weight=0"), view)
    assert found.tolist() == query(agents.make("entropy"), view).tolist()
    with pytest.raises(InvalidQuery, match="weight"):
        agents.make("class_balanced:weight=-1")
