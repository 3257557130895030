"""Shows live how the runs of a comparison get on."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from scenarios.play.events import Event


class Watch:
    """A line per running run and one for all; plain lines where the output is not a terminal."""

    def __init__(self, console: Console, names: dict[str, str]) -> None:
        """Prepares the display.

        Args:
            console: Where to show it, usually on stderr.
            names: Name of every run -> what to call it.
        """
        self._console = console
        self._names = names
        self._running: dict[str, TaskID] = {}
        self._ended = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
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
            return
        if event.kind == "edited":
            self._console.print(f"{escape(event.run)} has changed, so it is played anew", highlight=False)
            return
        if (task := self._running.pop(event.run, None)) is not None:
            self._progress.remove_task(task)
        self._ended += 1
        self._progress.advance(self._all)
        if event.kind == "failed" or not self._console.is_terminal:
            words = {"finished": "finished", "skipped": "was finished before", "failed": "failed"}[event.kind]
            count = f"[{self._ended}/{len(self._names)}]"
            self._console.print(f"{escape(count)} {escape(self._names[event.run])} {words}", highlight=False)

    def _advance(self, event: Event) -> None:
        if event.run not in self._running:
            self._running[event.run] = self._progress.add_task(
                escape(self._names[event.run]), total=event.cycles, note=""
            )
        note = f"queries, {100 * event.accuracy:.2f} %"
        self._progress.update(self._running[event.run], completed=event.cycle, note=note)
