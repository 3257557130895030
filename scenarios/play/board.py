"""TensorBoard events of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from alenv.files import writing
from scenarios.play.run_folder import ADVICE


class Board:
    """Writes scalars by number of labeled images.

    A continued run opens a new file that purges every step of the older ones, and writes all rows again: the
    checkpoint decides what is shown, not what a killed process had got round to writing.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (half a second to load)

        self._folder = folder / "tensorboard"
        with writing(self._folder, ADVICE):
            self._writer = SummaryWriter(str(self._folder), purge_step=0)

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with writing(self._folder, ADVICE):
            self._writer.close()

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds rows of the learning curve."""
        with writing(self._folder, ADVICE):
            for row in rows:
                for name in ("accuracy", "reward"):
                    if row[name] is not None:
                        self._writer.add_scalar(name, row[name], row["labeled_count"])
            self._writer.flush()
