"""Distances, k-center, k-means++ and k-means against slow, obvious versions."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.cluster import KMeans

from alenv import geometry
from alenv.errors import InvalidQuery


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


RUNS = 1500


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(n: int, d: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(n, d, generator=stream(seed), dtype=dtype)


def slow_k_center(x: torch.Tensor, count: int, centers: torch.Tensor) -> list[int]:
    chosen: list[int] = []
    for _ in range(count):
        covered = torch.cat((centers, x[chosen]))
        distance = (x[:, None] - covered[None]).square().sum(2).min(1).values
        distance[chosen] = -1.0
        chosen.append(int(distance.argmax()))
    return chosen


# ---- distances ----


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_distances_equal_explicit_differences(dtype):
    a, b = points(7, 5).to(dtype), points(4, 5, seed=1).to(dtype)
    explicit = (a.double()[:, None] - b.double()[None]).square().sum(2)
    found = geometry.squared_distances(a, b)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(found.double(), explicit, rtol=1e-5, atol=1e-5)
    rows = torch.tensor([3, 0])
    torch.testing.assert_close(
        geometry.distances_to_rows(a)(rows), geometry.squared_distances(a[rows], a), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("block", [1, 10, 2**22])
def test_nearest_equals_explicit_whatever_the_chunks(monkeypatch, block):
    monkeypatch.setattr(geometry, "BLOCK", block)
    x, centers = points(23, 6), points(5, 6, seed=1)
    explicit = torch.cdist(x, centers).square().min(1)
    found = geometry.nearest(x, centers)
    assert torch.equal(found.center, explicit.indices)
    torch.testing.assert_close(found.squared_distance, explicit.values)
    torch.testing.assert_close(geometry.min_squared_distances(x, centers), explicit.values)


def test_without_centers_every_distance_is_infinite():
    assert geometry.min_squared_distances(points(3, 2), points(0, 2)).tolist() == [float("inf")] * 3


def test_equal_points_far_from_the_origin_have_distance_zero_and_none_is_negative():
    x = points(300, 64, dtype=torch.float32) + 100
    x[150:] = x[:150]
    found = geometry.squared_distances(x, x)
    assert (found >= 0).all()
    assert (found.diagonal() == 0).all()
    assert (found[:150, 150:].diagonal() == 0).all()
    assert (geometry.nearest(x, x[:150]).squared_distance == 0).all()
    assert (found[0, 1:150] > 0).all()


def test_largest_breaks_ties_at_random():
    values = torch.tensor([1.0, 3.0, 0.0, 3.0])
    drawn = [geometry.largest(values, generator) for generator in [stream()] for _ in range(200)]
    assert set(drawn) == {1, 3}
    assert 60 < drawn.count(1) < 140


# ---- k-center ---------------------------------------------------------------------------------------------


def tight_clusters() -> torch.Tensor:
    return points(12, 3).repeat_interleave(8, 0) + 0.01 * points(96, 3, seed=2)


@pytest.mark.parametrize("x", [points(120, 5), tight_clusters()], ids=["spread", "clusters"])
def test_k_center_equals_the_slow_version(x):
    centers = points(3, x.shape[1], seed=9)
    found = geometry.k_center(x, 60, centers, generator=stream())
    assert found.tolist() == slow_k_center(x, 60, centers)


def test_k_center_starts_at_random_without_centers():
    x = points(40, 3)
    starts = set()
    for seed in range(20):
        found = geometry.k_center(x, 10, generator=stream(seed)).tolist()
        starts.add(found[0])
        assert found[1:] == slow_k_center(x, 10, x[found[:1]])[: 10 - 1]
    assert len(starts) > 10


def test_k_center_on_a_line():
    x = torch.tensor([[0.0], [1.0], [10.0], [6.0]])
    assert geometry.k_center(x, 4, torch.zeros(1, 1), generator=stream()).tolist()[:3] == [2, 3, 1]


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_broken_rows_are_chosen_at_most_once(broken):
    x = points(20, 3)
    x[5:9] = broken
    assert len(geometry.k_center(x, 20, generator=stream()).unique()) == 20
    found = geometry.k_means_plus_plus(20, 20, geometry.distances_to_rows(x), stream())
    assert len(found.unique()) == 20


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=50), st.data())
def test_choices_are_distinct_even_among_duplicates(rows, data):
    x = torch.tensor(rows, dtype=torch.float32)
    count = data.draw(st.integers(0, len(x)))
    kinds = len(x.unique(dim=0))
    center = geometry.k_center(x, count, generator=stream())
    plus = geometry.k_means_plus_plus(count, len(x), geometry.distances_to_rows(x), stream())
    for found in (center, plus):
        assert found.dtype == torch.int64
        assert len(found) == len(found.unique()) == count
        assert len(x[found].unique(dim=0)) == min(count, kinds)  # duplicates come last


def test_more_points_than_there_are_is_refused():
    x = points(3, 2)
    with pytest.raises(InvalidQuery, match="4 points"):
        geometry.k_center(x, 4, generator=stream())
    with pytest.raises(InvalidQuery, match="4 points"):
        geometry.k_means_plus_plus(4, 3, geometry.distances_to_rows(x), stream())


# ---- k-means++ --------------------------------------------------------------------------------------------


def exact_last_choice(x: torch.Tensor, count: int, first: int) -> np.ndarray:
    """The distribution of the ``count``-th choice, from all sets that can come before it."""
    distance = torch.cdist(x, x).square().numpy()

    def step(chosen: frozenset[int]) -> np.ndarray:
        weights = distance[sorted(chosen)].min(0)
        weights[sorted(chosen)] = 0
        return weights / weights.sum()

    sets = {frozenset([first]): 1.0}
    for _ in range(count - 2):
        following: dict[frozenset[int], float] = defaultdict(float)
        for chosen, probability in sets.items():
            for i, p in enumerate(step(chosen)):
                if p:
                    following[chosen | {i}] += probability * p
        sets = following
    return sum(probability * step(chosen) for chosen, probability in sets.items())


@pytest.mark.parametrize("count", [2, 3, 6, 8])
def test_k_means_plus_plus_draws_by_squared_distance(count):
    """Pairs of near-twins: once one of a pair is chosen, the other must hardly ever be."""
    x = (torch.arange(6, dtype=torch.float64)[:, None] ** 1.3).repeat_interleave(2, 0)
    x = torch.cat((x, torch.linspace(0, 1, 12, dtype=torch.float64)[:, None]), 1)
    expected = exact_last_choice(x, count, first=0)
    generator = stream(count)
    distances = geometry.distances_to_rows(x)
    last = [
        int(geometry.k_means_plus_plus(count, 12, distances, generator, first=0)[-1]) for _ in range(RUNS)
    ]
    seen = np.bincount(last, minlength=12)
    assert seen[expected == 0].sum() == 0
    likely = expected > 0
    assert stats.chisquare(seen[likely], RUNS * expected[likely] / expected.sum()).pvalue > 1e-3


def test_k_means_plus_plus_without_a_first_starts_uniformly():
    x, generator = points(4, 2), stream()
    first = [
        int(geometry.k_means_plus_plus(1, 4, geometry.distances_to_rows(x), generator)[0]) for _ in range(400)
    ]
    assert stats.chisquare(np.bincount(first, minlength=4)).pvalue > 1e-3


def test_k_means_plus_plus_among_equal_points_is_uniform():
    x, generator = torch.ones(5, 3), stream()
    drawn = [geometry.k_means_plus_plus(3, 5, geometry.distances_to_rows(x), generator) for _ in range(400)]
    assert all(len(each.unique()) == 3 for each in drawn)
    assert stats.chisquare(torch.cat(drawn).bincount()).pvalue > 1e-3


def test_a_tiny_weight_is_not_swallowed_by_large_ones():
    """Far more weight in front of it than float32 can add it to."""
    distance = torch.tensor([[0.0, 1e12, 1e3]])
    found = {
        int(geometry.k_means_plus_plus(3, 3, lambda rows: distance.expand(len(rows), 3), stream(s), 0)[2])
        for s in range(5)
    }
    assert found == {2}


# ---- k-means ----------------------------------------------------------------------------------------------


def test_k_means_finds_separate_clusters_and_their_means():
    middles = 50 * points(6, 4, seed=3)
    x = middles.repeat_interleave(20, 0) + points(120, 4)
    found = geometry.k_means(x, 6, stream())
    for start in range(0, 120, 20):
        own = found.assignment[start : start + 20]
        assert len(own.unique()) == 1
        torch.testing.assert_close(found.centers[own[0]], x[start : start + 20].mean(0))
    explicit = (x - found.centers[found.assignment]).square().sum(1)
    torch.testing.assert_close(found.squared_distance, explicit, rtol=1e-6, atol=1e-6)


def test_k_means_is_as_good_as_scikit_learn():
    x = points(400, 8)
    ours = min(float(geometry.k_means(x, 20, stream(s), 50).squared_distance.sum()) for s in range(3))
    theirs = KMeans(20, n_init=3, random_state=0).fit(x.numpy()).inertia_
    assert ours < 1.05 * theirs


def test_k_means_with_fewer_distinct_points_than_clusters():
    x = points(3, 2).repeat(10, 1)
    found = geometry.k_means(x, 8, stream())
    assert len(found.assignment.unique()) == 3
    assert found.squared_distance.max() < 1e-12


def test_an_emptied_cluster_takes_over_the_farthest_point():
    x = torch.tensor([[0.0], [1.0], [2.0], [30.0]])
    lost = geometry.Nearest(torch.zeros(4, dtype=torch.int64), torch.tensor([0.0, 1.0, 4.0, 900.0]))
    assert geometry._centers(x, lost, 2).tolist() == [[8.25], [30.0]]


def test_results_depend_on_the_generator_alone():
    x, state = points(60, 4), torch.get_rng_state()
    for function in (
        lambda g: geometry.k_center(x, 9, generator=g),
        lambda g: geometry.k_means_plus_plus(9, 60, geometry.distances_to_rows(x), g),
        lambda g: geometry.k_means(x, 9, g).assignment,
    ):
        assert torch.equal(function(stream(1)), function(stream(1)))
        assert any(not torch.equal(function(stream(1)), function(stream(s))) for s in range(2, 5))
    assert torch.equal(torch.get_rng_state(), state)
