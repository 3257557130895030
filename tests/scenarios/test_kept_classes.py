"""What runs keep of the test set by class, and folders that an earlier version has left."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from command import FAKE, run
from playthroughs import content, played, run_at, stopped_at

from alenv import core
from scenarios.plan.arm import Arm
from scenarios.play.checkpoint import load_archive
from scenarios.play.record import Record
from scenarios.play.run_folder import Run

KEPT = ("class_correct", "class_total", "nll")


def rows_of(one: Run) -> list[dict[str, Any]]:
    record = one.folder.record()
    assert record is not None
    return record.curve


def table(one: Run) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((one.folder.path / "classes.csv").read_text())))


def forget(record: dict[str, Any]) -> dict[str, Any]:
    """Returns a record as an earlier version has kept it."""
    rows = [{name: value for name, value in row.items() if name not in KEPT} for row in record["curve"]]
    return {**record, "curve": rows}


def test_a_run_keeps_what_its_environment_says(tmp_path: Path) -> None:
    one = run_at(tmp_path)
    played(one)
    env = gym.make(FAKE, observe="progress", on_invalid="raise")
    env.reset(seed=0)
    with np.load(one.folder.path / "queries.npz") as bought:
        queries = bought["queries"]
    for cycle, (row, cells) in enumerate(zip(rows_of(one), table(one), strict=True)):
        if cycle:
            env.step(queries[cycle - 1])
        expected = core(env).evaluation
        assert expected is not None
        assert {name: row[name] for name in KEPT} == expected.as_dict()
        assert sum(row["class_correct"]) == row["correct"]
        assert sum(row["class_total"]) == row["total"]
        assert float(cells["nll"]) == expected.nll
        assert int(cells["labeled_count"]) == row["labeled_count"]
        for label, (right, total) in enumerate(
            zip(expected.class_correct, expected.class_total, strict=True)
        ):
            assert float(cells[f"recall_{label}"]) == right / total


def test_the_first_cycle_is_kept_for_every_arm(tmp_path: Path) -> None:
    runs = [run_at(tmp_path, 0), run_at(tmp_path / "alone", 0)]
    other = Run(Arm("margin", FAKE, "margin"), 0, tmp_path)
    for one in (*runs, other):
        played(one)
    first = [rows_of(one)[0] for one in (*runs, other)]
    assert first[0] == first[1] == first[2]
    assert first[0]["nll"] is not None


def test_a_first_cycle_of_an_earlier_version(tmp_path: Path) -> None:
    played(run_at(tmp_path))
    (file,) = (tmp_path / "first_cycles").glob("*.pt")
    found = load_archive(file)
    assert found is not None
    del found["tested"]
    torch.save(found, file)
    other = Run(Arm("margin", FAKE, "margin"), 0, tmp_path)
    assert played(other)[-1].kind == "finished"
    known = [set(KEPT) <= set(row) for row in rows_of(other)]
    assert known == [False, True, True, True, True]
    assert table(other)[0]["nll"] == table(other)[0]["recall_0"] == ""


def test_a_checkpoint_of_an_earlier_version_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole = run_at(tmp_path / "whole")
    played(whole)
    one = stopped_at(tmp_path / "stopped", 3)
    for file in one.folder.path.glob("checkpoint*.pt"):
        found = load_archive(file)
        assert found is not None
        torch.save({**found, "record": forget(found["record"])}, file)
    (one.folder.path / "classes.csv").unlink()
    assert played(one)[-1].kind == "finished"
    assert content(one) == content(whole)
    assert [row["nll"] == "" for row in table(one)] == [True, True, True, False, False]


def test_a_folder_of_an_earlier_version_is_shown(tmp_path: Path) -> None:
    base = ("compare", FAKE, "--agents", "margin,random", "--seeds", "2", "--out", str(tmp_path))
    code, text, _ = run(*base)
    assert code == 0
    for file in tmp_path.glob("*/record.json"):
        file.write_text(Record(**forget(json.loads(file.read_text())["record"])).text())
        (file.parent / "classes.csv").unlink()
    assert run("report", str(tmp_path)) == (0, text, "")
    assert run(*base)[1] == text
    page = (tmp_path / "report.html").read_text()
    assert "The likelihood is not shown, since an earlier version has not kept it" in page
    assert "The recall of each class is not shown, since an earlier version has not kept it" in page
    assert "Labels bought of each class" in page
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["nll"] for row in rows} == {row["worst_class_recall"] for row in rows} == {""}
    assert all(float(row["query_class_balance"]) >= 0 for row in rows)


def test_a_class_without_test_images_has_an_empty_cell() -> None:
    row = {"cycle": 0, "labeled_count": 5, "nll": None, "class_correct": [1, 0], "class_total": [2, 0]}
    assert Record([row]).classes_csv() == "cycle,labeled_count,nll,recall_0,recall_1\n0,5,,0.5,\n"
    assert Record([{"cycle": 0, "labeled_count": 5}]).classes_csv() is None


@pytest.mark.parametrize("name", ["curve.csv", "queries.npz"])
def test_what_is_compared_to_the_byte_is_as_before(tmp_path: Path, name: str) -> None:
    one = run_at(tmp_path)
    played(one)
    record = one.folder.record()
    assert record is not None
    older = Record(**forget(record.state()))
    rows = core(gym.make(FAKE)).rows
    expected = older.curve_csv().encode() if name == "curve.csv" else older.queries_npz(rows)
    assert (one.folder.path / name).read_bytes() == expected
