"""What is kept of runs: the record, weights and first cycles on request, events for TensorBoard, facts."""

from __future__ import annotations

import json
import math
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from command import FAKE, refuse_bytes, refuse_locks, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from alenv import core, progress
from alenv.errors import StorageError
from scenarios.plan.arm import Arm
from scenarios.plan.settling import settle
from scenarios.play import board
from scenarios.play.changes import difference
from scenarios.play.comparison import Comparison, play_comparison
from scenarios.play.comparison_folder import ComparisonFolder
from scenarios.play.engines import Engine
from scenarios.play.events import Event
from scenarios.play.record import Record, balance
from scenarios.play.run_folder import Run
from scenarios.play.runner import execute

SAME = ("curve.csv", "queries.npz")
NETWORK = {"initial_size": 40, "query_size": 20, "budget": 40, "epochs": 2}


def comparison(out: Path, *agents: str, seeds: int = 2, **more: Any) -> Comparison:
    arms = settle([Arm(agent, FAKE, agent) for agent in agents])
    return Comparison("A title", arms, tuple(range(seeds)), out, {"environment": FAKE}, (), **more)


def played(wanted: Comparison, listener: Callable[[Event], None] = lambda event: None) -> list[Run]:
    assert play_comparison(wanted, Engine(), 1, listener) == {}
    return wanted.runs(1, 1)


def execute_quietly(one: Run) -> list[Event]:
    events: list[Event] = []
    execute(one, events.append)
    return [event for event in events if event.kind != "phase"]


# ---- weights and first cycles ----


def test_a_finished_run_keeps_no_weights_and_is_shown_all_the_same(tmp_path: Path) -> None:
    base = (
        "compare",
        "ALDigits-v0",
        "--agents",
        "random,margin",
        "--seeds",
        "1",
        "--out",
        str(tmp_path / "o"),
    )
    base += ("--set", *(f"{name}={value}" for name, value in NETWORK.items()))
    code, text, _ = run(*base)
    assert code == 0
    assert not list((tmp_path / "o").rglob("*.pt"))
    size = sum(file.stat().st_size for file in (tmp_path / "o").glob("*-seed0-*/*") if file.is_file())
    assert size < 2 * 20_000  # the weights of one network alone take 100 kB
    (curve,) = (tmp_path / "o").glob("margin-seed0-*/curve.csv")
    for name in ("curve.csv", "queries.npz", "costs.csv"):
        before = (curve.parent / name).read_bytes()
        (curve.parent / name).unlink()
        assert run(*base)[:2] == (0, text)
        assert not (tmp_path / "o" / "first_cycles").exists()  # nothing was trained for it
        assert (curve.parent / name).read_bytes() == before


def test_weights_are_kept_on_request(tmp_path: Path) -> None:
    (one, _) = played(comparison(tmp_path, "random", keep_weights=True))
    saved = one.folder.load()
    assert saved is not None
    env = gym.make(FAKE, on_invalid="raise", threads=1, observe="progress")
    env.reset(options={"state": saved.env})
    assert core(env).view.cycle == 4
    assert len(list((tmp_path / "first_cycles").glob("*.pt"))) == 2
    # a later command without the wish does not take them away, not even where it writes a file again
    (one.folder.path / "curve.csv").unlink()
    played(comparison(tmp_path, "random", "margin"))
    assert (one.folder.path / "checkpoint.pt").exists()
    assert len(list((tmp_path / "first_cycles").glob("*.pt"))) == 2


def test_a_run_of_an_earlier_version_keeps_what_it_has(tmp_path: Path) -> None:
    """It has its checkpoint and no record, and does not say whether weights were asked for."""
    (one, _) = played(comparison(tmp_path, "random", keep_weights=True))
    path, record = one.folder.path, one.folder.record()
    (path / "record.json").unlink()
    meta = json.loads((path / "meta.json").read_text())
    del meta["weights_kept"]
    (path / "meta.json").write_text(json.dumps(meta))
    assert one.folder.record() == record
    before = (path / "curve.csv").read_bytes()
    (path / "curve.csv").unlink()
    assert [event.kind for event in execute_quietly(one)] == ["cycle", "finished"]
    assert (path / "curve.csv").read_bytes() == before


def test_a_later_agent_trains_the_first_cycle_again_to_the_same_bytes(tmp_path: Path) -> None:
    played(comparison(tmp_path / "o", "random", "margin"))
    assert not (tmp_path / "o" / "first_cycles").exists()
    later = played(comparison(tmp_path / "o", "entropy", seeds=3))
    assert not (tmp_path / "o" / "first_cycles").exists()
    fresh = played(comparison(tmp_path / "fresh", "entropy", seeds=3))
    for one, other in zip(later, fresh, strict=True):
        for name in SAME:
            assert (one.folder.path / name).read_bytes() == (other.folder.path / name).read_bytes()


def test_first_cycles_stay_while_a_run_may_need_them(tmp_path: Path) -> None:
    arms = settle([Arm("bad", FAKE, "random", {"fail_at": 1}), Arm("good", FAKE, "random")])
    broken = Comparison("A title", arms, (0,), tmp_path, {}, ())
    assert len(play_comparison(broken, Engine(), 1, lambda event: None)) == 1
    assert list((tmp_path / "first_cycles").glob("*.pt"))


def test_first_cycles_stay_while_another_command_plays(tmp_path: Path) -> None:
    folder = ComparisonFolder(tmp_path)
    (tmp_path / ".playing-dead").touch()  # of a process that was killed
    other = []

    def listener(event: Event) -> None:
        if not other:
            with folder.held():
                other.append(folder.enter())

    played(comparison(tmp_path, "random"), listener)
    assert list((tmp_path / "first_cycles").glob("*.pt"))
    folder.leave(other[0])
    assert not (tmp_path / "first_cycles").exists()
    assert not list(tmp_path.glob(".playing-*"))


def test_a_run_that_was_killed_while_it_tidied_up_is_tidied(tmp_path: Path) -> None:
    (one, _) = played(comparison(tmp_path, "random"))
    before = {name: (one.folder.path / name).read_bytes() for name in SAME}
    (one.folder.path / "checkpoint.pt").write_bytes(b"left behind")
    assert [event.kind for event in execute_quietly(one)] == ["skipped"]
    assert not (one.folder.path / "checkpoint.pt").exists()
    meta = json.loads((one.folder.path / "meta.json").read_text())
    meta["finished"] = False  # killed before that
    (one.folder.path / "meta.json").write_text(json.dumps(meta))
    assert [event.kind for event in execute_quietly(one)] == ["finished"]
    assert {name: (one.folder.path / name).read_bytes() for name in SAME} == before


def test_a_damaged_record_is_noticed() -> None:
    record = Record([{"cycle": 0, "accuracy": 0.1, "reward": None}], [{"cycle": 0.0}], [1], [[2, 3]])
    text = record.text()
    assert Record.from_text(text) == record
    for damaged in (text[:-3], text.replace("0.1", "0.2"), "{}", "[1]", ""):
        with pytest.raises(ValueError, match=r".*"):
            Record.from_text(damaged)


# ---- TensorBoard ----


def events(one: Run) -> EventAccumulator:
    found = EventAccumulator(str(one.folder.path / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    found.Reload()
    return found


def test_tensorboard_shows_training_queries_seconds_memory_and_pictures(tmp_path: Path) -> None:
    one = Run(Arm("a", "ALDigits-v0", "margin", NETWORK), 0, tmp_path, 1, render=True)
    execute_quietly(one)
    found = events(one)
    every = {"accuracy", "class_balance/labeled", "class_balance/query", "peak_memory_megabytes/training"}
    every |= {f"training/{name}" for name in ("loss", "accuracy", "learning_rate", "optimizer_steps")}
    every |= {f"seconds/{name}" for name in ("training", "evaluation", "inference")}
    later = {"reward", "seconds/query", "peak_memory_megabytes/query"}
    assert set(found.Tags()["scalars"]) == every | later
    for tag in every | later:
        assert [event.step for event in found.Scalars(tag)] == ([40, 60, 80] if tag in every else [60, 80])
    assert [event.value for event in found.Scalars("training/optimizer_steps")] == [
        row["optimizer_steps"]
        for row in one.folder.record().costs  # type: ignore[union-attr]  # it has finished
    ]
    assert [event.step for event in found.Images("picture")] == [40, 60, 80]
    assert found.Images("picture")[0].encoded_image_string.startswith(b"\x89PNG")
    assert len(list((one.folder.path / "render").iterdir())) == 3


def test_tensorboard_shows_a_training_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "LIVE", 0.0)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    one = Run(Arm("a", "ALDigits-v0", "margin", {**NETWORK, "budget": 20, "batch_size": 20}), 0, tmp_path, 1)
    assert execute_quietly(one)[-1].kind == "finished"
    found = events(one)
    # Two steps an epoch with 40 labels, three with 60: a look after each, and one before the first.
    epochs = [0, 0.5, 1, 1.5, 2, 0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2]
    assert [event.value for event in found.Scalars("now/epoch")] == pytest.approx(epochs)
    steps = [0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4]
    assert [event.step for event in found.Scalars("now/epoch")] == steps
    losses = [event.value for event in found.Scalars("now/loss")]
    assert len(losses) == len(steps) - 2
    shown = [event.value for event in found.Scalars("training/loss")]
    assert shown == pytest.approx([losses[3], losses[-1]])


def test_a_training_goes_on_where_its_progress_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, events: Any) -> None:
        raise StorageError("No space left on device.")

    monkeypatch.setattr(board, "LIVE", 0.0)
    with board.Board(tmp_path) as shown:
        monkeypatch.setattr(board.Board, "_write", full)
        shown.live(progress.Status("training", progress.EPOCHS, 1, 2, 10, 1.0), 0)


def test_a_run_that_goes_on_shows_every_cycle_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Run(Arm("a", FAKE, "random"), 0, tmp_path, 1, render=True)
    step, left = type(core(gym.make(FAKE))).step, [2]

    def stopping(self: Any, action: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise ZeroDivisionError("stopped")
        return step(self, action)

    with monkeypatch.context() as patch:
        patch.setattr(type(core(gym.make(FAKE))), "step", stopping)
        assert execute_quietly(one)[-1].kind == "failed"
    assert execute_quietly(one)[-1].kind == "finished"
    found = events(one)
    for tag in ("accuracy", "class_balance/query", "seconds/training"):
        assert [event.step for event in found.Scalars(tag)] == [10, 15, 20, 25, 30], tag
    assert [event.step for event in found.Images("picture")] == [10, 15, 20, 25, 30]


def test_pictures_change_no_result(tmp_path: Path) -> None:
    runs = [
        Run(Arm("a", FAKE, "random"), 0, tmp_path / str(render), 1, render=render) for render in (True, False)
    ]
    for one in runs:
        assert execute_quietly(one)[-1].kind == "finished"
    for name in SAME:
        assert (runs[0].folder.path / name).read_bytes() == (runs[1].folder.path / name).read_bytes()
    assert not (runs[1].folder.path / "render").exists()
    assert runs[0].name == runs[1].name


def test_a_full_disk_is_one_error_and_no_traceback_of_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made, before = board.RecordWriter, threading.active_count()

    def full(file: Any) -> Any:
        file.close()
        return made(open("/dev/full", "wb"))

    monkeypatch.setattr(board, "RecordWriter", full)
    with pytest.raises(StorageError, match="No space left on device"):
        board.Board(tmp_path)
    assert threading.active_count() == before
    said = execute_quietly(Run(Arm("a", FAKE, "random"), 0, tmp_path / "o", 1))[-1].error
    assert "tensorboard cannot be written (No space left on device); free some space" in said
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("counts", "even"), [([5, 5], 1.0), ([9, 0], 0.0), ([0, 0, 0], math.nan), ([4], 0.0), ([1, 1, 0, 0], 0.5)]
)
def test_class_balance(counts: list[int], even: float) -> None:
    assert balance(np.array(counts)) == pytest.approx(even, nan_ok=True)


# ---- facts ----


def test_meta_says_what_was_spent_and_on_what(tmp_path: Path) -> None:
    one = Run(Arm("a", "ALDigits-v0", "random", {**NETWORK, "validation": 100}), 0, tmp_path, 1)
    execute_quietly(one)
    meta = json.loads((one.folder.path / "meta.json").read_text())
    lines = (one.folder.path / "costs.csv").read_text().splitlines()
    position = lines[0].split(",").index("optimizer_steps")
    assert meta["optimizer_steps"] == sum(float(line.split(",")[position]) for line in lines[1:]) > 0
    assert meta["peak_memory_megabytes"] > 10
    assert meta["code"]["alenv"] == "0.1.0"
    assert len(meta["code"]["sha256"]) == 64
    assert meta["images"] == {
        "dataset": "digits",
        "class_names": [str(digit) for digit in range(10)],
        **{"height": 8, "width": 8, "channels": 1},
        **{"pool": 1197, "test": 500, "validation": 100},
    }


def test_other_code_is_no_other_run(tmp_path: Path) -> None:
    (one, _) = played(comparison(tmp_path, "random"))
    path = one.folder.path / "meta.json"
    meta = json.loads(path.read_text())
    meta["code"]["sha256"] = "other"
    path.write_text(json.dumps(meta))
    assert [event.kind for event in execute_quietly(one)] == ["skipped"]


# ---- what changed ----


def test_changes_are_said_in_words() -> None:
    def arm(settings: dict[str, Any], **content: str) -> dict[str, Any]:
        names = {name.replace("__", "/"): digest for name, digest in content.items()}
        return {"a": {"env_kwargs": settings, "content": names}}

    file = {"embedding": "/x/e.npy", "pretraining": "/x/w.pt"}
    for name, said in {
        "dataset": "the images of the dataset",
        "embedding": "embedding file e.npy",
        "pretraining": "weights file w.pt",
        "policy__weights.pt": "the policy",
        "head__mine.py": "the code of the head in mine.py",
    }.items():
        before, now = arm(file, **{name: 64 * "0"}), arm(file, **{name: 64 * "1"})
        assert difference(before, now, "arms") == f"begun before {said} changed"
        assert difference(before, before, "arms") is None
    other = arm({"embedding": "/x/f.npy"}, embedding=64 * "1")
    found = difference(arm({"embedding": "/x/e.npy"}, embedding=64 * "0"), other, "arms")
    assert found == "begun with embedding='/x/e.npy', not embedding='/x/f.npy'"
    assert difference({"lr": 1}, {}, "x") == "begun with lr=1, not lr unset"


def test_changed_images_are_said_in_words(tmp_path: Path, image_folder: Path) -> None:
    root = tmp_path / "2024"
    subprocess.run(["cp", "-r", str(image_folder), str(root)], check=True)
    base = (
        "compare",
        "ALImageFolderRidge-v0",
        "--agents",
        "random",
        "--seeds",
        "1",
        "--out",
        str(tmp_path / "o"),
    )
    base += (
        "--set",
        "root=2024",
        "initial_size=4",
        "query_size=4",
        "budget=4",
        "validation=0",
        "embedding=pixels",
    )
    code, _, err = run(*base)  # the folder's name looks like a number
    assert code == 0, err
    files = sorted((root / "train").rglob("*.png"))
    files[0].write_bytes(files[-1].read_bytes())
    code, _, err = run(*base)
    assert code == 2
    assert "were begun before the images of the dataset changed; choose another folder with --out" in err


# ---- finished folders that cannot be written ----


@pytest.mark.parametrize("refuse", [refuse_locks, refuse_bytes])
def test_a_finished_comparison_is_shown_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse: Callable[[pytest.MonkeyPatch], str]
) -> None:
    base = ("compare", FAKE, "--agents", "margin,random", "--out", str(tmp_path / "o"), "--seeds")
    code, text, _ = run(*base, "2")
    assert code == 0
    reason = refuse(monkeypatch)
    code, shown, err = run(*base, "2")
    assert code == 1
    assert text.startswith(shown)
    assert "undecided" in shown
    assert f"cannot be written ({reason}); the pictures, tables and report.html stay as they" in err
    assert " failed" not in err
    code, shown, err = run(*base, "3")  # a run is missing, and cannot be played
    assert (code, shown) == (2, "")
    assert f"cannot be written ({reason}); free some space or choose another folder with --out" in err
    assert "begun with budget unset, not budget=5" in run(*base, "2", "--set", "budget=5")[2]


def test_a_picture_that_cannot_be_drawn_hides_no_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scenarios.report import report

    def broken(*arguments: Any) -> None:
        raise OSError("a font is missing")

    monkeypatch.setattr(report, "draw", broken)
    code, _, err = run(
        "compare", FAKE, "--agents", "random,margin@fail_at=1", "--seeds", "1", "--out", str(tmp_path)
    )
    assert code == 2
    assert "margin@fail_at=1 seed 0 failed: ZeroDivisionError: a bug in the fake" in err
    assert "a font is missing" in err
