"""What a person sees of runs that take long, on a terminal and in a pipe."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from alenv.progress import EPOCHS, IMAGES, Status
from scenarios.cli.watch import Watch
from scenarios.plan.arm import Arm
from scenarios.play.engines import Engine
from scenarios.play.events import Event
from scenarios.play.run_folder import Run


def phase(status: Status, cycle: int = 3, run: str = "a") -> Event:
    return Event(run, "phase", cycle, 10, status=status)


def training(seconds: float, done: float = 12.5) -> Status:
    return Status("training", EPOCHS, done, 200, 6200, seconds)


def watch(terminal: bool) -> tuple[Watch, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=80)
    return Watch(console, {"a": "margin seed 0", "b": "random seed 0"}), out


def lines(shown: Watch) -> list[tuple[str, str]]:
    return [(task.description, task.fields["note"]) for task in shown._progress.tasks]


def test_a_terminal_shows_the_phase_of_every_run() -> None:
    shown, out = watch(terminal=True)
    with shown:
        shown(phase(training(10.0), cycle=0))
        shown(phase(Status("inference", IMAGES, 512, 50_000, 512, 0.5), run="b"))
        assert lines(shown) == [
            ("all runs", ""),
            ("margin seed 0", ""),
            ("  training", "epochs, 620 images/s, 2:30 left"),
            ("random seed 0", ""),
            ("  inference", "images, 1,024 images/s, 0:48 left"),
        ]
        shown(Event("a", "cycle", 0, 10, 0.5))
        assert ("margin seed 0", "queries, 50.00 %") in lines(shown)
        assert ("  training", "epochs, 620 images/s, 2:30 left") not in lines(shown)
        shown(phase(Status("query", IMAGES, 0, 0, 0, 0.0)))
        assert ("  query", "") in lines(shown)
        shown(phase(Status("query", IMAGES, 0, 0, 0, 1.0, over=True)))
        assert ("  query", "") not in lines(shown)
        shown(Event("a", "finished"))
        assert [name for name, _ in lines(shown)] == ["all runs", "random seed 0", "  inference"]
        shown._progress.refresh()
    text = out.getvalue()
    assert "512/50000" in text
    assert "48 left" in text
    assert "…" not in text


def test_a_pipe_gets_a_line_now_and_then() -> None:
    shown, out = watch(terminal=False)
    with shown:
        for seconds in range(100):  # a report per second
            shown(phase(training(float(seconds), done=seconds / 2)))
        shown(phase(training(100.0, done=50.0)))
        shown(Event("a", "cycle", 3, 10, 0.5))
        for seconds in range(40):
            shown(phase(training(float(seconds), done=seconds / 2), cycle=4))
        shown(phase(training(40.0), run="b", cycle=1))
    assert out.getvalue().splitlines() == [
        "margin seed 0, cycle 3 of 10: training, epoch 16 of 200, 207 images/s, 6:10 left",
        "margin seed 0, cycle 3 of 10: training, epoch 31 of 200, 103 images/s, 5:40 left",
        "margin seed 0, cycle 3 of 10: training, epoch 46 of 200, 69 images/s, 5:10 left",
        "margin seed 0, cycle 4 of 10: training, epoch 16 of 200, 207 images/s, 6:10 left",
        "random seed 0, cycle 1 of 10: training, epoch 13 of 200, 155 images/s, 10:00 left",
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_phases_of_runs_are_heard_from_workers_too(tmp_path: Path, jobs: int) -> None:
    settings = {"initial_size": 400, "query_size": 20, "budget": 20, "epochs": 30}
    runs = [Run(Arm("a", "ALDigits-v0", "margin", settings), seed, tmp_path, threads=1) for seed in range(2)]
    events: list[Event] = []
    Engine(jobs=jobs).play(runs, events.append)
    assert [event.kind for event in events if event.kind != "phase"].count("finished") == 2
    for run in runs:
        heard = [event for event in events if event.run == run.name and event.status is not None]
        trained = [event for event in heard if event.status is not None and event.status.title == "training"]
        assert {event.cycle for event in trained} == {0, 1}
        assert {event.cycles for event in trained} == {1}
        assert any(event.status is not None and event.status.over for event in trained)
        assert len(heard) < 200  # a few per second
