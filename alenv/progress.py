"""A progress bar for whoever is watching, and silence for everybody else."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def watched() -> bool:
    """Tells whether a person sees this process's messages: a terminal, and not a worker process."""
    return sys.stderr.isatty() and multiprocessing.parent_process() is None


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function that advances a bar on the terminal; the bar vanishes at the end.

    Args:
        title: What is going on; empty for no bar.
        total: How many units there are.
    """
    if not title or not watched():
        yield lambda count: None
        return
    from rich.console import Console  # noqa: PLC0415  (`import alenv` stays light)
    from rich.progress import Progress  # noqa: PLC0415  (`import alenv` stays light)

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.update(task, advance=count)


@contextmanager
def hushed() -> Iterator[None]:
    """Keeps a library's own progress output off stdout, and off stderr where nobody watches."""
    seen = sys.stderr if watched() else io.StringIO()
    with contextlib.redirect_stdout(seen), contextlib.redirect_stderr(seen):
        yield
