"""VaB-AL: Bayes' rule, the loss and the likelihoods by hand, and which images it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import agents
from agents.strategies import vab_al
from agents.strategies.vab_al import ClassAutoencoder
from alenv import errors, fitting, progress, testbed
from alenv.runtime import Runtime

QUICK = "vab_al:epochs=1:samples=2"


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def autoencoder(classes=3):
    built = fitting.build(lambda: ClassAutoencoder([4, 6], classes), stream(), Runtime("cpu", "fp32", 1))
    return built, [torch.randn(20, 4, generator=stream(1)), torch.randn(20, 6, generator=stream(2))]


def test_the_published_sizes():
    with torch.device("meta"):
        network = ClassAutoencoder([64, 128, 256, 512], 10)
    assert [network.mean.out_features, network.decoder[-1].out_features] == [100, 512]
    assert network.encoder[0].in_features == 512


def test_the_probability_of_an_error_by_hand():
    likelihoods = torch.tensor([[0.2, 0.1], [0.3, 0.6], [1e-30, 1e-30]], dtype=torch.float64)
    prior, precision = torch.tensor([0.25, 0.75]), torch.tensor([0.9, 0.4])
    expected = [
        1 - (0.2 * 0.25 * 0.9 + 0.1 * 0.75 * 0.4) / (0.2 * 0.25 + 0.1 * 0.75),
        1 - (0.3 * 0.25 * 0.9 + 0.6 * 0.75 * 0.4) / (0.3 * 0.25 + 0.6 * 0.75),
        1 - (0.25 * 0.9 + 0.75 * 0.4),
    ]
    assert vab_al.doubt(likelihoods.log(), prior, precision).tolist() == pytest.approx(expected)
    never = vab_al.doubt(likelihoods.log(), torch.tensor([0.0, 1.0]), precision)
    assert never.tolist() == pytest.approx([0.6] * 3)


def test_precisions_by_hand():
    predicted, labels = torch.tensor([0, 0, 0, 2, 2, 0]), torch.tensor([0, 1, 0, 2, 2, -1])
    assert vab_al.precisions(predicted, labels, 4).tolist() == pytest.approx([0.5, 4 / 6, 1.0, 4 / 6])


def test_the_loss_by_hand():
    network, maps = autoencoder()
    network.train()
    labels, noise = torch.arange(20) % 3, torch.randn(20, 3, 10, generator=stream(3))
    x = torch.cat([network.taps[0](maps[0]), network.taps[1](maps[1])], dim=1)
    hidden = network.encoder(x)
    drawn = torch.distributions.Normal(network.mean(hidden), (0.5 * network.log_variance(hidden)).exp())
    codes = (drawn.loc + drawn.scale * noise.flatten(1)).view(20, 3, 10)
    kept = codes.clone()
    kept[torch.arange(20), labels] = 0.0
    expected = ((network.decoder(network.first(kept.flatten(1))) - x) ** 2).mean()
    expected = (
        expected + torch.distributions.kl_divergence(drawn, torch.distributions.Normal(0.0, 1.0)).mean()
    )
    expected = expected + 0.005 * F.cross_entropy(-(codes**2).sum(2), labels)
    torch.testing.assert_close(vab_al.autoencoder_loss(network, maps, labels, noise), expected)


@torch.no_grad()
@pytest.mark.parametrize("sigma", [None, 0.7])
def test_likelihoods_by_hand(sigma):
    network, maps = autoencoder()
    network.eval()
    noise = torch.randn(4, 3, 10, generator=stream(3))
    x = network.joined(maps)
    mean, log_variance = network.code(x)
    drawn = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    variance = 256 / (2 * 30) if sigma is None else sigma**2
    for c in range(3):
        errors_of = []
        for each in noise:
            codes = drawn.loc + drawn.scale * each
            codes[:, c] = 0.0
            errors_of.append(((network.decoder(network.first(codes.flatten(1))) - x) ** 2).sum(1))
        expected = -torch.stack(errors_of).mean(0) / (2 * variance)
        torch.testing.assert_close(
            vab_al.log_likelihoods(network, maps, noise, sigma)[:, c], expected, rtol=1e-4, atol=1e-4
        )


def two_predicted_classes(wrong, **given):
    """160 images of two kinds, each predicted as a class of its own; on labeled ones ``wrong`` is wrong by half."""
    kinds = np.arange(160) % 2
    logits = 5.0 * torch.eye(4)[kinds]
    maps = [2.0 * torch.eye(6)[kinds] + 0.1 * torch.rand(160, 6, generator=stream()) for _ in range(2)]
    labels = np.where((kinds == wrong) & (np.arange(160) % 4 >= 2), 3, kinds)
    view = testbed.planted(
        torch.zeros(160, 1), logits, labels=labels, feature_maps=maps, query_size=30, **given
    )
    return view, kinds


@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize(
    ("reference", "epochs", "given"), [("labeled", 100, {}), ("validation", 200, {"validation": 40})]
)
def test_it_takes_images_of_the_class_that_is_wrong_most_often(query, wrong, reference, epochs, given):
    view, kinds = two_predicted_classes(wrong, labeled=range(20), **given)
    picks = query(agents.make(f"vab_al:samples=3:epochs={epochs}:reference={reference}"), view)
    assert (kinds[picks] == wrong).all()


def test_a_small_pool_is_passed_over_more_often():
    assert [vab_al.epochs_for(images) for images in (50_000, 1280, 100)] == [20, 100, 1280]


def test_a_last_batch_of_one_image(planted, query):
    with progress.recording() as training:
        query(agents.make(QUICK), planted(n=139))  # 129 unlabeled
    assert training.steps == 1


def test_without_labels_nothing_is_trained(planted, query):
    with progress.recording() as training:
        query(agents.make(QUICK), planted(labeled=()))
    assert training.steps == 0


def test_what_it_needs(planted):
    assert agents.make("vab_al").needs == ("feature_maps",)
    assert agents.make("vab_al:reference=validation").needs == ("feature_maps", "validation")
    with pytest.raises(errors.MissingHead, match="no validation split"):
        agents.make("vab_al:reference=validation").reset(planted(validation=0), seed=0)
    with pytest.raises(errors.UnknownName, match="labeled"):
        agents.make("vab_al:reference=labelled")
    for option, wrong in (("epochs", 0), ("samples", 0), ("sigma", 0)):
        with pytest.raises(errors.InvalidQuery, match=rf"^{option}={wrong!r} was given; give .*\.$"):
            agents.make("vab_al", **{option: wrong})
