"""Resident memory, now and at its peak."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from alenv import memory

LARGE = 100_000_000  # bytes


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_counts_from_when_the_last_was_forgotten() -> None:
    block = np.ones(LARGE, np.uint8)
    with_block = memory.resident()
    del block
    assert memory.resident_peak() > with_block - 0.1 * LARGE / 1e6  # the system counts threads apart
    memory.forget_resident_peak()
    peak = memory.resident_peak()
    assert peak < with_block - 0.9 * LARGE / 1e6
    block = np.ones(LARGE, np.uint8)
    assert memory.resident_peak() > peak + 0.9 * LARGE / 1e6
    del block


def test_a_system_without_an_account_of_a_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = memory.resident_peak()
    monkeypatch.setattr(memory, "STATUS", tmp_path / "none")
    monkeypatch.setattr(memory, "FORGET", tmp_path / "none" / "either")
    memory.forget_resident_peak()
    assert memory.resident() == memory.resident_peak() >= told * 0.5
