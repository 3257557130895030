"""What the tests of agents share: the real view over planted outputs."""

from __future__ import annotations

import pytest
import torch

from alenv import testbed


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def planted():
    """Makes a random pool that offers everything; see ``alenv.testbed``."""
    return testbed.random_pool


@pytest.fixture
def query():
    """Resets an agent on a view and returns its query."""

    def ask(agent, view, seed=0):
        agent.reset(view, seed=seed)
        return agent.act(None)

    return ask
