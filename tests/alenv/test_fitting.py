"""The tools for networks of one's own: construction from a generator, batches, the loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from alenv import errors, fitting
from alenv.runtime import Runtime

CPU = Runtime("cpu", "fp32", 1)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_network_comes_from_its_generator_alone() -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 1))

    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, two, other = (fitting.build(make, stream(seed), CPU).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["0.weight"], other["0.weight"])
    assert one["0.weight"].abs().max() <= 3**-0.5

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(2))

    with pytest.raises(errors.InvalidRecipe, match="Odd"):
        fitting.build(Odd, stream(), CPU)


def test_the_loop_is_a_plain_loop() -> None:
    x = torch.randn(20, 3, generator=stream())
    y = x @ torch.tensor([1.0, -2.0, 0.5])
    one, two = (fitting.build(lambda: nn.Linear(3, 1), stream(1), CPU) for _ in range(2))
    seen: list[tuple[int, float, bool]] = []

    def loss(rows: Tensor, moment: fitting.Moment) -> Tensor:
        seen.append((moment.epoch, moment.progress, one.training))
        return (one(x[rows]).squeeze(1) - y[rows]).square().mean()

    order, steps = stream(2), []
    fitting.fit(
        one,
        loss,
        lambda epoch: fitting.minibatches(torch.arange(20), 8, order),
        epochs=4,
        optimizer=torch.optim.SGD(one.parameters(), lr=123.0, momentum=0.9),
        learning_rate=lambda moment: 0.1 * (1 - moment.progress),
        after_step=lambda: steps.append(1),
        runtime=CPU,
    )
    order, optimizer = stream(2), torch.optim.SGD(two.parameters(), lr=123.0, momentum=0.9)
    for epoch in range(4):
        shuffled = torch.randperm(20, generator=order)
        for position, rows in enumerate((shuffled[:8], shuffled[8:16], shuffled[16:])):
            optimizer.param_groups[0]["lr"] = 0.1 * (1 - (epoch + position / 3) / 4)
            optimizer.zero_grad()
            (two(x[rows]).squeeze(1) - y[rows]).square().mean().backward()
            optimizer.step()
    assert torch.equal(one.weight, two.weight)
    assert [each[0] for each in seen] == sorted([0, 1, 2, 3] * 3)
    assert [each[1] for each in seen] == pytest.approx(np.arange(12) / 12)
    assert all(each[2] for each in seen)
    assert not one.training
    assert len(steps) == 12


def test_the_loop_may_end_early_and_trains_where_gradients_are_off() -> None:
    net = fitting.build(lambda: nn.Linear(2, 1), stream(), CPU)
    epochs: list[int] = []

    def batches(epoch: int) -> list[Tensor]:
        epochs.append(epoch)
        return [torch.ones(4, 2)]

    before = net.weight.detach().clone()
    with torch.no_grad():
        fitting.fit(
            net,
            lambda batch, _: net(batch).square().mean(),
            batches,
            epochs=10,
            optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
            ended=lambda: len(epochs) == 3,
            runtime=CPU,
        )
    assert epochs == [0, 1, 2]
    assert not torch.equal(net.weight, before)


@given(st.integers(1, 20), st.integers(0, 30), st.integers(1, 8), st.integers(1, 8), st.data())
def test_paired_batches(labeled: int, unlabeled: int, size: int, other: int, data: Any) -> None:
    length = data.draw(st.sampled_from(fitting.LENGTHS))
    some, rest = torch.arange(labeled), torch.arange(100, 100 + unlabeled)
    pairs = fitting.paired_batches(some, rest, size, stream(), unlabeled_size=other, length=length)
    counts = {"labeled": -(-labeled // size), "unlabeled": -(-unlabeled // other)}
    counts["longest"] = max(counts.values())
    assert len(pairs) == max(1, counts[length])
    for mine, theirs in pairs:
        assert set(mine.tolist()) <= set(some.tolist())
        assert set(theirs.tolist()) <= set(rest.tolist())
        assert 1 <= len(mine) <= size
        assert len(theirs) <= other
        assert bool(len(theirs)) == bool(unlabeled)
    shown = torch.cat([mine for mine, _ in pairs]), torch.cat([theirs for _, theirs in pairs])
    if len(pairs) == counts["labeled"]:
        assert sorted(shown[0].tolist()) == some.tolist()
    else:  # several orders in a row: no image is shown twice more often than another
        times = torch.bincount(shown[0], minlength=labeled)
        assert times.max() - times.min() <= 1
    if unlabeled and len(pairs) == counts["unlabeled"]:
        assert sorted(shown[1].tolist()) == rest.tolist()


def test_unlabeled_images_may_be_drawn_from_a_stream_of_their_own() -> None:
    labeled, unlabeled, plain, order = torch.arange(20), torch.arange(20, 60), stream(1), stream(1)
    seen = []
    for _ in range(2):
        pairs = fitting.paired_batches(labeled, unlabeled, 8, order, unlabeled_generator=stream(2))
        expected = fitting.minibatches(labeled, 8, plain)
        assert [some.tolist() for some, _ in pairs] == [some.tolist() for some in expected]
        seen.append([others.tolist() for _, others in pairs])
    assert seen[0] == seen[1]


def test_an_unknown_length_is_refused() -> None:
    with pytest.raises(errors.InvalidRecipe, match="'labeled', 'unlabeled', 'longest'"):
        fitting.paired_batches(torch.arange(3), torch.arange(3), 2, stream(), length="both")


def test_batches_are_seeded_and_fresh() -> None:
    generator = stream(3)
    first, second = (torch.cat(fitting.minibatches(torch.arange(50), 7, generator)) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first, torch.cat(fitting.minibatches(torch.arange(50), 7, stream(3))))


@given(st.integers(1, 20), st.integers(0, 30), st.integers(1, 8), st.integers(0, 6))
def test_a_number_of_whole_batches(labeled: int, unlabeled: int, size: int, count: int) -> None:
    some, rest = torch.arange(labeled), torch.arange(100, 100 + unlabeled)
    pairs = fitting.paired_batches(some, rest, size, stream(), count=count)
    assert [(len(one), len(two)) for one, two in pairs] == [(size, size if unlabeled else 0)] * count
    if count:
        times = torch.bincount(torch.cat([one for one, _ in pairs]), minlength=labeled)
        assert times.max() - times.min() <= 1
