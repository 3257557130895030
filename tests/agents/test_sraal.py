"""SRAAL: the uncertainty indicator and the losses by hand, and which images it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import agents
from agents.adversarial import VaalDiscriminator
from agents.strategies import sraal
from agents.strategies.sraal import RelabelingTraining, SraalAutoencoder
from alenv import errors, fitting, progress, testbed
from alenv.runtime import Runtime

CPU = Runtime("cpu", "fp32", 1)
QUICK = "sraal:width=0.03125:latent=8:epochs=1"


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_uncertainty_by_hand():
    certain, uniform = torch.tensor([[900.0, 0.0, 0.0]]), torch.zeros(1, 3)
    assert sraal.online_uncertainty(certain).tolist() == [0.0]
    assert sraal.online_uncertainty(uniform).tolist() == [1.0]
    assert sraal.online_uncertainty(torch.full((2, 3), torch.nan)).tolist() == [1.0, 1.0]
    assert sraal.online_uncertainty(torch.zeros(2, 1)).tolist() == [0.0, 0.0]
    p = np.array([0.6, 0.3, 0.1])
    least = np.var([0.6, 0.2, 0.2])  # no probabilities with this maximum vary less
    found = sraal.online_uncertainty(torch.from_numpy(np.log(p))[None])
    assert float(found) == pytest.approx(1 - least / np.var(p) * 0.6)


def test_flat_probabilities_are_more_uncertain_than_peaked_ones():
    logits = torch.tensor([0.01, 0.5, 1.0, 2.0, 4.0, 8.0])[:, None] * torch.eye(10)[0]
    scores = sraal.online_uncertainty(logits)
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)


def adversaries():
    coder = fitting.build(lambda: SraalAutoencoder((1, 8, 8), 7, 0.02, 3), stream(), CPU)
    discriminator = fitting.build(lambda: VaalDiscriminator(7, 4), stream(1), CPU)
    pictures = torch.randn(20, 1, 8, 8, generator=stream(2))
    labels, certainties = torch.arange(20) % 4 - 1, torch.rand(20, generator=stream(5))
    training = RelabelingTraining(
        labels,
        certainties,
        coder,
        discriminator,
        pictures=lambda rows: pictures[rows],
        generator=stream(3),
        runtime=CPU,
        beta=0.5,
        adversary=0.25,
        kl="sample",
        reconstruction=5.0,
        lr=5e-4,
        target_weight=2.0,
    )
    return training, pictures, labels, certainties


def test_the_loss_of_the_autoencoder_by_hand():
    training, pictures, labels, _ = adversaries()
    coder, discriminator, noise = training.coder, training.discriminator, stream(3)
    expected = 0.0
    for rows in (torch.arange(7), torch.arange(7, 12)):
        hidden = coder.encoder(pictures[rows])
        mean, log_variance = coder.mean(hidden), coder.log_variance(hidden)
        drawn = torch.distributions.Normal(mean, log_variance.exp().sqrt())
        code = mean + drawn.scale * torch.randn(mean.shape, generator=noise)
        divergence = torch.distributions.kl_divergence(drawn, torch.distributions.Normal(0.0, 1.0))
        expected += 5 * ((coder.decoder(coder.expand(code[:, :3])) - pictures[rows]) ** 2).mean()
        expected += 0.5 * divergence.sum(1).mean()
        expected += 0.25 * F.binary_cross_entropy(discriminator(mean).sigmoid(), torch.ones(len(rows)))
        if rows[0] == 0:
            known = labels[rows] >= 0  # an outlier has no class
            expected += 2 * F.cross_entropy(coder.target(code[:, 3:])[known], labels[rows][known])
    pair = torch.arange(7), torch.arange(7, 12)
    torch.testing.assert_close(training.loss(pair, fitting.Moment(0, 0.0)), expected)


def test_a_batch_of_outliers_teaches_no_class():
    training, _, _, _ = adversaries()
    assert float(training.supervised(torch.randn(2, 7), torch.tensor([0, 4])).detach()) == 0.0


def test_the_discriminator_learns_how_certain_the_classifier_is():
    training, _, _, certainties = adversaries()
    rows = torch.arange(10), torch.arange(10, 20)
    for _ in range(400):
        training.loss(rows, fitting.Moment(0, 0.0))
        training.after_step()
    with torch.no_grad():
        labeled, unlabeled = (
            training.discriminator(training.code(training._pictures(part))[0]).sigmoid() for part in rows
        )
    assert labeled.min() > 0.9
    torch.testing.assert_close(unlabeled, certainties[10:], atol=0.1, rtol=0.0)


def test_learning_rates_shrink():
    training, _, _, _ = adversaries()
    rates = [training.rate(fitting.Moment(0, share)) for share in (0.0, 0.03, 0.04, 0.99)]
    assert rates == pytest.approx([5e-4, 5e-4, 5e-4 * 0.85, 5e-4 * 0.85**29])
    training.loss((torch.arange(3), torch.arange(3, 6)), fitting.Moment(0, 0.99))
    assert training._optimizer.param_groups[0]["lr"] == pytest.approx(rates[-1])


def test_it_takes_what_the_classifier_is_uncertain_of(query):
    """Two patterns, labeled images of both; the classifier is uncertain of the one."""
    shares = []
    for uncertain in (0, 1):
        random = np.random.default_rng(0)
        patterns = random.integers(0, 256, (2, 8, 8, 1))
        kinds = np.arange(160) % 2
        images = (0.7 * patterns[kinds] + random.integers(0, 77, (160, 8, 8, 1))).astype(np.uint8)
        logits = torch.zeros(160, 4)
        logits[kinds != uncertain, 0] = 20.0
        view = testbed.planted(torch.zeros(160, 1), logits, images=images, labeled=range(40), query_size=30)
        agent = "sraal:width=0.03125:latent=8:epochs=40:batch_size=32"
        shares.append((kinds[query(agents.make(agent), view)] == uncertain).mean())
    assert np.mean(shares) > 0.85


def test_without_labels_nothing_is_trained(planted, query):
    with progress.recording() as training:
        query(agents.make(QUICK), planted(labeled=()))
    assert training.steps == 0


def test_options():
    agent = agents.make("sraal")
    assert (agent.epochs, agent.latent, agent.batch_size, agent.pool) == (10, 200, 250, "all")
    for option, wrong in (
        ("epochs", 0),
        ("width", 0),
        ("latent", 1),
        ("target_weight", -1),
        ("batch_size", 1),
    ):
        with pytest.raises(errors.InvalidQuery, match=rf"^{option}={wrong!r} was given; give .*\.$"):
            agents.make("sraal", **{option: wrong})
