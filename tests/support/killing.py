"""Runs in processes of their own that may be killed at any moment."""

from __future__ import annotations

import os
from collections.abc import Callable

from scenarios.play.run_folder import Run
from scenarios.play.runner import execute


def child(run: Run, before: Callable[[], object] = lambda: None) -> int:
    """Forks a process that plays the run after ``before()``, and returns its id.

    The process that calls this must have given torch one thread.
    """
    if (pid := os.fork()) == 0:
        before()
        execute(run, lambda event: os._exit(9) if event.kind == "failed" else None)
        os._exit(0)
    return pid


def killed(pid: int) -> bool:
    """Waits for a child and tells whether it was killed; anything else but success ends this program."""
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, status
    return False
