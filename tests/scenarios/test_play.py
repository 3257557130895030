"""Runs that cannot be lost: killed, damaged, changed, locked, read-only, in one process or several."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from playthroughs import content, played, run_at, stopped_at

from alenv import core
from alenv.errors import CorruptRun, RunConflict, StorageError
from scenarios.plan.arm import Arm
from scenarios.play.checkpoint import load_archive
from scenarios.play.engines import Engine
from scenarios.play.events import Event
from scenarios.play.record import Record
from scenarios.play.run_folder import Run, RunFolder

HERE = Path(__file__).parent


def test_files_of_a_finished_run(tmp_path: Path) -> None:
    run = run_at(tmp_path)
    assert [event.kind for event in played(run)] == ["cycle"] * 5 + ["finished"]
    path = run.folder.path
    assert path.name.startswith("random-seed0-")
    lines = (path / "curve.csv").read_text().splitlines()
    assert lines[0] == "cycle,labeled_count,correct,total,accuracy,reward"
    assert lines[1].endswith(",")  # no reward at cycle 0
    for cycle, line in enumerate(lines[1:]):
        number, labeled, correct, total, accuracy, reward = line.split(",")
        assert (int(number), int(labeled)) == (cycle, 10 + 5 * cycle)
        assert float(accuracy) == int(correct) / int(total)
        assert cycle == 0 or float(reward) == float(accuracy)
    with np.load(path / "queries.npz") as queries:
        bought = np.concatenate([queries["initial"], queries["queries"].ravel()])
        assert queries["queries"].shape == (4, 5)
        assert len(np.unique(bought)) == 30
        rows = core(gym.make("fake_al:FakeAL-v0")).rows
        assert (queries["queries_rows"] == rows[queries["queries"]]).all()
    meta = json.loads((path / "meta.json").read_text())
    assert meta["finished"] is True
    assert meta["configuration"]["seed"] == 0
    assert {"torch", "numpy", "gymnasium"} <= set(meta["versions"])
    assert (path / "costs.csv").read_text().splitlines()[0].endswith("query_seconds")
    assert not list(path.glob("checkpoint*"))
    assert RunFolder(path).record() == Record.from_text((path / "record.json").read_text())
    assert list((path / "tensorboard").iterdir())


def test_a_finished_run_is_skipped_and_left_alone(tmp_path: Path) -> None:
    run = run_at(tmp_path)
    played(run)
    before = {file: file.stat().st_mtime_ns for file in run.folder.path.rglob("*")}
    assert [event.kind for event in played(run)] == ["skipped"]
    assert {file: file.stat().st_mtime_ns for file in run.folder.path.rglob("*")} == before


@pytest.mark.parametrize("cycle", [1, 2, 4])
def test_a_failed_run_goes_on_to_the_same_bytes(tmp_path: Path, cycle: int) -> None:
    whole = run_at(tmp_path / "whole")
    played(whole)
    run = stopped_at(tmp_path / "broken", cycle)
    assert "ZeroDivisionError" in (run.folder.path / "error.txt").read_text()
    events = played(run)
    assert events[0].cycle == cycle - 1  # it did not start anew
    assert events[-1].kind == "finished"
    assert content(run) == content(whole)
    assert not (run.folder.path / "error.txt").exists()


def test_killed_at_every_write_and_at_random(tmp_path: Path) -> None:
    whole = run_at(tmp_path / "whole", budget=10)
    played(whole)
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, str(HERE / "kill_loop.py"), str(tmp_path / "killed")],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30
    places = list((tmp_path / "killed").iterdir())
    assert len(places) > 25
    for place in places:
        assert content(replace(whole, out=place)) == content(whole)


@pytest.mark.slow
def test_real_runs_killed_at_random_moments(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE.parent / "kills.py"), "--kills", "12", "--seed", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("2 kills") == 6


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    whole = run_at(tmp_path / "whole")
    played(whole)
    run = stopped_at(tmp_path / "broken", 3)
    newest = run.folder.path / "checkpoint.pt"
    damaged = bytearray(newest.read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 200] = bytes(200)
    newest.write_bytes(damaged)
    events = played(run)
    assert events[0].cycle == 1  # cycle 2 was damaged
    assert content(run) == content(whole)


def test_two_damaged_checkpoints_are_an_error(tmp_path: Path) -> None:
    run = stopped_at(tmp_path, 3)
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (run.folder.path / name).write_bytes(b"nothing")
    with pytest.raises(CorruptRun, match=r"No checkpoint in .* can be read; delete the folder"):
        run.folder.load()
    assert "delete the folder" in played(run)[-1].error


def test_any_damage_to_an_archive_is_noticed(tmp_path: Path) -> None:
    state = {"weights": torch.arange(50.0), "rows": [1, 2.5, None, "x"]}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    whole = buffer.getvalue()
    path = tmp_path / "a.pt"
    path.write_bytes(whole)
    loaded = load_archive(path)
    assert loaded is not None
    randomly = random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[randomly.randrange(len(whole))] ^= 1 << randomly.randrange(8)
        path.write_bytes(damaged if randomly.random() < 0.8 else damaged[: randomly.randrange(len(whole))])
        found = load_archive(path)  # never raises; padding and dates may change without harm
        assert found is None or (
            torch.equal(found["weights"], state["weights"]) and found["rows"] == state["rows"]
        )


def test_another_configuration_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    run = run_at(tmp_path, lr=0.1)
    played(run)
    path = run.folder.path / "meta.json"
    meta = json.loads(path.read_text())
    meta["configuration"]["env_kwargs"]["lr"] = 0.2
    path.write_text(json.dumps(meta))
    with pytest.raises(RunConflict, match=r"begun with lr=0\.2, not lr=0\.1; choose another folder"):
        run.folder.finished(run.configuration)


@pytest.mark.parametrize(
    ("group", "field", "value", "said"),
    [
        ("recipe", "lr", 0.5, "lr=0.5, not lr=0.1"),
        ("dataset", "checksum", "f", "begun before the images of the dataset changed"),
        ("options", "candidates", 7, "candidates=7, not candidates=50"),
        (None, "threads", 7, "threads=7, not threads=1"),
    ],
)
def test_a_changed_default_is_refused_when_a_run_goes_on(
    tmp_path: Path, group: str | None, field: str, value: object, said: str
) -> None:
    run = stopped_at(tmp_path, 3)
    path = run.folder.path / "meta.json"
    meta = json.loads(path.read_text())
    (meta[group] if group else meta)[field] = value
    path.write_text(json.dumps(meta))
    before = content(run)
    assert said in played(run)[-1].error
    assert content(run) == before


def test_of_two_processes_one_wins(tmp_path: Path) -> None:
    run = run_at(tmp_path)
    with run.folder.locked():
        code = "import sys; from pathlib import Path; from scenarios.play.run_folder import RunFolder\n"
        code += "with RunFolder(Path(sys.argv[1])).locked(): pass"
        other = subprocess.run(
            [sys.executable, "-c", code, str(run.folder.path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "RunConflict: Another process is working on" in other.stderr
    assert played(run)[-1].kind == "finished"


def test_an_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    run = run_at(tmp_path / "file")
    with pytest.raises(StorageError, match="cannot be written"), run.folder.locked():
        pass
    assert "choose another folder with --out" in played(run)[-1].error


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, run = run_at(tmp_path / "whole"), run_at(tmp_path / "full")
    played(whole)
    flush, left = os.fsync, [9]

    def full(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "No space left on device" in played(run)[-1].error
    assert played(run)[-1].kind == "finished"
    assert content(run) == content(whole)


def test_the_first_cycle_is_computed_once(tmp_path: Path) -> None:
    counter = tmp_path / "resets"
    for label in ("a", "b"):
        for seed in range(2):
            arm = Arm(label, "fake_al:FakeAL-v0", "random", {"counter": str(counter)})
            assert played(Run(arm, seed, tmp_path / "shared"))[-1].kind == "finished"
    assert counter.read_text().split() == ["0", "1"]
    alone = run_at(tmp_path / "alone", counter=str(counter))
    played(alone)
    shared = Run(replace(alone.arm, label="b"), 0, tmp_path / "shared")
    assert content(shared) == content(alone)


def test_a_damaged_first_cycle_is_computed_again(tmp_path: Path) -> None:
    counter = tmp_path / "resets"
    played(run_at(tmp_path, counter=str(counter)))
    (first,) = (tmp_path / "first_cycles").glob("*.pt")
    first.write_bytes(first.read_bytes()[:100])
    arm = Arm("b", "fake_al:FakeAL-v0", "random", {"counter": str(counter)})
    assert played(Run(arm, 0, tmp_path))[-1].kind == "finished"
    assert counter.read_text().split() == ["0", "0"]


def runs(out: Path) -> list[Run]:
    arms = [
        Arm("plain", "fake_al:FakeAL-v0", "random"),
        Arm("margin", "fake_al:FakeAL-v0", "margin"),
        Arm("buggy", "fake_al:FakeAL-v0", "random", {"fail_at": 2}),
    ]
    return [Run(arm, seed, out, threads=1) for arm in arms for seed in range(2)]


def test_jobs_do_not_change_a_byte_and_deaths_are_contained(tmp_path: Path) -> None:
    for jobs in (1, 2):
        events: list[Event] = []
        out = tmp_path / str(jobs)
        planned = runs(out)
        if jobs == 2:
            planned.insert(1, Run(Arm("dies", "fake_al:FakeAL-v0", "random", {"die_at": 1}), 0, out))
        Engine(jobs=jobs).play(planned, events.append)
        ends = {event.run: event for event in events if event.kind not in ("cycle", "phase")}
        assert len(ends) == len(planned)
        for run in planned:
            end = ends[run.name]
            assert end.kind == ("failed" if run.arm.label in {"buggy", "dies"} else "finished")
            if run.arm.label == "dies":
                assert "Its process ended unexpectedly" in end.error
    for one, two in zip(runs(tmp_path / "1"), runs(tmp_path / "2"), strict=True):
        for name in ("curve.csv", "queries.npz"):
            assert (one.folder.path / name).read_bytes() == (two.folder.path / name).read_bytes()
