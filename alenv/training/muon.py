"""The Muon optimizer for convolutional networks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic that pulls singular values towards 1
ITERATIONS = 3
MOMENTUM = 0.6  # of the convolutions


class Muon(torch.optim.Optimizer):
    """Orthogonalized updates for the weights of convolutions, SGD with Nesterov momentum for all the rest.

    The update of a convolution, as a matrix of one row per output channel, has its singular values pulled
    towards 1. Before each update the weights are brought to the norm that such a matrix has (the root of its
    number of rows), so that the learning rate is the share by which they change; weight decay would do nothing to
    them. BatchNorm makes what follows blind to their norm.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; momentum, iterations and
    fixed norm as in Jordan's training of the airbench network with it.
    Differs: the iteration runs on the smaller Gram matrix (equal in exact arithmetic, half the products), in
    float32, and one learning rate serves all parameters.
    """

    def __init__(
        self, params: Iterable[Any], lr: float, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        """Takes tensors or groups of them.

        Args:
            params: Parameters; those of four dimensions are the convolutions.
            lr: Learning rate.
            momentum: Of all other parameters.
            weight_decay: L2 penalty of all other parameters.
        """
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is ever given
        """Changes every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        convolution = parameter.ndim == 4
        gradient, momentum = parameter.grad, MOMENTUM if convolution else group["momentum"]
        assert gradient is not None, "step leaves out parameters without one"
        if not convolution:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        state = self.state[parameter]
        if not state:
            state["average"] = torch.zeros_like(parameter)
        average = state["average"].mul_(momentum).add_(gradient)
        update = gradient.add(average, alpha=momentum)
        if convolution:
            update = orthogonalized(update.flatten(1)).view_as(update)
            parameter.mul_(math.sqrt(len(parameter)) / parameter.norm())
        parameter.sub_(update, alpha=group["lr"])


def orthogonalized(matrix: Tensor) -> Tensor:
    """Returns a float32 (m, n) with the singular vectors of ``matrix`` and singular values near 1.

    Newton and Schulz's iteration X <- a X + b X X' X + c (X X')^2 X from a matrix of norm 1. As every iterate is a
    polynomial in the first X X' times the first X, only that polynomial is carried along.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalized(matrix.T).T
    a, b, c = COEFFICIENTS
    x = matrix / (matrix.norm() + 1e-7)
    gram = x @ x.T
    identity = torch.eye(len(x), dtype=x.dtype, device=x.device)
    total = identity
    for iteration in range(ITERATIONS):
        factor = torch.addmm(a * identity + b * gram, gram, gram, alpha=c)
        total = factor @ total if iteration else factor
        if iteration + 1 < ITERATIONS:
            gram = factor @ gram @ factor
    result: Tensor = total @ x
    return result
