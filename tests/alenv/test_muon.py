"""The Muon optimizer against its definition by singular values, and against torch's SGD."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from alenv.training.muon import MOMENTUM, Muon, orthogonalized


def by_singular_values(matrix: Tensor) -> Tensor:
    """Three times the quintic a s + b s^3 + c s^5 on every singular value, from a matrix of norm 1."""
    left, values, right = torch.linalg.svd(matrix.double() / matrix.double().norm(), full_matrices=False)
    for _ in range(3):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left @ torch.diag(values) @ right


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 8), (1, 9), (64, 216)])
def test_updates_keep_singular_vectors_and_pull_their_values_to_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        orthogonalized(matrix), by_singular_values(matrix).float(), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(orthogonalized(1e-3 * matrix), orthogonalized(matrix), rtol=1e-2, atol=1e-4)


def test_no_gradient_is_no_update() -> None:
    assert not orthogonalized(torch.zeros(3, 5)).any()


def test_all_but_convolutions_move_as_under_sgd() -> None:
    torch.manual_seed(0)
    start = nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 2)).state_dict()
    results = []
    for kind in (Muon, torch.optim.SGD):
        net = nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 2))
        net.load_state_dict(start)
        extra = {} if kind is Muon else {"nesterov": True}
        optimizer = kind(net.parameters(), lr=0.1, momentum=0.8, weight_decay=0.05, **extra)  # type: ignore[arg-type]
        for step in range(4):
            x = torch.randn(7, 5, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
        results.append(torch.cat([parameter.detach().flatten() for parameter in net.parameters()]))
    torch.testing.assert_close(*results)


def test_a_convolution_turns_by_the_learning_rate() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(4, 3, 3, 3, generator=generator).to(memory_format=torch.channels_last))
    unused = nn.Parameter(torch.ones(2, 2, 1, 1))
    optimizer = Muon([weight, unused], lr=0.3, momentum=0.9, weight_decay=0.5)
    expected, average = weight.detach().clone(), torch.zeros(4, 3, 3, 3)
    for _ in range(3):
        weight.grad = torch.randn(4, 3, 3, 3, generator=generator)
        average = MOMENTUM * average + weight.grad
        update = by_singular_values((weight.grad + MOMENTUM * average).flatten(1)).float().view(4, 3, 3, 3)
        expected = expected * math.sqrt(4) / expected.norm() - 0.3 * update
        optimizer.step()
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-4, atol=1e-5)
    assert unused.eq(1).all()
