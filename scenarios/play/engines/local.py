"""Plays runs in several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from scenarios.play.events import Event, Listener
from scenarios.play.run_folder import Run

_PATIENCE = 60.0  # seconds that a worker may take to finish the files it is writing
VISIBLE = "CUDA_VISIBLE_DEVICES"
_ENDED = "ended"  # what a worker sends when it wants the next run


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection[Any, Any]
    run: Run
    gpu: str | None


class LocalProcesses:
    """Fresh processes that play one run after another; one that dies fails its own run only."""

    def __init__(self, count: int, per_gpu: int, listener: Listener) -> None:
        self._count = count
        self._listener = listener
        self._gpus = _Places(visible_gpus(), per_gpu)
        # "spawn", not "fork": a forked child hangs once its parent has used torch, and CUDA refuses it.
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    def play(self, runs: Sequence[Run]) -> None:
        """Plays all runs, as many at a time as there are processes."""
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
        gpu = self._gpus.take()
        with _environment(VISIBLE, gpu):
            process.start()
        there.close()  # so that the death of the worker ends the connection
        here.send(run)
        return _Worker(process, here, run, gpu)

    def _receive(self, worker: _Worker, waiting: deque[Run]) -> None:
        try:
            message = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            self._forget(worker)
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
            self._forget(worker)

    def _forget(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        self._gpus.give_back(worker.gpu)

    def _stop(self) -> None:
        """Ends workers that are still at it; each finishes the files it is writing."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_PATIENCE)
            worker.process.kill()  # one that hears nothing; runs may end anywhere
            worker.process.join()
        self._workers.clear()


class _Places:
    """Shares GPUs out among processes, the one with fewest of them first."""

    def __init__(self, gpus: Sequence[str], per_gpu: int) -> None:
        self._free = dict.fromkeys(gpus, per_gpu)

    def take(self) -> str | None:
        """Returns the GPU of the next process; None without any."""
        if not self._free:
            return None
        gpu = max(self._free, key=lambda name: self._free[name])
        self._free[gpu] -= 1  # below zero where there are more jobs than places: they share all alike
        return gpu

    def give_back(self, gpu: str | None) -> None:
        if gpu is not None:
            self._free[gpu] += 1


def visible_gpus() -> list[str]:
    """Names the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` does."""
    named = os.environ.get(VISIBLE)
    if named is not None:
        return [name for name in named.split(",") if name.strip()]
    import torch  # noqa: PLC0415  (only where nothing says it)

    return [str(number) for number in range(torch.cuda.device_count())]


@contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    """Sets an environment variable that a process started meanwhile inherits; None leaves it as it is."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if value is not None:
            del os.environ[name]
            if before is not None:
                os.environ[name] = before


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
