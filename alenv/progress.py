"""How far a long phase is, and what a training came to: told to whoever listens, at next to no cost.

Training, embedding and inference open a ``progress`` and advance it; at most a few times per second that tells the
listener of the process. By default this is a bar for a person at a terminal, shown only while a phase takes long;
``scenarios.play`` installs its own. Nothing here changes a result.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

INTERVAL = 0.25  # seconds between two reports
PATIENCE = 3.0  # seconds of a phase that nobody wants a bar for
IMAGES = "images"
EPOCHS = "epochs"


@dataclass(frozen=True)
class Status:
    """How far a phase is; small and picklable.

    Attributes:
        title: What is going on, for instance ``"training"``.
        unit: What is counted, such as ``"images"`` or ``"epochs"``.
        done: Units that are done; may be a fraction of one.
        total: All units; 0 where nobody knows.
        images: Images that were processed, those of all epochs together.
        seconds: Time since the phase began.
        over: Whether it has ended.
        loss: Mean training loss of the epoch so far; None where nobody knows.
    """

    title: str
    unit: str
    done: float
    total: int
    images: float
    seconds: float
    over: bool = False
    loss: float | None = None

    @property
    def left(self) -> float | None:
        """Seconds that are left at this pace, or None where that cannot be said."""
        return self.seconds * (self.total - self.done) / self.done if self.done and self.total else None

    @property
    def images_per_second(self) -> float | None:
        """Images per second, or None where none are counted."""
        return self.images / self.seconds if self.images and self.seconds else None

    def pace(self) -> str:
        """Returns images per second and time left, as far as they are known: ``"1,234 images/s, 3:20 left"``."""
        rate = self.images_per_second
        said = [f"{rate:,.0f} images/s"] if rate is not None else []
        if self.left is not None:
            minutes, seconds = divmod(round(self.left), 60)
            said.append(f"{minutes}:{seconds:02d} left")
        return ", ".join(said)

    def __str__(self) -> str:
        counted = f"{min(int(self.done) + 1, self.total):,} of {self.total:,}"
        if self.unit != EPOCHS:
            counted = f"{int(self.done):,} of {self.total:,}"
        where = f"{self.unit.removesuffix('s') if self.unit == EPOCHS else self.unit} {counted}"
        return ", ".join(part for part in (self.title, where if self.total else "", self.pace()) if part)


Listener = Callable[[Status], None]


@dataclass
class Training:
    """What the trainings of one cycle came to.

    Attributes:
        steps: Optimizer steps.
        loss: Mean training loss of the last epoch; None where nothing was trained by steps.
        accuracy: Share of its images that were classified rightly, augmented as they were trained on; or None.
        learning_rate: Learning rate of the last step; or None.
    """

    steps: int = 0
    loss: float | None = None
    accuracy: float | None = None
    learning_rate: float | None = None

    def numbers(self) -> dict[str, float]:
        """Returns what is known, by column name."""
        known = {
            "train_loss": self.loss,
            "train_accuracy": self.accuracy,
            "learning_rate": self.learning_rate,
            "optimizer_steps": self.steps or None,
        }
        return {name: float(value) for name, value in known.items() if value is not None}


class Phase:
    """One phase under way; calling it says that some units are done.

    Attributes:
        loss: Returns the mean training loss of the epoch so far, or None; asked only when somebody is told.
    """

    loss: Callable[[], float | None] = staticmethod(lambda: None)

    def __init__(self, title: str, total: int, unit: str, listener: Listener, outer: Phase | None) -> None:
        self._title, self._total, self.unit = title, total, unit
        self._listener, self._outer = listener, outer
        self._done = self._images = 0.0
        self._told = False
        self._lock = threading.Lock()  # some phases are advanced by several threads
        self._began = time.perf_counter()

    def __call__(self, count: float, images: float | None = None) -> None:
        """Counts units that are done.

        Args:
            count: How many more; fractions are fine.
            images: How many images they stand for; None = ``count`` where images are what is counted.
        """
        with self._lock:
            self._done += count
            self._images += count if images is None and self.unit == IMAGES else images or 0.0
            self.tell()

    def tell(self) -> None:
        """Tells the listener where the phase stands, unless it was told just now."""
        now = time.perf_counter()
        if now - _last.told >= INTERVAL:
            _last.told = now
            self._told = True
            self._listener(self._status(now))

    def end(self) -> None:
        """Tells the listener that the phase is over, and which one goes on, if it has heard of this one."""
        if self._told:
            self._listener(self._status(time.perf_counter(), over=True))
            if self._outer is not None and self._outer._told:
                self._listener(self._outer._status(time.perf_counter()))

    def _status(self, now: float, over: bool = False) -> Status:
        passed = now - self._began
        return Status(
            self._title, self.unit, self._done, self._total, self._images, passed, over, self.loss()
        )


class _Last:
    """When the listener of this process was told something."""

    told = 0.0


_last = _Last()


def watched() -> bool:
    """Tells whether a person sees this process's messages: a terminal, and not a worker process."""
    return sys.stderr.isatty() and multiprocessing.parent_process() is None


class Bar:
    """The default listener: a bar on stderr for a person who waits; it vanishes at the end of the phase."""

    def __init__(self) -> None:
        self._shown: tuple[Progress, TaskID] | None = None

    def __call__(self, status: Status) -> None:
        """Shows where a phase stands."""
        if status.over:
            if self._shown is not None:
                self._shown[0].stop()
            self._shown = None
        elif self._shown is not None or (status.seconds >= PATIENCE and watched()):
            shown, task = self._shown = self._shown or self._started()
            shown.update(
                task,
                description=status.title,
                completed=status.done,
                total=status.total or None,
                pace=status.pace(),
            )

    @staticmethod
    def _started() -> tuple[Progress, TaskID]:
        from rich.console import Console  # noqa: PLC0415  (`import alenv` stays light)
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415  (see above)

        columns = (
            "{task.description}",
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
        )
        shown = Progress(*columns, console=Console(stderr=True), transient=True)
        shown.start()
        return shown, shown.add_task("", pace="")


_LISTENER: ContextVar[Listener] = ContextVar("listener", default=Bar())  # noqa: B039  (one bar per process)
_CURRENT: ContextVar[Phase | None] = ContextVar("phase", default=None)
_TRAINING: ContextVar[Training | None] = ContextVar("training", default=None)


@contextmanager
def progress(title: str, total: int, unit: str = IMAGES) -> Iterator[Phase]:
    """Opens a phase, and yields what counts its units; one phase may lie within another.

    Args:
        title: What is going on; empty where nobody shall hear of it.
        total: How many units there are; 0 where nobody knows.
        unit: What is counted, such as ``"images"`` or ``"epochs"``.
    """
    outer = _CURRENT.get()
    phase = Phase(title, total, unit, _LISTENER.get() if title else lambda status: None, outer)
    token = _CURRENT.set(phase)
    try:
        phase.tell()
        yield phase
    finally:
        _CURRENT.reset(token)
        phase.end()


def advance(images: int) -> None:
    """Counts images in the phase that is open, for code that does not know which; nothing where none counts them."""
    phase = _CURRENT.get()
    if phase is not None and phase.unit == IMAGES:
        phase(images)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Lets ``listener`` hear of the phases inside the block, instead of whoever did before."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@contextmanager
def recording() -> Iterator[Training]:
    """Yields what the trainings inside the block come to; see ``training``."""
    found = Training()
    token = _TRAINING.set(found)
    try:
        yield found
    finally:
        _TRAINING.reset(token)


def training() -> Training | None:
    """Returns where the trainings of now are recorded, or None where nobody asked for that."""
    return _TRAINING.get()


@contextmanager
def hushed() -> Iterator[None]:
    """Keeps a library's own progress output off stdout, and off stderr where nobody watches."""
    seen = sys.stderr if watched() else io.StringIO()
    with contextlib.redirect_stdout(seen), contextlib.redirect_stderr(seen):
        yield
