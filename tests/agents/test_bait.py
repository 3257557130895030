"""BAIT against explicit Fisher matrices and their inverses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import agents
from agents.strategies import bait
from alenv.errors import InvalidQuery
from scenarios.bench.explicit.gradients import fisher, forward_backward


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(n, classes, size, seed=0):
    p = (2 * torch.randn(n, classes, generator=stream(seed), dtype=torch.float64)).softmax(1)
    return p, torch.randn(n, size, generator=stream(seed + 1), dtype=torch.float64)


def test_factors_and_sums_equal_the_explicit_matrices():
    p, h = drawn(1500, 3, 2)
    single = [fisher(*each) for each in zip(p.numpy(), h.numpy(), strict=True)]
    np.testing.assert_allclose(bait.summed_fisher(p, h), sum(single), rtol=1e-9, atol=1e-9)
    a = bait.factors(p, 3)
    for i in (0, 7):
        v = (a[i, :, :, None] * h[i]).flatten(1)
        np.testing.assert_allclose(v.T @ v, single[i], atol=1e-12)
    likeliest = bait.factors(p, 1)[0, 0]
    top = int(p[0].argmax())
    torch.testing.assert_close(likeliest, p[0, top].sqrt() * (torch.eye(3, dtype=torch.float64)[top] - p[0]))


def test_changes_equal_those_of_the_inverted_matrix_while_images_come_and_go():
    p, h = drawn(12, 3, 2)
    single = np.array([fisher(*each) for each in zip(p.numpy(), h.numpy(), strict=True)])
    target, matrix = single.mean(0), 0.5 * np.eye(6)
    kept = bait.Fisher(torch.tensor(matrix), torch.tensor(target), bait.factors(p, 3), h)
    inside = np.zeros(12, dtype=bool)

    def trace(of):
        return np.trace(np.linalg.inv(of) @ target)

    for image, sign in ((3, 1.0), (7, 1.0), (0, 1.0), (7, -1.0), (5, 1.0)):
        added, removed = kept.change(1.0), kept.change(-1.0)
        for other in range(12):
            assert float(added[other]) == pytest.approx(
                trace(matrix) - trace(matrix + single[other]), rel=1e-6
            )
            if inside[other]:
                raised = trace(matrix - single[other]) - trace(matrix)
                assert float(removed[other]) == pytest.approx(raised, rel=1e-6)
        kept.update(image, sign)
        matrix = matrix + sign * single[image]
        inside[image] = sign > 0
        np.testing.assert_allclose(kept.inverse, np.linalg.inv(matrix), atol=1e-9)


def slow(p, h, labeled, count, penalty):
    """Forward and backward by inverting the matrix for every candidate."""
    single = np.array([fisher(*each) for each in zip(p, h, strict=True)])
    free, size = [i for i in range(len(p)) if i not in labeled], len(labeled) + count
    matrix = penalty * np.eye(single.shape[1]) + single[labeled].sum(0) / size
    scaled = single[free] * count / size
    return [free[row] for row in forward_backward(scaled, single.mean(0), matrix, count, 2 * count)]


@pytest.mark.parametrize(
    ("classes", "labeled", "penalty"), [(3, [0, 5, 9], 1.0), (2, [], 0.01), (4, [1], 0.01)]
)
def test_choices_equal_those_with_explicit_matrices(planted, query, classes, labeled, penalty):
    p, h = drawn(40, classes, 3)
    view = planted(
        n=40, features=h.float(), logits=p.log().float(), labeled=labeled, query_size=5, validation=0,
        scores={}, members=None, embedding=None, feature_maps=(),
    )  # fmt: skip
    exact = view.logits().double().softmax(1).numpy(), view.features().double().numpy()
    found = query(agents.make("bait", penalty=penalty, factor=10), view).tolist()
    assert found == slow(*exact, labeled, 5, penalty)


def test_principal_components_keep_what_varies():
    low = torch.randn(300, 3, generator=stream()) @ torch.randn(3, 20, generator=stream(1))
    found = bait.compressed(low, 3)
    np.testing.assert_allclose(found @ found.T, low.double() @ low.double().T, atol=1e-3)
    assert torch.equal(bait.compressed(low, 20), low.double())


def test_many_classes_and_wide_features_stay_small(planted, query):
    view = planted(n=150, classes=200, width=64, query_size=10)
    assert len(set(query(agents.make("bait:dimensions=400:classes=3"), view).tolist())) == 10


def test_impossible_options_are_refused():
    for wrong in ("penalty=0", "dimensions=0", "classes=0", "factor=0"):
        with pytest.raises(InvalidQuery, match=wrong.partition("=")[0]):
            agents.make(f"bait:{wrong}")
