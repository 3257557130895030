"""A planted view: the agents' side of the environment without an environment."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alenv.errors import HiddenLabel, MissingHead


class FakeView:
    """Planted features, logits and predicted losses; hidden labels raise, and all reads are copies."""

    def __init__(
        self, features, logits, labels=None, labeled=(), candidates=None, query_size=5, predicted_loss=None
    ):
        self._features = torch.as_tensor(features, dtype=torch.float32)
        self._logits = torch.as_tensor(logits, dtype=torch.float32)
        self._labels = np.zeros(len(self._features), dtype=np.int64) if labels is None else labels
        self._predicted_loss = predicted_loss
        self.labeled = np.array(labeled, dtype=np.int64)
        self.unlabeled = np.setdiff1d(np.arange(len(self._features)), self.labeled)
        self.candidates = self.unlabeled if candidates is None else np.array(candidates, dtype=np.int64)
        for array in (self.labeled, self.unlabeled, self.candidates):
            array.flags.writeable = False
        self.query_size = query_size
        self.num_classes = self._logits.shape[1]
        self.cycle = 0
        self.asked: list[np.ndarray] = []

    def _read(self, values, indices):
        indices = np.arange(len(values)) if indices is None else np.asarray(indices)
        self.asked.append(indices)
        return values[torch.tensor(indices)]

    def features(self, indices=None):
        return self._read(self._features, indices)

    def logits(self, indices=None):
        return self._read(self._logits, indices)

    def probabilities(self, indices=None):
        return self.logits(indices).softmax(1)

    def predicted_loss(self, indices=None):
        if self._predicted_loss is None:
            raise MissingHead('make it with gym.make("ALFake-v0", joint="loss_prediction").')
        return self._read(self._predicted_loss, indices)

    def labels(self, indices=None):
        indices = self.labeled if indices is None else np.asarray(indices)
        if not np.isin(indices, self.labeled).all():
            raise HiddenLabel("a label was asked for that has not been bought")
        return torch.as_tensor(self._labels[indices])


def planted(n=200, classes=4, width=6, seed=0, **options):
    """A random view."""
    generator = torch.Generator().manual_seed(seed)
    options = {
        "features": torch.randn(n, width, generator=generator).relu(),
        "logits": 3 * torch.randn(n, classes, generator=generator),
        "predicted_loss": torch.randn(n, generator=generator),
        "labels": np.random.default_rng(seed).integers(classes, size=n),
        "labeled": range(0, 30, 3),
        **options,
    }
    return FakeView(**options)


def bound(view):
    """Something that agents take for an environment."""
    core = SimpleNamespace(view=view, key=0)
    core.unwrapped = core
    return core


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(name="planted")
def planted_fixture():
    return planted


@pytest.fixture(name="bound")
def bound_fixture():
    return bound


@pytest.fixture
def query():
    """Resets an agent on a view and returns its query."""

    def ask(agent, view, seed=0):
        agent.reset(bound(view), seed=seed)
        return agent.act(None)

    return ask
