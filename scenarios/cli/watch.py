"""Shows live how the runs of a comparison get on."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from alenv.progress import Status
from scenarios.play.events import Event

EVERY = 30.0  # seconds of one phase between two lines in a pipe


class Watch:
    """Two lines per running run and one for all; plain lines where the output is not a terminal.

    The second line of a run is the phase that it is in: training, evaluation, the query and what that needs.
    """

    def __init__(self, console: Console, names: dict[str, str]) -> None:
        """Prepares the display.

        Args:
            console: Where to show it, usually on stderr.
            names: Name of every run -> what to call it.
        """
        self._console = console
        self._names = names
        self._running: dict[str, TaskID] = {}
        self._phases: dict[str, TaskID] = {}
        self._said: dict[str, Status] = {}  # the phase of each run that a line was printed of
        self._ended = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(10),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._all = self._progress.add_task("all runs", total=len(names), note="")

    def __enter__(self) -> Watch:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Shows one event."""
        if event.kind == "cycle":
            self._advance(event)
        elif event.status is not None:
            self._show(event, event.status)
        elif event.kind == "edited":
            self._console.print(f"{escape(event.run)} has changed, so it is played anew", highlight=False)
        else:
            self._end(event)

    def _advance(self, event: Event) -> None:
        self._leave_phase(event.run)
        self._said.pop(event.run, None)
        note = f"queries, {100 * event.accuracy:.2f} %"
        self._progress.update(self._line(event), total=event.cycles, completed=event.cycle, note=note)

    def _line(self, event: Event) -> TaskID:
        """Returns the line of a run; a run that has none yet gets one."""
        if event.run not in self._running:
            name = escape(self._names[event.run])
            self._running[event.run] = self._progress.add_task(name, total=event.cycles or None, note="")
        return self._running[event.run]

    def _show(self, event: Event, status: Status) -> None:
        """Shows how far the phase of a run is."""
        if not self._console.is_terminal:
            self._say(event, status)
            return
        if status.over:
            self._leave_phase(event.run)
            return
        self._line(event)
        if event.run not in self._phases:
            self._phases[event.run] = self._progress.add_task("", note="")
        note = ", ".join(part for part in (status.unit if status.total else "", status.pace()) if part)
        self._progress.update(
            self._phases[event.run],
            description=f"  {escape(status.title)}",
            completed=status.done,
            total=status.total or None,
            note=note,
        )

    def _leave_phase(self, run: str) -> None:
        if (task := self._phases.pop(run, None)) is not None:
            self._progress.remove_task(task)

    def _say(self, event: Event, status: Status) -> None:
        """Prints a line of a phase that goes on for long, now and then."""
        before = self._said.get(event.run)
        same = before is not None and before.title == status.title and before.seconds <= status.seconds
        if status.over or status.seconds - (before.seconds if before and same else 0.0) < EVERY:
            return
        self._said[event.run] = status
        cycle = f", cycle {event.cycle} of {event.cycles}" if event.cycles else ""
        said = f"{self._names[event.run]}{cycle}: {status}"
        self._console.print(escape(said), highlight=False, soft_wrap=True)

    def _end(self, event: Event) -> None:
        self._leave_phase(event.run)
        if (task := self._running.pop(event.run, None)) is not None:
            self._progress.remove_task(task)
        self._ended += 1
        self._progress.advance(self._all)
        if event.kind == "failed" or not self._console.is_terminal:
            words = {"finished": "finished", "skipped": "was finished before", "failed": "failed"}[event.kind]
            count = f"[{self._ended}/{len(self._names)}]"
            self._console.print(f"{escape(count)} {escape(self._names[event.run])} {words}", highlight=False)
