"""Where runs are played: in this process, in local ones, or on a Ray cluster. Results do not depend on which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alenv.errors import AlenvError, unknown
from scenarios.play.events import Listener
from scenarios.play.run_folder import Run

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Engine:
    """Where runs are played.

    Attributes:
        name: ``"local"`` (this machine) or ``"ray"`` (a cluster, which ``alenv[ray]`` is needed for).
        jobs: Runs at a time. A cluster plays as many of them as it has cores or GPUs for.
        per_gpu: Runs that share a GPU, where there are any.
        address: Of the Ray cluster; None starts one on this machine.

    Raises:
        UnknownName: There is no such engine.
        AlenvError: An address was given to an engine that has none.
    """

    name: str = "local"
    jobs: int = 1
    per_gpu: int = 1
    address: str | None = None

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise unknown("engine", self.name, ENGINES)
        if self.address is not None and self.name != "ray":
            raise AlenvError(
                f"--address {self.address} was given, the address of a Ray cluster; add --engine ray, or leave it out."
            )

    def play(self, runs: Sequence[Run], listener: Listener) -> None:
        """Plays all runs.

        Args:
            runs: What to play, in this order.
            listener: Called in this process for every event.
        """
        if self.name == "ray":
            from scenarios.play.engines.cluster import Cluster  # noqa: PLC0415  (an extra)

            Cluster(self.jobs, self.per_gpu, self.address, listener).play(runs)
        elif self.jobs == 1 or len(runs) < 2:
            from scenarios.play.runner import execute  # noqa: PLC0415  (the parent of workers needs no torch)

            for run in runs:
                execute(run, listener)
        else:
            from scenarios.play.engines.local import LocalProcesses  # noqa: PLC0415  (see above)

            LocalProcesses(min(self.jobs, len(runs)), self.per_gpu, listener).play(runs)
