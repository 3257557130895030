"""A strategy that learns while it plays: what the latest query earned decides what it prefers next."""

from __future__ import annotations

from typing import Any

import agents


class Remembering(agents.Strategy):
    """Most or least certain images, by the sign of what the latest query earned."""

    sign = 1.0

    def pick(self, view: Any, indices: Any, count: int, generator: Any) -> Any:
        top = view.logits(indices).topk(2).values
        return indices[agents.best(self.sign * (top[:, 1] - top[:, 0]), count, generator).numpy()]

    def update(self, reward: float | None, info: dict[str, Any]) -> None:
        assert "test_accuracy" not in info
        assert reward is not None
        self.sign = 1.0 if reward > 0.02 else -1.0
