"""GLISTER against explicit gradients, FASS against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize, one_hot

import agents
from agents.representation import Head
from agents.strategies import glister
from agents.strategies.badge import gradient_factors
from agents.strategies.uncertainty import entropy
from alenv.errors import InvalidQuery


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def gradient(weight, bias, h, label):
    """Of the cross-entropy of one image by all parameters of the last layer, from autograd, (C (D + 1),)."""
    parts = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
    cross_entropy((parts[0] @ h + parts[1])[None], torch.as_tensor([label])).backward()
    return torch.cat([part.grad.flatten() for part in parts])


def slow(weight, bias, h, of_labeled, validation, rate, count):
    """Steps of a real last layer; the images' own gradients stay those of the start."""
    classes, size = weight.shape
    own = torch.stack([gradient(weight, bias, x, int((weight @ x + bias).argmax())) for x in h])
    w, b = weight.clone(), bias.clone()

    def moved(step):
        return w - rate * step[: classes * size].view(classes, size), b - rate * step[classes * size :]

    for x, label in of_labeled:
        known = gradient(weight, bias, x, label)
        w, b = moved(known)
    chosen = []
    for _ in range(count):
        aim = torch.stack([gradient(w, b, x, label) for x, label in validation]).mean(0)
        gains = own @ aim
        gains[chosen] = -torch.inf
        chosen.append(int(gains.argmax()))
        w, b = moved(own[chosen[-1]])
    return chosen


def test_choices_equal_steps_of_a_real_last_layer(planted, query):
    weight = torch.randn(3, 4, generator=stream(), dtype=torch.float64)
    bias = torch.randn(3, generator=stream(1), dtype=torch.float64)
    h = torch.randn(50, 4, generator=stream(2), dtype=torch.float64)
    labels = np.random.default_rng(0).integers(3, size=50)
    labeled = [1, 4, 9]
    view = planted(
        n=40, features=h[:40].float(), logits=(h[:40] @ weight.T + bias).float(), labels=labels,
        labeled=labeled, query_size=6, validation=0,
    )  # fmt: skip
    free = view.unlabeled.copy()
    guessed = [(h[i], int((weight @ h[i] + bias).argmax())) for i in free]
    known = [(h[i], int(labels[i])) for i in labeled]
    for rate in (0.01, 0.3):
        expected = slow(weight, bias, h[free], known, guessed, rate, 6)
        assert query(agents.make("glister", rate=rate), view).tolist() == free[expected].tolist()


def test_gains_are_what_a_small_step_takes_off_the_loss():
    head = Head(torch.randn(3, 4, generator=stream()), torch.randn(3, generator=stream(1)))
    h, v = torch.randn(20, 4, generator=stream(2)), torch.randn(30, 4, generator=stream(3))
    labels = torch.randint(3, (30,), generator=stream(4))
    factors = gradient_factors(head(h))
    gains = glister.Validated(v, head(v), labels, 1.0).gains(factors, h)
    before = cross_entropy(head(v).double(), labels)
    for i in range(20):
        stepped = glister.Validated(v, head(v), labels, 1e-3)
        stepped.step(factors[i : i + 1], h[i : i + 1])
        after = cross_entropy(stepped._logits.double(), labels)
        assert float(before - after) / 1e-3 == pytest.approx(float(gains[i]), abs=2e-2)


def test_known_factors():
    logits, labels = torch.randn(6, 4, generator=stream()), torch.tensor([0, 1, 2, 3, 3, 0])
    torch.testing.assert_close(glister.known_factors(logits, labels), logits.softmax(1) - one_hot(labels, 4))


def test_the_validation_split_decides_where_there_is_one(planted, query):
    """Two kinds of images with features of their own; the split holds only the second, and gets it wrong."""
    h = torch.zeros(120, 4)
    h[:50, 0], h[50:100, 1], h[100:, 1] = 1.0, 1.0, 1.0
    h = h + 0.01 * torch.randn(120, 4, generator=stream())
    logits = torch.zeros(120, 2)
    logits[:, 0] = 1.0
    labels = np.zeros(120, dtype=np.int64)
    view = planted(n=100, features=h, logits=logits, labels=labels, labeled=(), query_size=8, validation=20)
    assert (query(agents.make("glister"), view) >= 50).all()


@pytest.mark.parametrize("features", ["classifier", "embedding"])
def test_fass_is_facility_location_of_the_most_uncertain(planted, query, features):
    view = planted(query_size=8, validation=0)
    free = view.unlabeled.copy()
    kept = free[np.argsort(-entropy(view.logits(free)).numpy())[:40]]
    x = view.features(kept) if features == "classifier" else view.embedding(kept)
    x = normalize(x.double(), dim=1)
    like = ((1 + x @ x.T) / 2).numpy()
    covered, chosen = np.zeros(40), []
    for _ in range(8):
        gains = np.maximum(like - covered[:, None], 0).sum(0)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        covered = np.maximum(covered, like[:, chosen[-1]])
    assert query(agents.make("fass", factor=5, features=features), view).tolist() == kept[chosen].tolist()


def test_impossible_options_are_refused():
    for wrong in ("glister:rate=-1", "glister:sample=0", "fass:factor=0"):
        with pytest.raises(InvalidQuery, match=wrong.partition(":")[2].partition("=")[0]):
            agents.make(wrong)
