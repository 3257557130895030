"""What a run tells whoever watches it; small and picklable, so that it crosses process borders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alenv.progress import Status


@dataclass(frozen=True)
class Event:
    """One thing that happened to a run.

    Attributes:
        run: Name of the run; the arm's label for ``"edited"``.
        kind: ``"cycle"`` (a cycle has ended), ``"phase"`` (a long phase of a cycle goes on or is over),
            ``"finished"``, ``"skipped"`` (it was finished before), ``"failed"``, or ``"edited"`` (the arm's own
            code has changed, so its runs are played anew).
        cycle: The cycle that has ended; that is under way, for a phase.
        cycles: Queries per episode (T); 0 where the environment is still being made.
        accuracy: Test accuracy in [0, 1] after that cycle.
        error: One sentence, for a failed run.
        status: How far the phase is, for a phase.
    """

    run: str
    kind: str
    cycle: int = 0
    cycles: int = 0
    accuracy: float = 0.0
    error: str = ""
    status: Status | None = None


Listener = Callable[[Event], None]
