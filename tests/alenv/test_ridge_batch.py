"""Many ridge heads at once, against each of them solved in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exact_ridge import ridge_error, ridge_solution

from alenv.learners.ridge import PENALTIES
from alenv.learners.ridge_batch import PIECE, RidgeBatch
from alenv.pool import OUTLIER

CPU = torch.device("cpu")


class Exact:
    """The rows and targets of one episode in float64, solved from scratch."""

    def __init__(self, size: int, classes: int) -> None:
        self.rows, self.targets = np.zeros((0, size + 1)), np.zeros((0, classes))

    def learn(self, rows: torch.Tensor, labels: torch.Tensor) -> None:
        taught, classes = labels != OUTLIER, self.targets.shape[1]
        new = np.hstack([rows[taught].double().numpy(), np.ones((int(taught.sum()), 1))])
        self.rows = np.concatenate([self.rows, new])
        self.targets = np.concatenate([self.targets, np.eye(classes)[labels[taught].numpy()] - 1 / classes])

    def weights(self, penalties: tuple[float, ...]) -> torch.Tensor:
        penalty = penalties[-1]
        if len(self.rows):
            penalty = min(penalties, key=lambda each: ridge_error(self.rows, self.targets, each))
        return torch.from_numpy(ridge_solution(self.rows, self.targets, penalty))


def rows(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Rows of unit length around a common mean, as embeddings are."""
    return torch.nn.functional.normalize(1 + torch.randn(*shape, generator=generator), dim=-1)


def begun(
    episodes: int,
    size: int,
    classes: int,
    penalties: tuple[float, ...],
    first: int,
    generator: torch.Generator,
) -> tuple[RidgeBatch, list[Exact]]:
    batch = RidgeBatch(episodes, size, classes, len(penalties), CPU)
    exact = [Exact(size, classes) for _ in range(episodes)]
    new = (
        rows(generator, episodes, first, size),
        torch.randint(classes, (episodes, first), generator=generator),
    )
    have = torch.ones(episodes, classes, dtype=torch.bool)
    batch.begin(torch.arange(episodes), torch.tensor([penalties] * episodes), have, *new)
    for one, x, y in zip(exact, *new, strict=True):
        one.learn(x, y)
    return batch, exact


def assert_as_exact(batch: RidgeBatch, exact: list[Exact], penalties: tuple[float, ...], atol: float) -> None:
    for i, one in enumerate(exact):
        mine = batch.heads.weights(i).double()
        torch.testing.assert_close(mine, one.weights(penalties), atol=atol, rtol=0)


@pytest.mark.parametrize("penalties", [PENALTIES, (0.03,)])
@pytest.mark.parametrize("first", [0, 1, 9, 40])
def test_each_head_is_the_exact_solution(penalties: tuple[float, ...], first: int) -> None:
    generator = torch.Generator().manual_seed(first)
    batch, exact = begun(3, 20, 4, penalties, first, generator)
    for cycle in range(6):
        some = torch.tensor([0, 2] if cycle % 2 else [0, 1, 2])
        x = rows(generator, len(some), 7, 20)
        y = torch.randint(OUTLIER, 4, (len(some), 7), generator=generator)
        batch.learn(some, x, y)
        for place, i in enumerate(some.tolist()):
            exact[i].learn(x[place], y[place])
        assert_as_exact(batch, exact, penalties, 2e-5)


def test_hundreds_of_cycles_do_not_drift() -> None:
    generator = torch.Generator().manual_seed(0)
    batch, exact = begun(2, 64, 5, PENALTIES, 10, generator)
    for _ in range(300):
        x, y = rows(generator, 2, 16, 64), torch.randint(5, (2, 16), generator=generator)
        batch.learn(torch.arange(2), x, y)
        for one, each, answers in zip(exact, x, y, strict=True):
            one.learn(each, answers)
    assert_as_exact(batch, exact, PENALTIES, 2e-6)


def test_many_rows_at_once_are_as_good_as_few() -> None:
    generator = torch.Generator().manual_seed(1)
    batch, exact = begun(2, 30, 3, (0.1,), 2 * PIECE + 5, generator)
    assert_as_exact(batch, exact, (0.1,), 1e-5)


def test_what_is_tried_is_what_learning_gives_and_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(2)
    batch, _ = begun(3, 12, 4, PENALTIES, 8, generator)
    x, y = rows(generator, 3, 5, 6, 12), torch.randint(OUTLIER, 4, (3, 5, 6), generator=generator)
    before = batch.heads
    tried = batch.after(slice(0, 3), x, y)
    assert all(torch.equal(*pair) for pair in zip(before, batch.heads, strict=True))
    batch.learn(torch.arange(3), x[:, 3], y[:, 3])
    for mine, theirs in zip(batch.heads, tried, strict=True):
        torch.testing.assert_close(mine, theirs[:, 3], atol=1e-5, rtol=0)


def test_a_class_that_an_episode_does_not_have_is_never_named() -> None:
    generator = torch.Generator().manual_seed(3)
    batch = RidgeBatch(2, 10, 5, 1, CPU)
    have = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    x, y = rows(generator, 2, 30, 10), torch.randint(3, (2, 30), generator=generator)
    batch.begin(torch.arange(2), torch.full((2, 1), 0.1), have, x, y)
    few = Exact(10, 3)
    few.learn(x[0], y[0])
    mine = batch.heads.weights(0).double()
    torch.testing.assert_close(mine[:, :3], few.weights((0.1,)), atol=2e-6, rtol=0)
    logits = batch.heads.logits(x, 10.0)
    assert (logits[0, :, 3:] == -torch.inf).all()
    assert torch.isfinite(logits[1]).all()


def test_the_first_of_equal_classes_is_taken() -> None:
    batch = RidgeBatch(2, 4, 3, 1, CPU)
    nothing = torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.int64)
    batch.begin(torch.arange(2), torch.ones(2, 1), torch.ones(2, 3, dtype=torch.bool), *nothing)
    labels = torch.tensor([0, 1, 2, 0, 0])
    assert batch.heads.correct(torch.ones(4, 5), labels).tolist() == [3, 3]


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for cached in (1, 10**9):
        monkeypatch.setattr("alenv.learners.ridge_batch._CACHED", cached)
        generator = torch.Generator().manual_seed(4)
        batch, _ = begun(5, 16, 3, PENALTIES, 20, generator)
        batch.learn(
            torch.tensor([4, 1]), rows(generator, 2, 4, 16), torch.tensor([[0, 1, 2, 0], [1, 1, 0, 2]])
        )
        found.append(np.stack([batch.heads.weights(i).numpy() for i in range(5)]))
    np.testing.assert_allclose(*found, atol=1e-6)
