"""Cluster-Margin against SciPy and against turns taken by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist
from torch.nn.functional import normalize

import agents
from agents.strategies import cluster_margin
from agents.strategies.uncertainty import margin
from alenv.errors import InvalidQuery


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def same_partition(a, b):
    pairs = set(zip(a, b, strict=True))
    return len(pairs) == len(set(a)) == len(set(b))


@pytest.mark.parametrize("clusters", [1, 7, 40])
def test_clusters_are_those_of_average_linkage_by_cosine(clusters):
    x = normalize(torch.randn(120, 5, generator=stream()), dim=1)
    theirs = fcluster(linkage(pdist(x.double().numpy(), "cosine"), "average"), clusters, "maxclust")
    found = cluster_margin.average_linkage(x, clusters)
    assert same_partition(found, theirs)
    assert len(set(found)) == clusters


def test_one_point_is_a_cluster():
    assert cluster_margin.average_linkage(torch.ones(1, 3), 5).tolist() == [0]
    assert cluster_margin.average_linkage(torch.ones(0, 3), 5).tolist() == []


def test_beyond_the_most_points_others_join_the_nearest():
    own = torch.arange(6).repeat_interleave(30)
    x = normalize(torch.eye(8)[own] + 0.05 * torch.randn(180, 8, generator=stream()), dim=1)
    found = cluster_margin.clustered(x, 30, 60, stream())
    assert same_partition(found, own.tolist())


def test_turns_go_from_the_smallest_cluster_to_the_largest():
    clusters = np.array([5, 5, 5, 5, 2, 2, 2, 9, 9, 0])
    orders = np.array([cluster_margin.in_turns(clusters, 10, stream(seed)).numpy() for seed in range(40)])
    for order in orders:
        assert sorted(order) == list(range(10))
        assert clusters[order].tolist() == [0, 9, 2, 5, 9, 2, 5, 2, 5, 5]
    assert len(set(orders[:, 3])) == 4  # any of cluster 5
    assert (
        cluster_margin.in_turns(clusters, 3, stream()).tolist()
        == cluster_margin.in_turns(clusters, 10, stream()).tolist()[:3]
    )


def test_clusters_of_one_size_come_in_any_order():
    firsts = {int(cluster_margin.in_turns(np.arange(5), 1, stream(seed))) for seed in range(60)}
    assert firsts == set(range(5))


def test_low_margins_are_spread_over_clusters(planted, query):
    """The 50 lowest margins lie in two clusters, 45 and 5; five are asked for, in turns, the small one first."""
    x = torch.eye(6)[:1].repeat(200, 1)
    x[45:50] = torch.eye(6)[1]
    x = x + 0.05 * torch.randn(200, 6, generator=stream())
    logits = torch.zeros(200, 2)
    logits[:, 0] = torch.cat([torch.rand(50, generator=stream(1)), 3 + torch.rand(150, generator=stream(2))])
    view = planted(features=x, logits=logits, labeled=(), query_size=5)
    found = query(agents.make("cluster_margin:size=25"), view)
    assert [image in range(45, 50) for image in found] == [True, False, True, False, True]
    assert set(found) < set(range(50))
    assert set(margin(logits).topk(50).indices.tolist()) == set(range(50))


def test_impossible_options_are_refused():
    for wrong in ("factor=0", "size=0.5", "most=0"):
        with pytest.raises(InvalidQuery, match=wrong.partition("=")[0]):
            agents.make(f"cluster_margin:{wrong}")
