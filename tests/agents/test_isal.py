"""ISAL against the explicit Hessian and per-sample gradients of a small last layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import agents
from agents.strategies import isal
from alenv import errors, testbed

CLASSES, WIDTH = 3, 4


def pool(validation=0):
    """A view of a pool whose logits are a linear layer's, the layer, features and labels."""
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(CLASSES, WIDTH, generator=random)
    features = torch.randn(80, WIDTH, generator=random)
    labels = torch.randint(CLASSES, (80,), generator=random)
    view = testbed.planted(
        features,
        features @ weight.T,
        labels=labels.numpy(),
        labeled=range(0, 60, 4),
        query_size=10,
        validation=validation,
    )
    return view, weight.double(), features.double(), labels


def loss(weight, features, labels):
    return F.cross_entropy(features @ weight.view(CLASSES, WIDTH).T, labels, reduction="sum")


def explicit_scores(view, weight, features, labels, reference, damping=0.01):
    """I(u) for all images, by the Hessian as a matrix and one gradient per image, float64."""
    flat, labeled = weight.flatten(), view.labeled.tolist()

    def mean(w):
        return loss(w, features[labeled], labels[labeled]) / len(labeled)

    hessian = torch.autograd.functional.hessian(mean, flat) + damping * torch.eye(len(flat))
    target = torch.func.grad(loss)(flat, features[reference], labels[reference])
    s = torch.linalg.solve(hessian, target)
    guesses = (features @ weight.T).argmax(1)
    return torch.stack(
        [-s @ torch.func.grad(loss)(flat, h[None], y[None]) for h, y in zip(features, guesses, strict=True)]
    )


@pytest.mark.parametrize("reference", ["labeled", "validation"])
@pytest.mark.parametrize("damping", [0.01, 1.0])
def test_the_query_is_that_of_the_explicit_influences(query, reference, damping):
    view, *given = pool(validation=20)
    rows = view.labeled.tolist() if reference == "labeled" else list(range(60, 80))
    expected = explicit_scores(view, *given, rows, damping)[:60]
    agent = agents.make(f"isal:reference={reference}", damping=damping)
    unlabeled = view.unlabeled.copy()  # torch warns of arrays that cannot be written to
    lowest = unlabeled[expected[unlabeled].argsort()[:10].numpy()]
    assert query(agent, view).tolist() == lowest.tolist()


def test_the_solution_is_that_of_the_matrix():
    _, weight, features, labels = pool()
    flat = weight.flatten()
    hessian = torch.autograd.functional.hessian(lambda w: loss(w, features, labels) / 80, flat)
    target = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(1))
    p = (features @ weight.T).softmax(1).float()
    product = isal.hessian_product(p, features.float(), 0.5, target)
    expected = hessian @ target.double().flatten() + 0.5 * target.double().flatten()
    torch.testing.assert_close(product.double().flatten(), expected, rtol=1e-4, atol=1e-5)
    solved = isal.solve(p, features.float(), 0.01, target)
    exact = torch.linalg.solve(hessian + 0.01 * torch.eye(12), target.double().flatten())
    torch.testing.assert_close(solved.double().flatten(), exact, rtol=1e-3, atol=1e-3)


def test_factors_of_confident_images_do_not_round_to_nothing():
    logits, labels = torch.tensor([[30.0, 0.0, 1.0], [0.0, 2.0, 0.0]]), torch.tensor([0, 1])
    expected = logits.double().softmax(1) - torch.eye(3)[labels]
    torch.testing.assert_close(isal.label_factors(logits, labels).double(), expected, rtol=1e-5, atol=1e-16)


def test_outliers_and_a_diverged_classifier_change_nothing(query):
    view, weight, features, labels = pool()
    changed = labels.clone()
    changed[view.labeled[-3:].tolist()] = -1
    rows = view.labeled[:-3].tolist()
    scores = explicit_scores(view, weight, features, labels, rows)
    view = testbed.planted(
        features, features @ weight.T, labels=changed.numpy(), labeled=view.labeled, query_size=10
    )
    unlabeled = view.unlabeled.copy()
    lowest = unlabeled[scores[unlabeled].argsort()[:10].numpy()]
    assert query(agents.make("isal"), view).tolist() == lowest.tolist()
    broken = torch.full((80, 3), torch.nan)
    view = testbed.planted(features, broken, labels=labels.numpy(), labeled=range(5), query_size=10)
    assert len(np.unique(query(agents.make("isal"), view))) == 10


def test_what_it_needs(planted):
    assert agents.make("isal").needs == ()
    with pytest.raises(errors.MissingHead, match="no validation split"):
        agents.make("isal:reference=validation").reset(planted(validation=0), seed=0)
    with pytest.raises(errors.UnknownName, match="validation"):
        agents.make("isal:reference=test")
    with pytest.raises(errors.InvalidQuery, match="damping=0 was given"):
        agents.make("isal:damping=0")
