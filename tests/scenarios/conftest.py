"""What the tests of ``scenarios`` share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the default ``./runs`` out of the checkout."""
    monkeypatch.chdir(tmp_path)
