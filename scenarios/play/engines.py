"""Where runs are played: in this process, or in several local ones. Results do not depend on which."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from scenarios.play.events import Event, Listener
from scenarios.play.run_folder import Run

_PATIENCE = 60.0  # seconds that a worker may take to finish the files it is writing
_ENDED = "ended"  # what a worker sends when it wants the next run


def play(runs: Sequence[Run], jobs: int, listener: Listener) -> None:
    """Plays all runs, ``jobs`` at a time.

    Args:
        runs: What to play, in this order.
        jobs: Processes; 1 plays in this one.
        listener: Called in this process for every event.
    """
    if jobs == 1 or len(runs) < 2:
        from scenarios.play.runner import execute  # noqa: PLC0415  (the parent of workers needs no torch)

        for run in runs:
            execute(run, listener)
        return
    _LocalProcesses(min(jobs, len(runs)), listener).play(runs)


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection[Any, Any]
    run: Run


class _LocalProcesses:
    """Fresh processes that play one run after another; one that dies fails its own run only."""

    def __init__(self, count: int, listener: Listener) -> None:
        self._count = count
        self._listener = listener
        # "spawn", not "fork": a forked child hangs once its parent has used torch, and CUDA refuses it.
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    def play(self, runs: Sequence[Run]) -> None:
        waiting = deque(runs)
        try:
            while waiting or self._workers:
                while waiting and len(self._workers) < self._count:
                    self._workers.append(self._start(waiting.popleft()))
                ready = wait([worker.connection for worker in self._workers])
                for worker in [worker for worker in self._workers if worker.connection in ready]:
                    self._receive(worker, waiting)
        finally:
            self._stop()

    def _start(self, run: Run) -> _Worker:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_work, args=(there,), daemon=True)
        process.start()
        there.close()  # so that the death of the worker ends the connection
        here.send(run)
        return _Worker(process, here, run)

    def _receive(self, worker: _Worker, waiting: deque[Run]) -> None:
        try:
            message = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            self._workers.remove(worker)
            code = worker.process.exitcode
            cause = "the system may be out of memory" if code == -signal.SIGKILL else f"exit code {code}"
            self._listener(
                Event(worker.run.name, "failed", error=f"Its process ended unexpectedly ({cause}).")
            )
            return
        if message != _ENDED:
            self._listener(message)
        elif waiting:
            worker.run = waiting.popleft()
            worker.connection.send(worker.run)
        else:
            worker.connection.send(None)
            worker.process.join()
            self._workers.remove(worker)

    def _stop(self) -> None:
        """Ends workers that are still at it; each finishes the files it is writing."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_PATIENCE)
            worker.process.kill()  # one that hears nothing; runs may end anywhere
            worker.process.join()
        self._workers.clear()


def _work(connection: Connection[Any, Any]) -> None:
    """Plays the runs that arrive until None does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_follow_parent, daemon=True).start()
    from scenarios.play.runner import execute  # noqa: PLC0415  (after the handlers: loading torch takes seconds)

    while (run := connection.recv()) is not None:
        execute(run, connection.send)
        connection.send(_ENDED)


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _follow_parent() -> None:
    """Ends this process when its parent is gone; runs may end anywhere, so no goodbye is needed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
