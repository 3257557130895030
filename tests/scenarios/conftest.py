"""What the tests of ``scenarios`` share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that "fake_al:FakeAL-v0" can be made, in workers too


@pytest.fixture(autouse=True)
def _own_runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the default ``./runs`` out of the checkout."""
    monkeypatch.chdir(tmp_path)
