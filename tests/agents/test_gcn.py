"""Graph networks: the product with the adjacency, the loss by hand, and which images they take."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import agents
from agents.strategies import gcn
from alenv import errors, fitting, progress, testbed
from alenv.runtime import Runtime

CPU = Runtime("cpu", "fp32", 1)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def adjacency(features):
    """The matrix itself, float64 (n, n)."""
    unit = F.normalize(features.double(), dim=1)
    similar = unit @ unit.T
    similar.fill_diagonal_(0.0)
    return similar / similar.sum(0, keepdim=True) + torch.eye(len(unit))


def test_the_factored_product_is_that_of_the_dense_adjacency():
    features, x = torch.rand(60, 7, generator=stream()), torch.randn(60, 3, generator=stream(1))
    dense = adjacency(features)
    torch.testing.assert_close(
        gcn.propagation(features)(x).double(), dense @ x.double(), rtol=1e-4, atol=1e-5
    )
    columns = (dense - torch.eye(60)).sum(0)
    torch.testing.assert_close(columns, torch.ones(60, dtype=torch.float64))  # columns are scaled, not rows
    assert not torch.allclose((dense - torch.eye(60)).sum(1), columns)


def test_features_of_no_length_or_no_number_pass_nothing_on():
    features = torch.rand(10, 4, generator=stream())
    features[3], features[5] = 0.0, torch.nan
    passed = gcn.propagation(features)(torch.eye(10))
    assert passed.isfinite().all()
    for lonely in (3, 5):
        expected = torch.zeros(10)
        expected[lonely] = 1.0
        assert torch.equal(passed[:, lonely], expected)
        assert torch.equal(passed[lonely], expected)


def test_the_network_by_hand():
    features = torch.rand(30, 6, generator=stream())
    network = fitting.build(lambda: gcn.GraphNetwork(6), stream(2), CPU)
    first, second = network.first, network.second
    assert float(first.weight.detach().abs().max()) == pytest.approx(128**-0.5, rel=0.01)
    assert 0.9 < float(second.weight.detach().abs().max()) <= 1
    dense = adjacency(features).float()
    unit = F.normalize(features, dim=1)
    kept = torch.rand(30, 128, generator=stream(3)) > 0.3
    for mask in (None, kept):
        expected = (dense @ unit @ first.weight.T + first.bias).relu()
        expected = expected if mask is None else expected * mask / 0.7
        propagate = gcn.propagation(features)
        hidden, logits = network(propagate(unit), propagate, mask)
        torch.testing.assert_close(hidden, expected)
        torch.testing.assert_close(
            logits, (dense @ expected @ second.weight.T + second.bias).squeeze(1), rtol=1e-4, atol=1e-4
        )


def test_the_loss_by_hand():
    logits = torch.randn(9, generator=stream())
    s = logits.double().sigmoid()
    expected = -s[:4].log().mean() - 1.2 * (1 - s[4:]).log().mean()
    assert float(gcn.labeled_loss(logits, 4)) == pytest.approx(float(expected), rel=1e-5)
    assert gcn.labeled_loss(torch.tensor([-500.0, 500.0]), 1).isfinite()


def three_groups():
    """60 images in three directions; those of the first one, and no other, are labeled in part."""
    kinds = np.arange(60) % 3
    features = torch.eye(3)[kinds] + 0.1 * torch.rand(60, 3, generator=stream())
    labeled = np.flatnonzero(kinds == 0)[:10]
    return testbed.planted(features, torch.zeros(60, 4), labeled=labeled, query_size=10), kinds


def test_uncertain_gcn_takes_images_unlike_the_labeled_ones(query):
    view, kinds = three_groups()
    assert (kinds[query(agents.make("uncertain_gcn:target=0"), view)] != 0).all()
    likely = query(agents.make("uncertain_gcn:target=1"), view)
    assert (kinds[likely] == 0).all()


def test_core_gcn_takes_a_node_of_each_group_first(query):
    view, kinds = three_groups()
    assert set(kinds[query(agents.make("core_gcn"), view)[:2]]) == {1, 2}


@pytest.mark.parametrize("name", ["uncertain_gcn", "core_gcn"])
def test_it_trains_as_often_as_told_and_not_without_labels(name, planted, query):
    with progress.recording() as training:
        query(agents.make(f"{name}:steps=3"), planted())
    assert training.steps == 3
    with progress.recording() as training:
        query(agents.make(name), planted(labeled=()))
    assert training.steps == 0
    assert agents.make(name).steps == 200
    with pytest.raises(errors.InvalidQuery, match="steps=0 was given"):
        agents.make(f"{name}:steps=0")


def test_the_target_is_a_probability():
    assert agents.make("uncertain_gcn").target == 0.1
    with pytest.raises(errors.InvalidQuery, match=r"target=1\.5 was given"):
        agents.make("uncertain_gcn:target=1.5")
