"""TypiClust on clusters that are planted, and typicality against a slow loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import agents
from agents.strategies.typiclust import cluster_order, typicality
from alenv.errors import InvalidQuery, MissingHead, UnknownName
from scenarios.bench.explicit.clusters import typicality as slow_typicality


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("n", [2, 3, 30, 60])
def test_typicality_equals_a_slow_loop(n):
    x = torch.randn(n, 4, generator=stream())
    np.testing.assert_allclose(typicality(x), slow_typicality(x.double().numpy(), 20), rtol=1e-4)


def test_a_lone_point_is_not_typical_and_duplicates_are():
    assert typicality(torch.ones(1, 3)).tolist() == [0.0]
    assert typicality(torch.ones(4, 3)).tolist() == pytest.approx([1e5] * 4)


def test_distances_are_not_squared():
    """Two neighbors at 0.1 and 1.9, or twice 1.1: by distance the first is nearer, by squares the second."""
    x = torch.tensor([[0.0], [0.1], [1.9], [-20.0]])
    y = torch.tensor([[0.0], [1.1], [-1.1], [-20.0]])
    assert typicality(x)[0] == pytest.approx(1 / (1.0 + 1e-5))
    assert typicality(x)[0] > typicality(y)[0]


def test_clusters_with_few_labels_and_many_images_come_first():
    labeled, sizes = torch.tensor([1, 0, 0, 2, 0]), torch.tensor([90, 10, 30, 99, 10])
    orders = {tuple(cluster_order(labeled, sizes, stream(seed))) for seed in range(20)}
    assert orders == {(2, 1, 4, 0, 3), (2, 4, 1, 0, 3)}


def clusters(sizes, spread=0.05, seed=0):
    """Unit vectors around orthogonal directions, (sum of sizes, 8)."""
    generator = stream(seed)
    middles = torch.eye(8)[: len(sizes)].repeat_interleave(torch.tensor(sizes), 0)
    return normalize(middles + spread * torch.randn(sum(sizes), 8, generator=generator), dim=1)


def view_of(planted, embedding, **given):
    n = len(embedding)
    return planted(
        n=n, features=torch.zeros(n, 2), logits=torch.zeros(n, 3), validation=0, embedding=embedding, **given
    )


def test_the_most_typical_image_of_each_unlabeled_cluster_is_chosen(planted, query):
    """Two of five clusters hold the labels; a query of three takes the middles of the others, largest first."""
    sizes = [20, 40, 30, 25, 35]
    x = clusters(sizes)
    bounds = np.cumsum([0, *sizes])
    view = view_of(planted, x, labeled=[0, 60], query_size=3)  # of clusters 0 and 2
    expected = []
    for cluster in (1, 4, 3):
        scores = slow_typicality(x[bounds[cluster] : bounds[cluster + 1]].double().numpy(), 20)
        expected.append(int(bounds[cluster] + scores.argmax()))
    for seed in range(3):
        assert query(agents.make("typiclust"), view, seed).tolist() == expected


def test_small_clusters_are_asked_last(planted, query):
    x = clusters([20, 5, 20])
    view = view_of(planted, x, labeled=(), query_size=3)
    found = query(agents.make("typiclust"), view)
    assert not np.isin(found, np.arange(20, 25)).any()
    assert np.isin(query(agents.make("typiclust:least=4"), view), np.arange(20, 25)).sum() == 1
    every = view_of(planted, x, labeled=(), query_size=44)
    assert len(set(query(agents.make("typiclust:clusters=3"), every)[:40]) & set(range(20, 25))) == 0


def test_it_reads_the_embedding_or_the_features(planted, query):
    x = clusters([20, 30])
    middle = [int(slow_typicality(x[:20].double().numpy(), 20).argmax())]
    given = {"n": 50, "logits": torch.zeros(50, 2), "labeled": [25], "query_size": 1, "validation": 0}
    by_features = planted(features=7 * x, embedding=None, **given)
    assert query(agents.make("typiclust:features=classifier"), by_features).tolist() == middle
    with pytest.raises(MissingHead, match='embedding="patches"'):
        agents.make("typiclust").reset(by_features)
    assert agents.make("typiclust:features=classifier").needs == ()


def test_impossible_options_are_refused():
    for wrong in ("clusters=0", "neighbors=0.5", "least=-1"):
        with pytest.raises(InvalidQuery, match=wrong):
            agents.make(f"typiclust:{wrong}")
    with pytest.raises(UnknownName, match="There is no features 'pixels'"):
        agents.make("typiclust:features=pixels")
