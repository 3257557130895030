"""TensorBoard events of a run."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from alenv.errors import StorageError
from alenv.files import make_folder, write_bytes, writing
from alenv.progress import EPOCHS, Status
from scenarios.play.record import Record, balance
from scenarios.play.run_folder import ADVICE

LIVE = 10.0  # seconds between two looks into a training that is under way
# Column of a cycle's costs -> the name on the board.
_NAMES = {
    "train_loss": "training/loss",
    "train_accuracy": "training/accuracy",
    "learning_rate": "training/learning_rate",
    "optimizer_steps": "training/optimizer_steps",
    "train_seconds": "seconds/training",
    "evaluate_seconds": "seconds/evaluation",
    "query_seconds": "seconds/query",
    "inference_seconds": "seconds/inference",
    "query_peak_memory_megabytes": "peak_memory_megabytes/query",
    "peak_memory_megabytes": "peak_memory_megabytes/training",
}


class Board:
    """Writes scalars, and pictures where they are asked for, by number of labeled images.

    A continued run opens a new file that purges every step of the older ones, and writes all rows again: the
    record decides what is shown, not what a killed process had got round to writing. What was seen of a training
    under way (``live``) is gone then. Pictures lie in the folder ``render`` too, one file per cycle, from where they
    are shown again.
    """

    def __init__(self, folder: Path) -> None:
        """Opens a new file, written by this thread: what the disk refuses is an error here and nowhere else.

        Raises:
            StorageError: It cannot be written.
        """
        self._folder = folder / "tensorboard"
        self._pictures = folder / "render"
        self._looked = time.monotonic()
        make_folder(self._folder, ADVICE)
        began = time.time_ns()  # TensorBoard reads the files of a folder in the order of their names
        path = self._folder / f"events.out.tfevents.{began // 10**9:010d}.{began % 10**9:09d}"
        with writing(self._folder, ADVICE):
            self._writer = RecordWriter(path.open("xb"))
        start = SessionLog(status=SessionLog.START)
        try:
            self._write([Event(file_version="brain.Event:2"), Event(step=0, session_log=start)])
        except StorageError:
            with suppress(OSError):
                self._writer.close()
            raise

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with writing(self._folder, ADVICE):
            self._writer.close()

    def add(self, record: Record, first: int = 0) -> None:
        """Adds the cycles of a record from ``first`` on, and those of their pictures that there are.

        Raises:
            StorageError: The disk is full, or the folder cannot be written.
        """
        events = []
        for cycle in range(first, len(record.curve)):
            step = int(record.curve[cycle]["labeled_count"])
            values = [Summary.Value(tag=tag, simple_value=value) for tag, value in _scalars(record, cycle)]
            if (file := self._file(cycle)).exists():
                values.append(_picture(file.read_bytes()))
            events.append(Event(step=step, summary=Summary(value=values)))
        self._write(events)

    def live(self, status: Status, cycle: int) -> None:
        """Adds how far the training of a cycle is, by epochs of all cycles, at most every ten seconds.

        A disk that refuses is no reason to end a training: its end will tell.
        """
        now = time.monotonic()
        if status.unit != EPOCHS or status.title != "training" or status.over or now - self._looked < LIVE:
            return
        self._looked = now
        known = {"loss": status.loss, "epoch": status.done, "images_per_second": status.images_per_second}
        values = [
            Summary.Value(tag=f"now/{name}", simple_value=value)
            for name, value in known.items()
            if value is not None
        ]
        step = cycle * status.total + int(round(status.done, 6))  # thirds do not add up
        with suppress(StorageError):
            self._write([Event(step=step, summary=Summary(value=values))])

    def keep(self, picture: np.ndarray, cycle: int) -> None:
        """Keeps the picture of a cycle, uint8 (h, w, 3), for ``add``.

        Raises:
            StorageError: The disk is full, or the folder cannot be written.
        """
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "png")
        make_folder(self._pictures, ADVICE)
        write_bytes(self._file(cycle), buffer.getvalue(), ADVICE)

    def _file(self, cycle: int) -> Path:
        return self._pictures / f"cycle{cycle:04d}.png"

    def _write(self, events: Iterable[Event]) -> None:
        with writing(self._folder, ADVICE):
            for event in events:
                event.wall_time = time.time()
                self._writer.write(event.SerializeToString())
            self._writer.flush()


def _scalars(record: Record, cycle: int) -> list[tuple[str, float]]:
    """Returns what is known of a cycle, by its name on the board."""
    row, costs = record.curve[cycle], record.costs[cycle]
    found = [(name, row[name]) for name in ("accuracy", "reward") if row[name] is not None]
    found += [(name, costs[column]) for column, name in _NAMES.items() if column in costs]
    if counts := row.get("class_counts"):
        before = record.curve[cycle - 1].get("class_counts") if cycle else None
        found.append(("class_balance/labeled", balance(np.asarray(counts))))
        found.append(("class_balance/query", balance(np.subtract(counts, before or [0] * len(counts)))))
    return [(name, float(value)) for name, value in found if not math.isnan(value)]


def _picture(png: bytes) -> Summary.Value:
    width, height = Image.open(io.BytesIO(png)).size
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    return Summary.Value(tag="picture", image=image)
