"""TA-VAAL: where the ranks go, and which images it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import agents
from agents.adversarial import VaalAutoencoder, VaalDiscriminator
from agents.strategies.ta_vaal import RankedTraining
from alenv import errors, fitting, progress, testbed
from alenv.runtime import Runtime

CPU = Runtime("cpu", "fp32", 1)
QUICK = "ta_vaal:width=0.03125:epochs=1"


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_loss_by_hand():
    """The decoder is given sigmoid(r) behind the code, the discriminator r itself behind the mean."""
    coder = fitting.build(lambda: VaalAutoencoder((1, 8, 8), 4, 0.02, 5), stream(), CPU)
    discriminator = fitting.build(lambda: VaalDiscriminator(5), stream(1), CPU)
    pictures, ranks = torch.randn(20, 1, 8, 8, generator=stream(2)), torch.randn(20, generator=stream(4))
    training = RankedTraining(
        ranks,
        coder,
        discriminator,
        pictures=lambda rows: pictures[rows],
        generator=stream(3),
        runtime=CPU,
        beta=0.5,
        adversary=0.25,
        kl="mean",
        lr=5e-4,
    )
    expected, noise = 0.0, stream(3)
    for rows in (torch.arange(7), torch.arange(7, 12)):
        hidden = coder.encoder(pictures[rows])
        mean, log_variance = coder.mean(hidden), coder.log_variance(hidden)
        drawn = torch.distributions.Normal(mean, log_variance.exp().sqrt())
        code = mean + drawn.scale * torch.randn(mean.shape, generator=noise)
        restored = coder.decoder(coder.expand(torch.column_stack([code, ranks[rows].sigmoid()])))
        judged = discriminator(torch.column_stack([mean, ranks[rows]])).sigmoid()
        expected += ((restored - pictures[rows]) ** 2).mean()
        expected += (
            0.5 * torch.distributions.kl_divergence(drawn, torch.distributions.Normal(0.0, 1.0)).mean()
        )
        expected += 0.25 * F.binary_cross_entropy(judged, torch.ones(len(rows)))
    pair = torch.arange(7), torch.arange(7, 12)
    torch.testing.assert_close(training.loss(pair, fitting.Moment(0, 0.0)), expected)
    before = discriminator.layers[0].weight.detach().clone()
    training.after_step()  # a step of the discriminator for each of the autoencoder
    assert not torch.equal(before, discriminator.layers[0].weight)


def test_equal_images_are_told_apart_by_their_ranks(query):
    """All images are noise; the labeled ones have a low predicted loss, and so has half of the others."""
    images = np.random.default_rng(0).integers(0, 256, (160, 8, 8, 1), dtype=np.uint8)
    ranks = torch.where(torch.arange(160) % 2 == 1, 3.0, -3.0)
    view = testbed.planted(
        torch.zeros(160, 1),
        torch.zeros(160, 4),
        images=images,
        labeled=range(0, 80, 2),
        query_size=40,
        scores={"predicted_loss": ranks},
    )
    picks = query(agents.make("ta_vaal:width=0.03125:epochs=10:batch_size=16"), view)
    assert (picks % 2).mean() > 0.95  # by chance two thirds


def test_it_trains_as_often_as_told_and_not_without_labels(planted, query):
    with progress.recording() as training:
        query(agents.make("ta_vaal:width=0.02:epochs=3:batch_size=64"), planted())
    assert training.steps == 3 * 200 // 64  # an iteration is one step of each network
    with progress.recording() as training:
        query(agents.make(QUICK), planted(labeled=()))
    assert training.steps == 0


def test_options():
    agent = agents.make("ta_vaal")
    assert (agent.epochs, agent.latent, agent.pool) == (10, 32, "candidates")
    for option, wrong in (("epochs", 0), ("width", 0), ("latent", 1.5), ("lr", 0), ("batch_size", 1)):
        with pytest.raises(errors.InvalidQuery, match=rf"^{option}={wrong!r} was given; give .*\.$"):
            agents.make("ta_vaal", **{option: wrong})
