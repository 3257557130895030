"""Weights from a generator: PyTorch's default distributions without its global random state."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from alenv.errors import InvalidRecipe

Network = TypeVar("Network", bound=nn.Module)


def construct(make: Callable[[], Network], generator: torch.Generator) -> Network:
    """Builds a network on the CPU whose weights come from a generator; the global random state plays no part.

    Args:
        make: Builds the modules; runs where tensors have no memory yet, so it must not look at weights.
        generator: A CPU generator that decides all weights.

    Raises:
        InvalidRecipe: A layer whose default distribution is not known to ``initialize``.
    """
    with torch.device("meta"):
        network = make()
    network.to_empty(device="cpu")
    initialize(network, generator)
    return network


@torch.no_grad()
def initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Fills every parameter and buffer of a module tree as PyTorch's constructors would, from a generator.

    Meant for modules built on ``meta`` and then emptied onto the generator's device: nothing may be left out.

    Args:
        module: The tree; its layers are visited in the order of ``module.modules()``.
        generator: On the device of the parameters.

    A module with a method ``draw_weights(generator)`` is asked to draw its own afterwards.

    Raises:
        InvalidRecipe: A layer with weights whose default distribution is not known here.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, _ConvNd)):
            bound = layer.weight[0].numel() ** -0.5  # Kaiming uniform with a = sqrt(5), fan-in
            layer.weight.uniform_(-bound, bound, generator=generator)
            if layer.bias is not None:
                layer.bias.uniform_(-bound, bound, generator=generator)
        elif isinstance(layer, (_BatchNorm, nn.GroupNorm, nn.LayerNorm)):
            if isinstance(layer, _BatchNorm):
                layer.reset_running_stats()
            _ones_and_zeros(layer.weight, layer.bias)
        elif isinstance(layer, nn.Embedding):
            layer.weight.normal_(generator=generator)
        elif [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]:
            kind = type(layer).__name__
            raise InvalidRecipe(f"The layer {kind} has no known initialization; add it to `initialize`.")
    for layer in module.modules():
        if callable(draw := getattr(layer, "draw_weights", None)):
            draw(generator)


@torch.no_grad()
def kaiming_normal(module: nn.Module, generator: torch.Generator) -> None:
    """Draws normal weights of variance 2 / fan-in for linear and convolution layers, and sets their biases to zero.

    Args:
        module: The tree.
        generator: On the device of the parameters.

    Source: He et al. 2015, "Delving deep into rectifiers", equation 10.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, _ConvNd)):
            layer.weight.normal_(0.0, (2 / layer.weight[0].numel()) ** 0.5, generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()


def _ones_and_zeros(weight: Tensor | None, bias: Tensor | None) -> None:
    if weight is not None:
        weight.fill_(1.0)
    if bias is not None:
        bias.zero_()
