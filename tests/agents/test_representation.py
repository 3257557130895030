"""Points of unit length, and heads recovered from what they give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents import representation


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dead", [0, 3])
def test_the_head_is_recovered_from_what_it_gives(dead):
    weight, bias = torch.randn(5, 12, generator=stream()), torch.randn(5, generator=stream(1))
    features = torch.randn(9000, 12, generator=stream(2)).relu()  # more than are in float64 at once
    features[:, :dead] = 0
    logits = features @ weight.T + bias
    logits[7] = torch.nan
    found = representation.fitted_head(features, logits)
    torch.testing.assert_close(found.weight[:, dead:], weight[:, dead:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.bias, bias, atol=1e-4, rtol=1e-4)
    assert found.weight[:, :dead].abs().max() < 1e-4 if dead else True
    torch.testing.assert_close(found(features[:5]), logits[:5], atol=1e-3, rtol=1e-4)


def test_a_head_of_a_diverged_classifier_gives_zeros():
    found = representation.fitted_head(torch.full((20, 3), torch.nan), torch.full((20, 2), torch.nan))
    assert found(torch.ones(4, 3)).tolist() == [[0.0, 0.0]] * 4


def test_points_have_unit_length_and_are_finite(planted):
    features = torch.randn(200, 6, generator=stream())
    features[3], features[5, 2], features[8, 1], features[9] = 0.0, torch.nan, -torch.inf, 3e38
    view = planted(features=features)
    found = representation.points(view, np.arange(10), "classifier")
    norms = torch.linalg.vector_norm(found, dim=1)
    assert norms[[3, 5, 8]].tolist() == [0.0] * 3
    torch.testing.assert_close(norms[[0, 1, 2, 4, 6, 7]], torch.ones(6))
    assert found.isfinite().all()
    np.testing.assert_allclose(
        representation.points(view, np.arange(10), "embedding"), view.embedding(np.arange(10)), atol=1e-6
    )
