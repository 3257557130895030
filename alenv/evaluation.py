"""What a cycle's outputs on the test set say beyond their accuracy, worked out only for whoever asks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from alenv.learners.protocol import Predictions


@dataclass(frozen=True)
class Evaluation:
    """How well a classifier does on a set of images, class by class.

    Attributes:
        class_correct: Rightly classified images of each class, C of them; their sum is what accuracy counts.
        class_total: Images of each class, C of them.
        nll: Mean negative log-likelihood of the labels, in nats; None where the learner says classes alone, or
            it is no finite number.
    """

    class_correct: tuple[int, ...]
    class_total: tuple[int, ...]
    nll: float | None

    def as_dict(self) -> dict[str, Any]:
        """Returns lists and scalars."""
        return {
            "class_correct": list(self.class_correct),
            "class_total": list(self.class_total),
            "nll": self.nll,
        }


def evaluate(found: Predictions, labels: Tensor, num_classes: int) -> Evaluation:
    """Counts a classifier's outputs by class.

    Args:
        found: Its outputs on n images.
        labels: int64 (n,), on the same device.
        num_classes: C.
    """
    right = labels[found.classes == labels]
    correct, total = (torch.bincount(each, minlength=num_classes).tolist() for each in (right, labels))
    nll = None
    if (logits := found.computed_logits()) is not None:
        each = F.cross_entropy(logits.float(), labels, reduction="none")
        mean = float(each.cpu().double().mean())  # summed in float64, which Apple's GPUs do not have
        nll = mean if math.isfinite(mean) else None
    return Evaluation(tuple(correct), tuple(total), nll)
