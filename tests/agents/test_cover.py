"""Greedy covers against brute force: ProbCover, MaxHerding, Uncertainty Herding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import agents
from agents import cover
from agents.strategies import herding, prob_cover, uncertainty
from alenv.errors import InvalidQuery, MissingHead, UnknownName
from scenarios.bench.explicit.covers import herding_gains
from scenarios.bench.explicit.steps import greedy


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def distances(x):
    x = x.double().numpy()
    return np.linalg.norm(x[:, None] - x[None], axis=2)


def slow_greedy(kernel, weights, labeled, count):
    """Chooses by the full matrix, in which labeled images cover already."""
    covered = kernel[:, labeled].max(1) if len(labeled) else np.zeros(len(kernel))
    return greedy(herding_gains(kernel, weights, covered), count)


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
        state.gains(),
        herding_gains(kernel, weights.double().numpy(), kernel[:, :10].max(1))([]),
        rtol=1e-4,
        atol=1e-5,
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
    x = normalize(middles + 0.12 * torch.randn(120, 6, generator=generator), dim=1)
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


# ---- MaxHerding and Uncertainty Herding --------------------------------------------------------------------


@pytest.mark.parametrize("labeled", [[], [3, 50, 120]])
def test_max_herding_is_the_plain_greedy_rule(planted, query, labeled):
    x = random_points()
    kernel = np.exp(-np.square(distances(x) / 0.8))
    view = view_of(planted, x, labeled=labeled, query_size=40)
    expected = slow_greedy(_unlabeled(kernel, labeled), np.ones(200), labeled, 40)
    assert query(agents.make("max_herding:radius=0.8"), view).tolist() == expected


def _unlabeled(kernel, labeled):
    """The kernel in which labeled images are no targets: they are covered, and add to no gain."""
    kernel = kernel.copy()
    kernel[labeled] = 0
    return kernel


def test_max_herding_measures_on_a_sample(planted, query):
    """Nine tenths of the images lie in one place; a sample of 50 of 200 sees that."""
    x = random_points()
    x[20:] = normalize(x[:1] + 0.01 * x[20:], dim=1)
    view = view_of(planted, x, labeled=(), query_size=1)
    found = [query(agents.make("max_herding:sample=50:radius=0.3"), view, seed)[0] for seed in range(10)]
    assert all(image >= 20 or image == 0 for image in found)


def test_uherding_is_the_plain_greedy_rule_with_its_weights_radius_and_temperature(planted, query):
    x, labeled = random_points(), [3, 50, 120, 7, 60]
    logits = 4 * torch.randn(200, 3, generator=stream(9))
    view = view_of(planted, x, logits=logits, labeled=labeled, query_size=30)
    among = distances(x)[np.ix_(labeled, labeled)]
    radius = among[among > 1e-6].min()
    p = np.sort(torch.softmax(logits.double() / 2.5, 1).numpy(), axis=1)
    kernel = _unlabeled(np.exp(-np.square(distances(x) / radius)), labeled)
    expected = slow_greedy(kernel, 1 - (p[:, -1] - p[:, -2]), labeled, 30)
    assert query(agents.make("uherding:temperature=2.5"), view).tolist() == expected


def test_uherding_without_labels_is_max_herding(planted, query):
    view = view_of(planted, random_points(), logits=torch.randn(200, 3), labeled=(), query_size=20)
    for seed in range(3):
        covered = query(agents.make("max_herding"), view, seed)
        assert np.array_equal(query(agents.make("uherding"), view, seed), covered)


def test_one_labeled_image_has_no_pair(planted):
    assert herding.closest_pair(torch.ones(3, 2)) == np.inf
    assert herding.closest_pair(torch.zeros(0, 2)) == np.inf
    assert herding.closest_pair(torch.tensor([[0.0], [0.0], [3.0], [5.0]])) == pytest.approx(2.0)
    agent = agents.make("uherding:radius=0.7")
    assert agent.radius_for(torch.ones(2, 4)) == 0.7


@pytest.mark.parametrize("true", [0.5, 1.0, 4.0])
def test_the_temperature_is_the_one_that_labels_were_drawn_at(true):
    logits = 3 * torch.randn(20_000, 5, generator=stream())
    labels = torch.multinomial((logits / true).softmax(1), 1, generator=stream(1)).squeeze(1)
    assert herding.calibrated_temperature(logits, labels) == pytest.approx(true, rel=0.05)
    logits[:100] = torch.nan
    assert herding.calibrated_temperature(logits, labels) == pytest.approx(true, rel=0.05)
    assert herding.calibrated_temperature(logits[:100], labels[:100]) == 1.0


def test_uherding_reads_the_validation_split_where_there_is_one(planted):
    view = planted(validation=50)
    split = view.validation
    fitted = herding.calibrated_temperature(split.logits(), split.labels())
    assert abs(fitted - 1) > 0.1
    expected = uncertainty.margin(view.logits() / fitted)
    torch.testing.assert_close(agents.make("uherding").weights(view, np.arange(200)), expected)
    fixed = agents.make("uherding:temperature=1").weights(planted(validation=0), np.arange(200))
    torch.testing.assert_close(agents.make("uherding").weights(planted(validation=0), np.arange(200)), fixed)


def test_impossible_options_of_herding_are_refused():
    for wrong in ("radius=0", "sample=0", "temperature=0", "temperature=warm"):
        with pytest.raises(InvalidQuery, match=wrong.partition("=")[0]):
            agents.make(f"uherding:{wrong}")
    with pytest.raises(UnknownName, match="uncertainty"):
        agents.make("uherding:uncertainty=doubt")


@pytest.mark.parametrize("kept", [1, 50 * 300])
def test_how_many_kernel_values_are_kept_changes_no_choice(kept, monkeypatch):
    x = random_points(300)

    def chosen():
        return cover.greedy(cover.Cover(x, x, cover.gaussian(0.7)), 100, stream()).tolist()

    everything = chosen()
    assert everything[:40] == slow_greedy(np.exp(-((distances(x) / 0.7) ** 2)), np.ones(300), [], 40)
    monkeypatch.setattr(cover, "KEPT", kept)
    assert chosen() == everything
