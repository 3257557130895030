"""DCoM against slow loops over all distances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import agents
from agents.strategies import dcom
from agents.strategies.uncertainty import margin
from alenv.errors import InvalidQuery
from scenarios.bench.explicit.covers import dcom_radius


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def distances(a, b):
    return np.linalg.norm(a.double().numpy()[:, None] - b.double().numpy()[None], axis=2)


def random_points(n=200, size=4, seed=0):
    return normalize(torch.randn(n, size, generator=stream(seed)), dim=1)


def test_competence_goes_from_0_to_1():
    assert dcom.competence(1.0) == pytest.approx(1.0)
    assert dcom.competence(0.0) < 1e-15
    assert dcom.competence(0.8) == pytest.approx(0.5, abs=1e-4)
    assert dcom.competence(0.6, slope=2.0, middle=0.5) == pytest.approx((1 + np.exp(-1)) / (1 + np.exp(-0.2)))


def test_radii_are_the_largest_of_mostly_one_class():
    x, centers = random_points(), random_points(12, seed=1)
    predicted = (x[:, 0] > 0).long()
    labels = (centers[:, 0] > 0).long()
    labels[3] = -1  # of no class
    far = distances(centers, x)
    for share in (0.5, 0.9):
        expected = [
            dcom_radius(row, int(label), predicted.numpy(), share)
            for row, label in zip(far, labels, strict=True)
        ]
        found = dcom.largest_pure_radii(centers, labels, x, predicted, share)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.min() < 0.5 < found.max()


def view_of(planted, x, **given):
    n = len(x)
    return planted(n=n, features=torch.zeros(n, 2), validation=0, embedding=x, **given)


@pytest.mark.parametrize("middle", [0.2, 0.5, 0.8])
def test_choices_equal_a_slow_loop(planted, query, middle):
    x = random_points()
    logits = torch.randn(200, 2, generator=stream(4)) + 6 * torch.stack([x[:, 0], -x[:, 0]], 1)
    labels = (x[:, 0] < 0).long().numpy()
    labeled = list(range(0, 36, 3))  # 6 at first, then 6 more
    view = view_of(planted, x, logits=logits, labels=labels, labeled=labeled, query_size=6, cycle=1)
    free = view.unlabeled.copy()
    predicted, far = logits.argmax(1).numpy()[free], distances(x, x)
    covered, radii = np.zeros(len(free), dtype=bool), []
    for bought in (labeled[:6], labeled[6:]):
        share = 0.4 + 0.2 * covered.mean()
        new = [dcom_radius(far[i, free], labels[i], predicted, share) for i in bought]
        for i, radius in zip(bought, new, strict=True):
            covered |= far[i, free] < radius
        radii += new
    radius = np.mean(radii)
    c = dcom.competence(covered.mean(), 10.0, middle)
    doubts = margin(logits[free]).numpy()
    doubts = (doubts - doubts.min()) / (doubts.max() - doubts.min())
    chosen = []
    for _ in range(6):
        degrees = ((far[np.ix_(free, free)] < radius) & ~covered[None]).sum(1).astype(float)
        degrees[chosen] = 0
        span = degrees.max() - degrees.min()
        density = (degrees - degrees.min()) / span if span else 0 * degrees
        scores = c * doubts + (1 - c) * density
        scores[chosen] = -1
        chosen.append(int(scores.argmax()))
        covered |= far[free[chosen[-1]], free] < radius
    found = query(agents.make("dcom", slope=10.0, middle=middle), view)
    assert found.tolist() == free[chosen].tolist()


def test_without_labels_it_covers(planted, query):
    middles = torch.eye(8)[:5].repeat_interleave(40, 0)
    x = normalize(middles + 0.1 * torch.randn(200, 8, generator=stream()), dim=1)
    view = view_of(planted, x, logits=torch.zeros(200, 5), labeled=(), query_size=5)
    assert sorted(query(agents.make("dcom"), view) // 40) == [0, 1, 2, 3, 4]


def test_a_pool_that_is_covered_is_asked_for_uncertain_images(planted, query):
    """All images lie within 0.3 of the labeled ones and are predicted as these."""
    x = normalize(torch.eye(4)[:1] + 0.05 * torch.randn(200, 4, generator=stream()), dim=1)
    logits = torch.rand(200, 2, generator=stream(1)) + torch.tensor([0.0, 2.0])
    view = view_of(planted, x, logits=logits, labels=np.ones(200), labeled=[0, 1], query_size=20)
    expected = view.unlabeled[np.argsort(-margin(logits[2:]).numpy())[:20]]
    assert sorted(query(agents.make("dcom"), view)) == sorted(expected)


def test_impossible_options_are_refused():
    for wrong in ("delta=0", "purity=2", "slope=-1", "middle=1.5", "sample=0"):
        with pytest.raises(InvalidQuery, match=wrong.partition("=")[0]):
            agents.make(f"dcom:{wrong}")
