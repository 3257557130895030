"""Backbones: sizes, taps, initial weights, and the layers of alenv's own."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from alenv import nets
from alenv.errors import InvalidRecipe, UnknownName


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # many small operators: a second thread costs more than it gives
    yield
    torch.set_num_threads(before)


def make(name: str, *, size: int | tuple[int, int] = 8, channels: int = 3, seed: int = 0, **options):
    options = {"num_classes": 10, **options}
    generator = torch.Generator().manual_seed(seed)
    return nets.build(name, channels=channels, image_size=size, generator=generator, **options)


def narrow(name: str) -> dict[str, int]:
    """A width that keeps the test fast."""
    return {} if name == "lenet" else {"width": 8}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet18", 11_173_962),
        ("vgg11", 9_228_362),
        ("vgg16", 14_724_042),
        ("densenet121", 6_956_298),
        ("densenet201", 18_104_330),
        ("lenet", 62_006),
        ("convnet", 94_762),
        ("airbench", 1_972_802),
    ],
)
def test_published_sizes(name, parameters):
    assert sum(p.numel() for p in make(name).parameters()) == parameters


def test_every_backbone_has_a_published_size():
    assert nets.names() == (
        "airbench",
        "convnet",
        "densenet121",
        "densenet201",
        "lenet",
        "resnet18",
        "vgg11",
        "vgg16",
    )


@pytest.mark.parametrize("size", [8, 28, (9, 17), 64])
@pytest.mark.parametrize("name", ["airbench", "convnet", "densenet121", "lenet", "resnet18", "vgg16"])
def test_shapes_and_gradients_at_every_size(name, size):
    model = make(name, size=size, channels=1, num_classes=3, **narrow(name))
    height, width = (size, size) if isinstance(size, int) else size
    images = torch.randn(2, 1, height, width, generator=torch.Generator().manual_seed(1))
    out = model.outputs(images)
    assert out.logits.shape == (2, 3)
    assert out.features.shape == (2, model.feature_size)
    assert tuple(tap.shape[1] for tap in out.feature_maps) == model.tap_channels
    assert all(tap.dim() == 4 and tap.numel() for tap in out.feature_maps)
    out.logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert torch.equal(model.eval()(images), model.outputs(images).logits)


def test_stage_sizes_of_resnet18_at_32():
    taps = make("resnet18", size=32, width=4).outputs(torch.zeros(1, 3, 32, 32)).feature_maps
    assert [tuple(tap.shape[1:]) for tap in taps] == [(4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 4, 4)]


def test_airbench_is_three_halved_blocks_on_a_stem_and_their_maximum():
    model = make("airbench", size=32, width=4).eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    out = model.outputs(images)
    assert [tuple(tap.shape[1:]) for tap in out.feature_maps] == [(4, 15, 15), (16, 7, 7), (16, 3, 3)]
    assert torch.equal(out.features, out.feature_maps[-1].flatten(2).max(2).values)

    def block(x, layer):
        x = layer.norm1(nn.functional.max_pool2d(layer.conv1(x), 2))
        return nn.functional.gelu(layer.norm2(layer.conv2(nn.functional.gelu(x))))

    x = nn.functional.gelu(model.stem(images))
    for layer, tap in zip(model.stages, out.feature_maps, strict=True):
        x = block(x, layer)
        assert torch.equal(x, tap)


def test_vgg_taps_are_the_last_four_pools_or_their_stand_ins():
    taps = make("vgg16", width=8).outputs(torch.zeros(1, 3, 8, 8)).feature_maps
    assert [tap.shape[-1] for tap in taps] == [2, 1, 1, 1]


@pytest.mark.parametrize("name", ["airbench", "convnet", "densenet121", "lenet", "resnet18", "vgg11"])
def test_a_batch_of_one_trains(name):
    model = make(name, **narrow(name))
    model(torch.rand(1, 3, 8, 8)).sum().backward()


def test_batch_norm_of_a_single_value_uses_running_statistics_and_keeps_them():
    norm = nets.BatchNorm(2)
    norm.running_mean.copy_(torch.tensor([1.0, 2.0]))
    norm.running_var.copy_(torch.tensor([4.0, 9.0]))
    before = copy.deepcopy(norm.state_dict())
    result = norm(torch.tensor([3.0, 8.0]).view(1, 2, 1, 1)).flatten()
    torch.testing.assert_close(result, torch.tensor([1.0, 2.0]), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(before[key], value) for key, value in norm.state_dict().items())


def test_batch_norm_otherwise_equals_torch():
    ours, theirs = nets.BatchNorm(3), nn.BatchNorm2d(3)
    images = torch.randn(1, 3, 2, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours(images), theirs(images))
    assert torch.equal(ours.running_var, theirs.running_var)


def test_weights_depend_on_the_generator_alone():
    state = torch.get_rng_state()
    first, again, other = (
        make("resnet18", width=4),
        make("resnet18", width=4),
        make("resnet18", width=4, seed=1),
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)


@pytest.mark.parametrize("name", ["airbench", "densenet121", "lenet", "resnet18"])
def test_initial_weights_follow_torch_defaults(name):
    """Uniform within 1 / sqrt(fan-in) for weight and bias, and every buffer reset."""
    model = make(name)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            assert layer.weight.abs().max() <= bound
            if layer.weight.numel() > 2000:
                assert abs(layer.weight.mean()) < 0.1 * bound
                assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
            if layer.bias is not None:
                assert 0 < layer.bias.abs().max() <= bound
        elif isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all()
            assert (layer.bias == 0).all()
            assert (layer.running_mean == 0).all()
            assert (layer.running_var == 1).all()
            assert layer.num_batches_tracked == 0


def test_initialize_refuses_what_it_does_not_know():
    with pytest.raises(InvalidRecipe, match="GRU"):
        nets.initialize(nn.Sequential(nn.GRU(2, 2)), torch.Generator())


def test_bf16_channels_last_gives_fp32_logits_and_gradients():
    model = make("resnet18", width=8).to(memory_format=torch.channels_last)
    images = torch.rand(3, 3, 8, 8).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        out = model.outputs(images)
    assert out.logits.dtype == out.features.dtype == torch.float32
    assert out.feature_maps[0].dtype == torch.bfloat16
    assert torch.equal(out.logits, nn.functional.linear(out.features, model.head.weight, model.head.bias))
    out.logits.sum().backward()


def test_dropout_acts_in_train_mode_only_and_from_its_generator():
    model = make("convnet", width=8, dropout=0.5)
    images = torch.rand(4, 3, 8, 8)
    with pytest.raises(InvalidRecipe, match="generator"):
        model(images)
    drawn = []
    for seed in (0, 0, 1):
        model.dropout.generator = torch.Generator().manual_seed(seed)
        drawn.append(model.classify(torch.ones(4, model.feature_size)))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    model.eval()
    assert torch.equal(model(images), model(images))


def test_member_masks_are_scaled_and_per_member():
    model = make("convnet", width=64, dropout=0.25)
    masks = model.member_masks(8, torch.Generator().manual_seed(0))
    assert masks.shape == (8, 256)
    assert masks.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert masks.mean().item() == pytest.approx(1.0, abs=0.1)
    assert not torch.equal(masks[0], masks[1])
    assert (make("convnet", width=8).member_masks(2, torch.Generator()) == 1).all()


def test_deep_copies_are_independent():
    model = make("vgg11", width=8, dropout=0.5)
    model.dropout.generator = torch.Generator().manual_seed(0)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.head.weight.zero_()
    assert model.head.weight.abs().sum() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "lenet", "width": 4}, "no width"),
        ({"name": "convnet", "width": 0}, "width=0"),
        ({"name": "convnet", "size": 7}, "7x7"),
        ({"name": "convnet", "num_classes": 1}, "1 classes"),
        ({"name": "convnet", "channels": 0}, "0 channels"),
        ({"name": "convnet", "dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_requests_are_refused(options, message):
    with pytest.raises(InvalidRecipe, match=message):
        make(**options)


def test_an_unknown_backbone_names_the_nearest():
    with pytest.raises(UnknownName, match="resnet18"):
        make("resnet-18")
