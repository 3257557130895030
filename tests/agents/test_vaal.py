"""VAAL: published sizes, losses by hand, and which images it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import agents
from agents import adversarial
from agents.adversarial import VaalAutoencoder, VaalDiscriminator
from alenv import Recipe, errors, fitting, progress, testbed
from alenv.runtime import Runtime

QUICK = "vaal:width=0.03125:epochs=1"
CPU = Runtime("cpu", "fp32", 1)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def parameters(network):
    return sum(each.numel() for each in network.parameters())


def two_patterns(swapped):
    """160 images of two noisy patterns in turn; 40 of the first are labeled. Returns the view and the patterns."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 256, (2, 8, 8, 1))[:: -1 if swapped else 1]
    kinds = np.arange(160) % 2
    images = (0.7 * patterns[kinds] + random.integers(0, 77, (160, 8, 8, 1))).astype(np.uint8)
    nothing = torch.zeros(160, 1), torch.zeros(160, 4)
    return testbed.planted(*nothing, images=images, labeled=range(0, 80, 2), query_size=40), kinds


# ---- the networks ------------------------------------------------------------------------------------------


def test_the_published_sizes():
    with torch.device("meta"):
        assert parameters(VaalAutoencoder((3, 32, 32), 32, 1.0)) == 22_835_139
        assert parameters(VaalDiscriminator(32)) == 280_065
        grey = VaalAutoencoder((1, 28, 28), 28, 1.0)
    # In public code for 28x28 the last convolution and the first transposed one have kernel 3.
    encoder = 1 * 128 * 16 + 128 * 256 * 16 + 256 * 512 * 16 + 512 * 1024 * 9 + 2 * (128 + 256 + 512 + 1024)
    decoder = 1024 * 512 * 9 + 512 * 256 * 16 + 256 * 128 * 16 + 128 * 1 + 1 + 2 * (512 + 256 + 128)
    codes = 2 * (4096 * 28 + 28) + 28 * 16_384 + 16_384
    assert parameters(grey) == encoder + decoder + codes
    assert [layer.kernel_size for layer in grey.encoder if hasattr(layer, "kernel_size")] == [(4, 4)] * 3 + [
        (3, 3)
    ]
    assert [
        tuple(grey.encoder[:at](torch.zeros(1, 1, 28, 28, device="meta")).shape[2:]) for at in (3, 6, 9, 12)
    ] == [(side, side) for side in (14, 7, 3, 2)]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 12), (1, 28, 28), (3, 30, 31), (3, 13, 8), (3, 64, 64)])
def test_images_of_any_size_come_back_in_that_size(shape):
    coder = VaalAutoencoder(shape, 5, 0.02)
    images = torch.zeros(2, *shape)
    codes = coder.mean(coder.encoder(images))
    assert codes.shape == coder.log_variance(coder.encoder(images)).shape == (2, 5)
    assert coder.decoder(coder.expand(codes)).shape == images.shape


def test_weights_are_drawn_as_published():
    coder = fitting.build(lambda: VaalAutoencoder((3, 32, 32), 32, 0.25), stream(), CPU)
    for layer in (coder.encoder[3], coder.encoder[6], coder.expand):
        assert deviation(layer) == pytest.approx((2 / layer.weight[0].numel()) ** 0.5, rel=0.05)
    assert not coder.expand.bias.any()
    for layer in (coder.mean, coder.log_variance, coder.decoder[-1]):  # PyTorch's own
        assert deviation(layer) < (1 / layer.weight[0].numel()) ** 0.5
        assert layer.bias.any()


def deviation(layer):
    return float(layer.weight.detach().std())


# ---- training ----------------------------------------------------------------------------------------------


def test_the_published_number_of_iterations():
    assert adversarial.iterations(50_000, 100, 128) == 39_062
    assert [adversarial.iterations(300, epochs, 128) for epochs in range(4)] == [0, 2, 4, 7]
    assert adversarial.iterations(5, 1, 128) == 1


@pytest.mark.parametrize(("size", "expected"), [(64, 2 * 9), (128, 2 * 4), (1000, 2)])
def test_two_steps_of_the_autoencoder_an_iteration(planted, query, size, expected):
    with progress.recording() as training:
        query(agents.make(f"vaal:width=0.02:epochs=3:batch_size={size}"), planted())
    assert training.steps == expected


def adversaries(kl="mean", beta=0.5, adversary=0.25):
    coder = fitting.build(lambda: VaalAutoencoder((1, 8, 8), 4, 0.02), stream(), CPU)
    discriminator = fitting.build(lambda: VaalDiscriminator(4), stream(1), CPU)
    pictures = torch.randn(20, 1, 8, 8, generator=stream(2))
    return adversarial.AdversarialTraining(
        coder,
        discriminator,
        pictures=lambda rows: pictures[rows],
        generator=stream(3),
        runtime=CPU,
        beta=beta,
        adversary=adversary,
        kl=kl,
        lr=5e-4,
    ), pictures


@pytest.mark.parametrize("kl", ["mean", "sum"])
def test_the_loss_of_the_autoencoder_by_hand(kl):
    training, pictures = adversaries(kl)
    coder, discriminator, noise = training.coder, training.discriminator, stream(3)
    expected = 0.0
    for rows in (torch.arange(7), torch.arange(7, 12)):
        hidden = coder.encoder(pictures[rows])
        mean, log_variance = coder.mean(hidden), coder.log_variance(hidden)
        drawn = torch.distributions.Normal(mean, log_variance.exp().sqrt())
        code = mean + drawn.scale * torch.randn(mean.shape, generator=noise)
        divergence = torch.distributions.kl_divergence(drawn, torch.distributions.Normal(0.0, 1.0))
        expected += ((coder.decoder(coder.expand(code)) - pictures[rows]) ** 2).mean()
        expected += 0.5 * (divergence.sum() if kl == "sum" else divergence.mean())
        expected += 0.25 * F.binary_cross_entropy(discriminator(mean).sigmoid(), torch.ones(len(rows)))
    found = training.loss((torch.arange(7), torch.arange(7, 12)), fitting.Moment(0, 0.0))
    torch.testing.assert_close(found, expected)


def test_the_discriminator_learns_at_every_second_step_and_alone():
    training, _ = adversaries()
    pair = torch.arange(10), torch.arange(10, 20)
    before = [each.clone() for each in training.discriminator.parameters()]
    coder = [each.clone() for each in training.coder.parameters()]

    def moved():
        return not all(map(torch.equal, before, training.discriminator.parameters()))

    for step in range(4):
        training.loss(pair, fitting.Moment(0, 0.0))
        training.after_step()
        assert moved() == (step >= 1)
    assert all(map(torch.equal, coder, training.coder.parameters()))
    with torch.no_grad():
        labeled, unlabeled = (
            training.discriminator(training.code(training._pictures(part))[0]) for part in pair
        )
        start = float((labeled.sigmoid() - unlabeled.sigmoid()).mean())
    for _ in range(200):
        training.loss(pair, fitting.Moment(0, 0.0))
        training.after_step()
    with torch.no_grad():
        labeled, unlabeled = (
            training.discriminator(training.code(training._pictures(part))[0]) for part in pair
        )
    assert float((labeled.sigmoid() - unlabeled.sigmoid()).mean()) > max(0.5, start)  # 1 is labeled


# ---- the query ---------------------------------------------------------------------------------------------


def test_it_takes_images_unlike_the_labeled_ones(query):
    """Two thirds of the unlabeled images have the other pattern; whichever that is, they are taken first."""
    shares = []
    for swapped in (False, True):
        for seed in (0, 1):
            view, kinds = two_patterns(swapped)
            picks = query(agents.make("vaal:width=0.03125:epochs=10:batch_size=32"), view, seed)
            shares.append(kinds[picks].mean())
    assert np.mean(shares) > 0.85  # five standard deviations from two thirds


def test_a_query_repeats_bit_for_bit_and_asks_no_classifier(planted):
    view, found = planted(), []
    for _ in range(2):
        agent, generator = agents.make(QUICK), stream(5)
        trained = agent.trained(view, view.unlabeled, generator)
        found.append([*trained.coder.state_dict().values(), *trained.discriminator.state_dict().values()])
        assert not trained.coder.training
        before = [each.clone() for each in trained.coder.state_dict().values()]
        agent.pick(view, view.unlabeled, 5, stream(5))
        assert all(map(torch.equal, before, trained.coder.state_dict().values()))
    assert all(map(torch.equal, *found))
    assert view._learner.asked == []


def test_without_labels_the_query_is_random_and_nothing_is_trained(planted, query):
    with progress.recording() as training:
        found = {tuple(query(agents.make(QUICK), planted(labeled=()), seed)) for seed in range(5)}
    assert training.steps == 0
    assert len(found) == 5


@pytest.mark.parametrize(
    ("recipe", "flips"),
    [
        (Recipe(), True),
        (Recipe(flip=False), False),
        (Recipe(augment=False), False),
        (Recipe(cutout=4, trivial_augment=True), True),
    ],
)
def test_images_are_flipped_as_the_recipe_does_and_no_more(planted, query, monkeypatch, recipe, flips):
    view, seen = planted(recipe=recipe), []
    augmented = view.augmented

    def spy(rows, *, generator, augmentation):
        seen.append(augmentation)
        return augmented(rows, generator=generator, augmentation=augmentation)

    monkeypatch.setattr(view, "augmented", spy)
    query(agents.make(QUICK), view)
    assert {(each.flip, each.crop_padding, each.trivial, each.cutout) for each in seen} == {
        (flips, 0, False, 0)
    }


def test_one_labeled_image_is_enough(planted, query):
    assert len(set(query(agents.make(QUICK), planted(labeled=[7])))) == 5


def test_options(planted, query, monkeypatch):
    plain, original = agents.make("vaal"), agents.make("vaal:original=true")
    assert (plain.epochs, plain.kl, plain.pool) == (10, "mean", "all")
    assert (original.epochs, original.kl) == (100, "sum")
    assert agents.make("vaal:original=true:epochs=3:kl=mean").epochs == 3
    for option, wrong in (
        *(("epochs", 0), ("width", 0), ("latent", 1.5), ("beta", -1), ("adversary", "x"), ("lr", 0)),
        *(("batch_size", 1), ("original", 1)),
    ):
        with pytest.raises(errors.InvalidQuery, match=rf"^{option}={wrong!r} was given; give .*\.$"):
            agents.make("vaal", **{option: wrong})
    with pytest.raises(errors.UnknownName, match="sum"):
        agents.make("vaal:kl=summ")
    given = []
    fit = fitting.fit
    monkeypatch.setattr(fitting, "fit", lambda *args, **kwargs: (given.append(kwargs), fit(*args, **kwargs)))
    query(agents.make(QUICK), planted())
    assert (given[0]["title"], given[0]["epochs"], given[0]["runtime"].device) == ("query network", 1, "cpu")
