"""ASAL: sizes, the way to uncertain codes, nearest images, and which images it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import agents
from agents.strategies import asal
from alenv import errors, progress, testbed
from alenv.runtime import Runtime

CPU = Runtime("cpu", "fp32", 1)
QUICK = "asal:width=0.03125:epochs=1:steps=2:latent=8"


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 12), (1, 28, 28), (3, 30, 31), (3, 64, 64)])
def test_images_of_any_size_are_made_and_judged(shape):
    maker, critic = asal.ImageGenerator(shape, 5, 0.05), asal.ImageCritic(shape[0], 0.05)
    made = maker(torch.zeros(2, 5))
    assert made.shape == (2, *shape)
    assert 0 < made.min() <= made.max() < 1
    assert critic(made).shape == (2,)


def test_codes_move_to_where_classes_are_undecided():
    """Of a linear classifier of two classes these are the codes on one line."""
    weight = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    codes = torch.randn(20, 2, generator=stream())
    moved = asal.most_uncertain(codes, lambda some: some @ weight.T, steps=300, lr=0.05, runtime=CPU)
    assert codes.sum(1).abs().max() > 1
    assert moved.sum(1).abs().max() < 0.01
    lost = asal.most_uncertain(codes, lambda some: some * torch.nan, steps=2, lr=0.05, runtime=CPU)
    assert torch.equal(lost, codes)


def test_the_nearest_distinct_images_by_hand():
    pool = torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0], [6.0, 6.0], [9.0, 9.0]])
    wanted = torch.tensor([[0.4, 0.0], [5.1, 5.1], [5.2, 5.2]])
    assert asal.nearest_distinct(wanted, pool, 2).tolist() == [2, 0]
    assert asal.nearest_distinct(wanted, pool, 4).tolist() == [2, 0, 1, 3]
    assert sorted(asal.nearest_distinct(wanted, pool, 5).tolist()) == [0, 1, 2, 3, 4]


def test_the_query_is_what_is_nearest_to_the_made_up_images(planted, query, monkeypatch):
    view = planted(query_size=10)
    targets = view.unlabeled[5:65:6]

    def copies(self, view, maker, count, generator):
        return view.images(targets) + 0.01

    monkeypatch.setattr(asal.Asal, "_made", copies)
    for space in ("pixels", "discriminator"):
        assert sorted(query(agents.make(f"{QUICK}:space={space}"), view)) == targets.tolist()


def test_the_generator_learns_the_pool():
    """Images of one grey level: made-up ones have it too."""
    random = np.random.default_rng(0)
    images = (180 + random.integers(0, 20, (200, 8, 8, 1))).astype(np.uint8)
    images[0, 0, 0], images[1, 0, 0] = 0, 255  # the whole range is possible
    view = testbed.planted(torch.zeros(200, 1), torch.zeros(200, 4), images=images)
    maker, critic = asal.train_generator(
        view, stream(), latent=8, width=0.1, epochs=60, batch_size=32, lr=2e-3
    )
    assert not maker.training
    assert not critic.training
    with torch.no_grad():
        made = maker(torch.randn(50, 8, generator=stream(1)))
    assert float((made - view.images().mean()).abs().mean()) < 0.5  # one unit is a quarter of the range


def test_it_is_trained_once_an_episode_and_not_without_labels(planted, query):
    agent, view = agents.make(QUICK), planted()
    with progress.recording() as training:
        first = query(agent, view)
    assert training.steps == 2  # 200 images by 128
    with progress.recording() as training:
        again = agent.act(None)
    assert training.steps == 0
    assert again.tolist() == first.tolist()
    with progress.recording() as training:
        query(agent, view)
    assert training.steps == 2
    with progress.recording() as training:
        query(agent, planted(labeled=()))
    assert training.steps == 0


def test_options():
    agent = agents.make("asal")
    assert (agent.epochs, agent.steps, agent.space, agent.pool) == (20, 100, "discriminator", "all")
    with pytest.raises(errors.UnknownName, match="pixels"):
        agents.make("asal:space=pixel")
    for option, wrong in (("epochs", 0), ("steps", 0), ("step_size", 0), ("latent", 0), ("batch_size", 1)):
        with pytest.raises(errors.InvalidQuery, match=rf"^{option}={wrong!r} was given; give .*\.$"):
            agents.make("asal", **{option: wrong})
