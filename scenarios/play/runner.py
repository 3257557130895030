"""Plays one run: environment and agent, cycle by cycle, from wherever its folder stands."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

import agents
from alenv import core
from alenv.errors import AlenvError, LabelLeak, StorageError
from alenv.files import write_text
from alenv.progress import Status, listening, progress, recording
from scenarios.plan.arm import make_environment
from scenarios.play.board import Board
from scenarios.play.checkpoint import Checkpoint
from scenarios.play.events import Event, Listener
from scenarios.play.first_cycle import first_cycle
from scenarios.play.meta import describe
from scenarios.play.record import Record
from scenarios.play.run_folder import ADVICE, Run, RunFolder


def execute(run: Run, listener: Listener) -> None:
    """Plays a run to its end; an error becomes an event, so that other runs go on.

    A finished run is skipped. ``KeyboardInterrupt`` and ``SystemExit`` pass, after the files are whole.
    """
    try:
        if run.folder.whole(run.configuration):
            with suppress(StorageError):  # a finished folder may lie where nothing can be written
                run.folder.tidy()
            listener(Event(run.name, "skipped"))
            return
        with run.folder.locked():
            _Player(run, listener).play()
        listener(Event(run.name, "finished"))
    except (AlenvError, gym.error.Error, OSError) as error:
        listener(Event(run.name, "failed", error=one_line(error)))
    except Exception as error:  # a bug in one agent must not take the other runs with it
        listener(Event(run.name, "failed", error=_keep_traceback(run.folder, error)))


def one_line(error: Exception) -> str:
    """Returns an error's message as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _keep_traceback(folder: RunFolder, error: Exception) -> str:
    path = folder.path / "error.txt"
    write_text(path, "".join(traceback.format_exception(error)), ADVICE)
    return f"{type(error).__name__}: {one_line(error)} (traceback in {path})"


class _Player:
    """Plays a run in a folder that is locked, and tells how far it is."""

    def __init__(self, run: Run, listener: Listener) -> None:
        self._run, self._folder, self._listener = run, run.folder, listener
        self._playthrough: Playthrough | None = None
        self._board: Board | None = None

    def play(self) -> None:
        """Plays from wherever the folder stands; one that has everything but a file gets that file."""
        begun = self._folder.meta()
        with listening(self._tell):
            env = make_environment(self._run.arm, self._run.threads, render=self._run.render)
            try:
                playthrough = self._playthrough = Playthrough(self._run, env)
                meta = describe(self._run, playthrough.core)
                if begun is not None:
                    self._folder.check(begun, meta)
                record = self._folder.kept()
                if record is None:
                    self._folder.write_meta(meta)
                    with _threads(meta["threads"]):
                        self._play_cycles(playthrough)
                    playthrough.check_ledger()
                    record = playthrough.record
                else:
                    self._folder.export(record, playthrough.core.rows)
                kept = bool((begun or {}).get("weights_kept"))  # those of a finished run that lacks a file
                self._folder.close(meta, record, self._run.keep_weights or kept)
            finally:
                env.close()

    def _play_cycles(self, playthrough: Playthrough) -> None:
        with Board(self._folder.path) as board:
            self._board = board
            playthrough.open()
            first = 0
            while True:
                if self._run.render:
                    board.keep(playthrough.picture(), len(playthrough.record.curve) - 1)
                board.add(playthrough.record, first)
                self._listener(playthrough.event())
                if playthrough.finished:
                    return
                first = len(playthrough.record.curve)
                playthrough.step()

    def _tell(self, status: Status) -> None:
        """Passes on how far the cycle is that is under way."""
        found = self._playthrough
        cycle, cycles = (0, 0) if found is None else (len(found.record.curve), found.core.protocol.cycles)
        if self._board is not None:
            self._board.live(status, cycle)
        self._listener(Event(self._run.name, "phase", cycle, cycles, status=status))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Lets the agent's own arithmetic use as many threads as the environment's."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Playthrough:
    """One episode that is saved after every cycle.

    Attributes:
        record: The rows so far.
        finished: Whether the budget is spent.
    """

    def __init__(self, run: Run, env: gym.Env[Any, Any]) -> None:
        self.record = Record()
        self.finished = False
        self.core = core(env)
        self._run = run
        self._env = env
        self._agent = agents.make(run.arm.agent, **run.arm.agent_kwargs)
        if self._agent.ceiling:
            self._agent.lend(self.core)
        self._observation: Any = None

    def open(self) -> None:
        """Goes on from the run's checkpoint, or plays the first cycle."""
        saved = self._run.folder.load()
        if saved is None:
            self._observation, info, costs, tested = first_cycle(self._run, self._env)
            self._agent.reset(self.core.view, seed=self._run.seed)
            self.record.initial = [int(index) for index in self.core.view.labeled]
            self.record.add(info, self.core.test_correct, self.core.test_size, None, costs, tested)
            self._save(finished=self.core.protocol.cycles == 0)
            return
        self.record, self.finished = saved.record, saved.finished
        self._observation, _ = self._env.reset(seed=self._run.seed, options={"state": saved.env})
        self._agent.reset(self.core.view, seed=self._run.seed)
        self._agent.set_state(saved.agent)
        self._run.folder.export(self.record, self.core.rows)

    def step(self) -> None:
        """Plays one cycle and saves."""
        runtime = self.core.runtime
        runtime.forget_peak_memory()
        held, started = runtime.memory(), time.perf_counter()
        with progress("query", 0):
            action = self._agent.act(self._observation)
        seconds = time.perf_counter() - started
        scoring = {name: self.core.costs[name] for name in ("inference_seconds", "inferred_images")}
        scoring["query_peak_memory_megabytes"] = runtime.peak_memory()
        scoring["query_extra_memory_megabytes"] = max(0.0, runtime.peak_memory() - held)
        runtime.forget_peak_memory()
        with recording() as trained:
            self._observation, reward, terminated, _, info = self._env.step(action)
        self._agent.update(*agents.feedback(float(reward), info))
        self.record.queries.append([int(index) for index in info["query"]])
        costs = {**self.core.costs, **trained.numbers(), **scoring}  # the step has cleared its own scoring
        costs["query_seconds"] = seconds
        found = self.core.evaluation
        tested = None if found is None else found.as_dict()
        self.record.add(info, self.core.test_correct, self.core.test_size, float(reward), costs, tested)
        self._save(finished=terminated)

    def check_ledger(self) -> None:
        """Compares the labels that were revealed with those that were paid for.

        Raises:
            LabelLeak: They differ, so that what the run measured is worth nothing.
        """
        paid = {*self.record.initial, *(index for query in self.record.queries for index in query)}
        revealed = set(self.core.ledger.tolist())
        if paid != revealed:
            raise LabelLeak(
                f"The labels of {len(revealed - paid)} images were revealed that were not paid for, so the run counts "
                f"for nothing; mend the agent {self._run.arm.agent}, delete {self._run.folder.path}, and repeat."
            )

    def picture(self) -> NDArray[np.uint8]:
        """Returns the picture of the cycle that has just ended; the environment was made to render."""
        picture: NDArray[np.uint8] = self._env.render()  # type: ignore[assignment]  # Gymnasium says anything
        return picture

    def event(self) -> Event:
        """Describes the cycle that has just ended."""
        row = self.record.curve[-1]
        return Event(self._run.name, "cycle", row["cycle"], self.core.protocol.cycles, row["accuracy"])

    def _save(self, finished: bool) -> None:
        self.finished = finished
        state = self._agent.get_state()
        checkpoint = Checkpoint(self.record, self.core.get_state(), state, finished)
        self._run.folder.save(checkpoint, self.core.rows)
