"""Equality of nested states and observations, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np


def assert_equal(one: Any, other: Any) -> None:
    """Compares dicts, sequences, and whatever numpy takes as an array."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_equal(one[name], other[name])
    elif isinstance(one, (list, tuple)):
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    else:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
