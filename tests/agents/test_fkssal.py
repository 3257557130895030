"""FKSSAL: descriptors and matches by hand, and which images it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import agents
from agents.strategies import fkssal
from alenv import errors, testbed


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_products_of_descriptors_are_correlations():
    features, weight = torch.rand(8, 5, generator=stream()), torch.randn(3, 5, generator=stream(1))
    labels = torch.arange(8) % 3
    varied = features.clone().requires_grad_()
    F.cross_entropy(varied @ weight.T, labels, reduction="sum").backward()
    gradients = varied.grad.numpy()
    factors = (features @ weight.T).softmax(1) - torch.eye(3)[labels]
    found = fkssal.descriptors(features, factors, weight)
    expected = np.corrcoef(features.numpy()) + np.corrcoef(gradients)
    np.testing.assert_allclose((found @ found.T).numpy(), expected, atol=1e-5)


def test_what_does_not_vary_or_is_no_number_correlates_with_nothing():
    x = torch.tensor([[2.0, 2.0, 2.0], [1.0, torch.nan, 3.0], [1.0, 2.0, 3.0]])
    found = fkssal.standardized(x)
    assert (found @ found.T).diag().tolist() == pytest.approx([0.0, 0.0, 1.0])


def test_matches_go_by_rank_and_then_by_similarity():
    wanted = torch.eye(2)
    pool = torch.tensor([[0.9, 0.0], [0.8, 0.1], [0.7, 0.3], [0.0, 0.5], [0.0, 0.95]])
    assert fkssal.matches(wanted, pool, 2).tolist() == [4, 0]
    assert fkssal.matches(wanted, pool, 4).tolist() == [4, 0, 1, 3]
    assert fkssal.matches(wanted, pool, 5).tolist() == [4, 0, 1, 3, 2]
    # All want the same: ranks are added until the matches are as many.
    assert fkssal.matches(torch.ones(30, 1), torch.arange(9.0)[:, None], 7).tolist() == [8, 7, 6, 5, 4, 3, 2]


def test_matches_in_chunks_are_those_of_one_product(monkeypatch):
    wanted, pool = torch.randn(9, 4, generator=stream()), torch.randn(50, 4, generator=stream(1))
    whole = fkssal.matches(wanted, pool, 30)
    monkeypatch.setattr(fkssal, "BLOCK", 120)
    assert torch.equal(fkssal.matches(wanted, pool, 30), whole)
    assert len(set(whole.tolist())) == 30


def two_groups(wrong, count=30):
    """Images in two directions, in turn; validation images of the direction ``wrong`` are misclassified."""
    kinds = np.arange(160) % 2
    features = torch.eye(4)[kinds] + 0.05 * torch.rand(160, 4, generator=stream())
    logits = 4.0 * torch.eye(3)[kinds]
    labels = np.where(kinds == wrong, 2, kinds)
    view = testbed.planted(
        features, logits, labels=labels, labeled=range(20), query_size=count, validation=40
    )
    return view, kinds


@pytest.mark.parametrize("pseudo", ["nearest", "predicted"])
@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize("count", [10, 30])  # fewer than there are errors, and more
def test_it_takes_what_is_like_the_errors(query, pseudo, wrong, count):
    view, kinds = two_groups(wrong, count)
    assert (kinds[query(agents.make(f"fkssal:pseudo={pseudo}"), view)] == wrong).all()


def test_without_errors_the_query_is_random(query):
    view, _ = two_groups(None)
    found = query(agents.make("fkssal"), view)
    assert found.tolist() == query(agents.make("random"), view).tolist()


def test_the_nearest_validation_image_lends_its_label(query):
    """All are classified alike; only the labels of the split tell the kinds apart."""
    view, kinds = two_groups(0)
    factors = agents.make("fkssal")._factors(view, torch.arange(120))
    labels = torch.from_numpy(np.where(kinds[:120] == 0, 2, 1))
    torch.testing.assert_close(factors, view.logits().softmax(1) - torch.eye(3)[labels])


def test_what_it_needs(planted):
    with pytest.raises(errors.MissingHead, match="no validation split"):
        agents.make("fkssal").reset(planted(validation=0), seed=0)
    with pytest.raises(errors.UnknownName, match="nearest"):
        agents.make("fkssal:pseudo=neares")
