"""Greedy covers against brute force: ProbCover, MaxHerding, Uncertainty Herding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import agents
from agents import cover
from agents.strategies import prob_cover
from alenv.errors import InvalidQuery, MissingHead, UnknownName


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def distances(x):
    x = x.double().numpy()
    return np.linalg.norm(x[:, None] - x[None], axis=2)


def slow_gains(kernel, weights, covered):
    """What each column of the kernel (m, n) would add."""
    return (weights[:, None] * np.maximum(kernel - covered[:, None], 0)).sum(0)


def slow_greedy(kernel, weights, labeled, count):
    """Chooses by the full matrix; each choice must be the best by a margin, or the comparison would be of ties."""
    covered = kernel[:, labeled].max(1) if len(labeled) else np.zeros(len(kernel))
    chosen = []
    for _ in range(count):
        gains = slow_gains(kernel, weights, covered)
        gains[[*labeled, *chosen]] = -1
        chosen.append(int(gains.argmax()))
        covered = np.maximum(covered, kernel[:, chosen[-1]])
    return chosen


def random_points(n=200, size=6, seed=0):
    return normalize(torch.randn(n, size, generator=stream(seed)), dim=1)


def view_of(planted, x, **given):
    n = len(x)
    logits = given.pop("logits", torch.zeros(n, 3))
    return planted(n=n, features=torch.zeros(n, 2), logits=logits, validation=0, embedding=x, **given)


# ---- the tool ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_lazy_choices_are_those_of_brute_force(seed):
    x = random_points(seed=seed)
    weights = torch.rand(200, generator=stream(seed))
    kernel = np.exp(-np.square(distances(x) / 0.6))
    state = cover.Cover(x, x, cover.gaussian(0.6), weights)
    state.add(x[:10])
    np.testing.assert_allclose(
        state.gains(), slow_gains(kernel, weights.double().numpy(), kernel[:, :10].max(1)), rtol=1e-4, atol=1e-5
    )
    found = cover.greedy(state, 60, stream()).tolist()
    expected = slow_greedy(kernel, weights.double().numpy(), list(range(10)), 60)
    assert found == expected


def test_targets_that_count_for_nothing_are_left_out():
    x = random_points()
    weights = torch.zeros(200)
    weights[5:9] = 1.0
    state = cover.Cover(x, x, cover.top_hat(1e-3), weights)
    state.add(x[5:6])
    assert len(state.targets) == 3
    assert sorted(cover.greedy(state, 3, stream()).tolist()) == [6, 7, 8]


def test_once_nothing_adds_the_rest_is_random():
    x = torch.eye(4).repeat_interleave(10, 0)
    found = [cover.greedy(cover.Cover(x, x, cover.top_hat(0.5)), 12, stream(seed)) for seed in range(60)]
    for each in found:
        assert len(set(each.tolist())) == 12
        assert sorted((each[:4] // 10).tolist()) == [0, 1, 2, 3]
    assert len({tuple(sorted(each[4:].tolist())) for each in found}) == 60
    assert len(np.unique(torch.stack(found)[:, 4:])) == 40


# ---- ProbCover ---------------------------------------------------------------------------------------------


def covered_images(graph, chosen):
    return int(graph[:, chosen].any(1).sum())


@pytest.mark.parametrize("labeled", [(), (3, 50, 120)])
def test_prob_cover_takes_one_of_the_best_by_brute_force_at_every_step(planted, query, labeled):
    x = random_points()
    graph = distances(x) < 0.7
    found = query(agents.make("prob_cover:delta=0.7"), view_of(planted, x, labeled=labeled, query_size=30))
    chosen = list(labeled)
    for image in found.tolist():
        counts = [0 if i in chosen else covered_images(graph, [*chosen, i]) for i in range(200)]
        assert counts[image] == max(counts)
        chosen.append(image)


def test_prob_cover_falls_back_to_chance_when_all_is_covered(planted, query):
    view = view_of(planted, random_points(), labeled=[0], query_size=5)
    found = [tuple(query(agents.make("prob_cover:delta=2.5"), view, seed)) for seed in range(20)]
    assert len(set(found)) == 20
    assert 0 not in np.concatenate(found)


def test_the_radius_is_the_largest_that_keeps_balls_pure():
    """Against the published search, on a fine grid; each point's cluster is that of k-means."""
    generator = stream()
    middles = torch.eye(6)[:3].repeat_interleave(40, 0)
    x = normalize(middles + 0.25 * torch.randn(120, 6, generator=generator), dim=1)
    own = torch.arange(3).repeat_interleave(40).numpy()  # what k-means finds, as asserted below
    far = distances(x)
    for purity in (0.9, 0.95, 1.0):
        found = prob_cover.pure_radius(x, 3, purity, stream())
        shares = [
            np.mean([(own[row < delta] == own[i]).all() for i, row in enumerate(far)])
            for delta in (found - 1e-4, found + 1e-4)
        ]
        assert shares[0] >= purity - 1e-9
        assert shares[1] < purity
    assert 0.3 < prob_cover.pure_radius(x, 3, 0.95, stream()) < 1.3


def test_one_cluster_has_no_foreign_points():
    assert prob_cover.pure_radius(random_points(30), 1, 0.95, stream()) == 2.0
    assert prob_cover.pure_radius(torch.ones(30, 4) / 2, 3, 0.95, stream()) == 2.0


def test_auto_covers_each_cluster_first(planted, query):
    middles = torch.eye(8)[:6].repeat_interleave(30, 0)
    x = normalize(middles + 0.1 * torch.randn(180, 8, generator=stream()), dim=1)
    view = view_of(planted, x, logits=torch.zeros(180, 6), labeled=[0, 30], query_size=4)
    assert sorted(query(agents.make("prob_cover"), view) // 30) == [2, 3, 4, 5]


def test_impossible_options_of_covers_are_refused(planted):
    for wrong in ("delta=0", "delta=-1", "delta=wide", "purity=0", "purity=1.5"):
        with pytest.raises(InvalidQuery, match=wrong.partition("=")[0]):
            agents.make(f"prob_cover:{wrong}")
    with pytest.raises(UnknownName, match="features"):
        agents.make("prob_cover:features=pixels")
    with pytest.raises(MissingHead, match="embedding"):
        agents.make("prob_cover").reset(planted(embedding=None))
