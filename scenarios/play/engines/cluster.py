"""Plays runs on a Ray cluster; a run whose machine is lost goes on elsewhere from its checkpoint.

The folder of the runs must lie where every machine sees it under the same path, and alenv be installed on each.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from alenv.errors import AlenvError
from scenarios.play.events import Event, Listener
from scenarios.play.run_folder import Run

RETRIES = 5  # machines that may be lost under one run
PATIENCE = 0.2  # seconds between two looks at what has come in
_PACE = 0.5  # seconds between two reports of a run on how far its cycle is


class Cluster:
    """Runs as Ray tasks: each takes its threads as cores, and a share of a GPU where the cluster has any."""

    def __init__(self, jobs: int, per_gpu: int, address: str | None, listener: Listener) -> None:
        """Takes what ``Engine`` has.

        Raises:
            AlenvError: Ray is not installed.
        """
        try:
            import ray  # noqa: PLC0415  (an extra)
        except ImportError as problem:
            raise AlenvError(
                f'--engine ray needs a package that is not installed ({problem}); run: pip install "alenv[ray]".'
            ) from problem
        self._ray: Any = ray
        self._jobs, self._per_gpu, self._address, self._listener = jobs, per_gpu, address, listener

    def play(self, runs: Sequence[Run]) -> None:
        """Plays all runs; a cluster that this has started ends with it.

        Raises:
            AlenvError: There is no cluster at the address.
        """
        own = not self._ray.is_initialized()
        if own:
            self._connect()
        try:
            self._play(runs)
        finally:
            if own:
                self._ray.shutdown()

    def _connect(self) -> None:
        settings: dict[str, Any] = {"include_dashboard": False} if self._address is None else {}
        try:
            self._ray.init(
                address=self._address or "local", log_to_driver=False, logging_level="error", **settings
            )
        except (ConnectionError, ValueError, TimeoutError, RuntimeError) as problem:
            reason = " ".join(str(problem).split())
            raise AlenvError(
                f"--address {self._address} leads to no Ray cluster ({reason}); start one with `ray start --head`, "
                "or leave it out."
            ) from problem

    def _play(self, runs: Sequence[Run]) -> None:
        from ray.util.queue import Queue  # noqa: PLC0415  (an extra)

        mailbox = Queue(actor_options={"num_cpus": 0})
        waiting, tasks = deque(runs), dict[Any, Run]()
        try:
            while waiting or tasks:
                while waiting and len(tasks) < self._jobs:
                    run = waiting.popleft()
                    tasks[self._start(run, mailbox)] = run
                ended, _ = self._ray.wait(list(tasks), num_returns=1, timeout=PATIENCE)
                self._pass_on(mailbox)
                for task in ended:
                    self._end(task, tasks.pop(task))
            self._pass_on(mailbox)
        finally:
            for task in tasks:
                self._ray.cancel(task, force=False)  # as Ctrl-C: the files of a run are whole first
            self._ray.wait(list(tasks), num_returns=len(tasks), timeout=60.0) if tasks else None
            mailbox.shutdown()

    def _start(self, run: Run, mailbox: Any) -> Any:
        """Hands a run to the cluster, which may wait for a free core."""
        gpus = self._ray.cluster_resources().get("GPU", 0)
        needs = {"num_cpus": run.threads or 1, **({"num_gpus": 1 / self._per_gpu} if gpus else {})}
        task = self._ray.remote(max_retries=RETRIES, retry_exceptions=False, **needs)(_play_one)
        there = replace(run, out=run.out.absolute())
        return task.remote(there, mailbox, os.getcwd(), os.environ.get("PYTHONPATH", ""))

    def _pass_on(self, mailbox: Any) -> None:
        if count := mailbox.qsize():
            for event in mailbox.get_nowait_batch(count):
                self._listener(event)

    def _end(self, task: Any, run: Run) -> None:
        """Reports a run that could not be played to its end anywhere."""
        try:
            self._ray.get(task)
        except self._ray.exceptions.RayError as problem:
            cause = " ".join(str(problem).split())[:300]
            self._listener(
                Event(run.name, "failed", error=f"Its process ended unexpectedly on the cluster ({cause}).")
            )


def _play_one(run: Run, mailbox: Any, folder: str, search_path: str) -> None:
    """Plays a run on whatever machine this is, from the folder that the command was given in."""
    import sys  # noqa: PLC0415  (of the other machine)

    sys.path[:0] = [place for place in search_path.split(os.pathsep) if place and place not in sys.path]
    if os.path.isdir(folder):
        os.chdir(folder)
    from scenarios.play.runner import execute  # noqa: PLC0415  (after the search path)

    execute(run, _paced(mailbox.put))


def _paced(send: Callable[[Event], Any]) -> Listener:
    """Sends events, of those on how far a cycle is only one in a while: each is a message over the network."""
    last = -float("inf")

    def listen(event: Event) -> None:
        nonlocal last
        now = time.monotonic()
        if event.kind != "phase" or now - last >= _PACE:
            last = now
            send(event)

    return listen
