"""Plays one run: environment and agent, cycle by cycle, from wherever its folder stands."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import torch

import agents
from alenv import core
from alenv.errors import AlenvError, LabelLeak
from alenv.files import write_text
from scenarios.plan.arm import make_environment
from scenarios.play.board import Board
from scenarios.play.events import Event, Listener
from scenarios.play.first_cycle import first_cycle
from scenarios.play.meta import describe
from scenarios.play.record import Record
from scenarios.play.run_folder import ADVICE, Checkpoint, Run, RunFolder


def execute(run: Run, listener: Listener) -> None:
    """Plays a run to its end; an error becomes an event, so that other runs go on.

    A finished run is skipped. ``KeyboardInterrupt`` and ``SystemExit`` pass, after the files are whole.
    """
    try:
        if run.folder.finished(run.configuration):
            listener(Event(run.name, "skipped"))
            return
        with run.folder.locked():
            _play(run, listener)
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


def _play(run: Run, listener: Listener) -> None:
    folder = run.folder
    begun = folder.meta()
    env = make_environment(run.arm, run.threads)
    try:
        playthrough = Playthrough(run, env)
        meta = describe(run, playthrough.core)
        if begun is not None:
            folder.check(begun, meta)
        folder.write_meta(meta)
        with _threads(meta["threads"]), Board(folder.path) as board:
            playthrough.open()
            board.add(playthrough.record.curve)
            listener(playthrough.event())
            while not playthrough.finished:
                playthrough.step()
                board.add(playthrough.record.curve[-1:])
                listener(playthrough.event())
        playthrough.check_ledger()
        folder.close(meta)
    finally:
        env.close()


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
        self._observation: Any = None

    def open(self) -> None:
        """Goes on from the run's checkpoint, or plays the first cycle."""
        saved = self._run.folder.load()
        if saved is None:
            self._observation, info, costs = first_cycle(self._run, self._env)
            self._agent.reset(self.core.view, seed=self._run.seed)
            self.record.initial = [int(index) for index in self.core.view.labeled]
            self.record.add(info, self.core.test_correct, self.core.test_size, None, costs)
            self._save(finished=self.core.protocol.cycles == 0)
            return
        self.record, self.finished = saved.record, saved.finished
        self._observation, _ = self._env.reset(seed=self._run.seed, options={"state": saved.env})
        self._agent.reset(self.core.view, seed=self._run.seed)
        self._agent.set_state(saved.agent)
        self._run.folder.export(self.record, self.core.rows)

    def step(self) -> None:
        """Plays one cycle and saves."""
        started = time.perf_counter()
        action = self._agent.act(self._observation)
        seconds = time.perf_counter() - started
        scoring = {name: self.core.costs[name] for name in ("inference_seconds", "inferred_images")}
        self._observation, reward, terminated, _, info = self._env.step(action)
        self._agent.update(*agents.feedback(float(reward), info))
        self.record.queries.append([int(index) for index in info["query"]])
        costs = {**self.core.costs, **scoring, "query_seconds": seconds}  # the step has cleared its own
        self.record.add(info, self.core.test_correct, self.core.test_size, float(reward), costs)
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

    def event(self) -> Event:
        """Describes the cycle that has just ended."""
        row = self.record.curve[-1]
        return Event(self._run.name, "cycle", row["cycle"], self.core.protocol.cycles, row["accuracy"])

    def _save(self, finished: bool) -> None:
        self.finished = finished
        state = self._agent.get_state()
        checkpoint = Checkpoint(self.record, self.core.get_state(), state, finished)
        self._run.folder.save(checkpoint, self.core.rows)
