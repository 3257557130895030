"""A report comes from the folder alone, wherever it lies and whoever may write there."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import FAKE, error, refuse_bytes, refuse_locks, run

from scenarios import Arm, Picture, build
from scenarios.play.comparison import Comparison, play_comparison
from scenarios.play.comparison_folder import Shown
from scenarios.play.engines import Engine
from scenarios.report.report import make_report

FILES = ("curve.png", "curve.svg", "curve.pdf", "curves.csv", "report.html", "results.csv")


@pytest.fixture
def played(tmp_path: Path) -> tuple[Path, str]:
    """Returns a folder of finished runs, and what the command that played them printed."""
    out = tmp_path / "out"
    code, text, _ = run("compare", FAKE, "--agents", "margin,random", "--seeds", "2", "--out", str(out))
    assert code == 0
    return out, text


def test_a_report_is_what_the_command_printed(played: tuple[Path, str]) -> None:
    out, text = played
    before = {name: (out / name).read_bytes() for name in FILES}
    for name in FILES:
        (out / name).unlink()
    assert run("report", str(out)) == (0, text, "")
    assert {name: (out / name).read_bytes() for name in FILES} == before
    found = json.loads(run("report", str(out), "--json")[1])
    again = run("compare", FAKE, "--agents", "margin,random", "--seeds", "2", "--out", str(out), "--json")
    assert found == json.loads(again[1])


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_the_folder_may_move(played: tuple[Path, str], tmp_path: Path, move: Callable[..., Any]) -> None:
    out, text = played
    place = tmp_path / "elsewhere" / "renamed"
    place.parent.mkdir()
    move(str(out), str(place))
    shutil.rmtree(out, ignore_errors=True)
    assert run("report", str(place)) == (0, text.replace(str(out), str(place)), "")
    assert not out.exists()


def test_a_report_shows_what_the_last_command_did(played: tuple[Path, str]) -> None:
    out, _ = played
    _, last, _ = run("compare", FAKE, "--agents", "entropy,margin", "--seeds", "1:2", "--out", str(out))
    assert run("report", str(out)) == (0, last, "")
    assert "entropy" in last
    assert "random" not in last
    assert (
        len((out / "curves.csv").read_text().splitlines()) == 1 + 5 * 5
    )  # random 0, 1; margin 0, 1; entropy 1


@pytest.mark.parametrize("refuse", [refuse_locks, refuse_bytes])
def test_where_nothing_can_be_written_the_table_is_printed(
    played: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, refuse: Callable[[pytest.MonkeyPatch], str]
) -> None:
    out, text = played
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    reason = refuse(monkeypatch)
    code, shown, err = run("report", str(out))
    assert (code, err.count("\n")) == (1, 1)
    assert f"cannot be written ({reason}); the pictures, tables and report.html stay as they" in err
    assert text.startswith(shown)
    assert "undecided" in shown
    found = json.loads(run("report", str(out), "--json")[1])
    assert found["curves"] is found["report"] is found["pictures"][0]["file"] is None
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.mark.parametrize("name", ["curve.csv", "classes.csv", "costs.csv", "queries.npz"])
def test_a_damaged_file_is_written_again_from_the_record(played: tuple[Path, str], name: str) -> None:
    out, text = played
    (file,) = out.glob(f"margin-seed1-*/{name}")
    whole = file.read_bytes()
    at = len(whole) // 2
    for damaged in (whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], whole[:-5], b""):
        file.write_bytes(damaged)
        assert run("report", str(out))[:2] == (0, text)
        assert file.read_bytes() == damaged  # a report reads, and nothing else
        seconds = {each: each.stat().st_mtime_ns for each in out.glob("*-seed0-*/*")}
        assert run("compare", FAKE, "--agents", "margin,random", "--seeds", "2", "--out", str(out))[0] == 0
        assert file.read_bytes() == whole
        assert {each: each.stat().st_mtime_ns for each in out.glob("*-seed0-*/*")} == seconds


@pytest.mark.parametrize("damage", ["", "x", "{}"])
def test_without_a_record_the_curve_is_shown(played: tuple[Path, str], damage: str) -> None:
    out, text = played
    (folder,) = out.glob("margin-seed1-*")
    (folder / "record.json").write_text(damage)
    code, shown, _ = run("report", str(out))
    assert (code, shown.split("\n")[5]) == (0, text.split("\n")[5])
    (folder / "curve.csv").write_text((folder / "curve.csv").read_text()[:-5])
    code, _, err = run("report", str(out))
    assert code == 1
    assert "curve.csv cannot be read; delete its folder and repeat the command" in err


def test_a_damaged_run_hides_no_other(played: tuple[Path, str]) -> None:
    out, _ = played
    (folder,) = out.glob("margin-seed1-*")
    (folder / "meta.json").write_text("{}")
    code, text, err = run("report", str(out))
    assert code == 1
    assert "margin seed 1 failed" in err
    assert err.count("\n") == 1
    assert "margin and random: undecided; give at least 2 seeds" in text


@pytest.mark.parametrize(
    "content", [None, "", "[1]", '{"editor": 1}', '{"arms": 1, "facts": 1, "threads": 1}']
)
def test_a_folder_of_something_else(tmp_path: Path, content: str | None) -> None:
    if content is None:
        assert "holds no settings.json" in error("report", str(tmp_path))
        assert "holds no settings.json" in error("report", str(tmp_path / "nowhere"))
    else:
        (tmp_path / "settings.json").write_text(content)
        assert "cannot be read as the settings of a comparison" in error("report", str(tmp_path))


def test_a_folder_without_a_finished_run(tmp_path: Path) -> None:
    arguments = ("--agents", "random@fail_at=1", "--seeds", "1", "--out", str(tmp_path))
    assert run("compare", FAKE, *arguments)[0] == 1
    assert "No run in" in error("report", str(tmp_path))


def test_a_folder_of_an_earlier_version_is_filled_in_without_playing(played: tuple[Path, str]) -> None:
    out, text = played
    settings = json.loads((out / "settings.json").read_text())
    assert set(settings) == {"arms", "facts", "shown", "threads"}
    del settings["shown"]
    (out / "settings.json").write_text(json.dumps(settings))
    assert "repeat its compare or run command once" in error("report", str(out))
    before = {file: file.stat().st_mtime_ns for file in out.glob("*-seed*/*")}
    assert run("compare", FAKE, "--agents", "margin,random", "--seeds", "2", "--out", str(out))[0] == 0
    assert {file: file.stat().st_mtime_ns for file in out.glob("*-seed*/*")} == before
    assert run("report", str(out)) == (0, text, "")


def test_what_is_shown_survives_the_file() -> None:
    found = build("default_setting")
    shown = Shown("A title", ("a", "b"), (3, 4), found.pictures, found.claim, found.checks, found.published)
    assert Shown.from_json(json.loads(json.dumps(dataclasses.asdict(shown)))) == shown


def test_a_picture_with_several_references_comes_from_the_folder(tmp_path: Path) -> None:
    """Each agent with a strong ridge penalty is subtracted from the same agent with a weak one."""
    arms = tuple(
        Arm(f"{agent} {name}", FAKE, agent, {"ridge_penalty": penalty})
        for agent in ("margin", "badge")
        for name, penalty in (("weak", 0.1), ("strong", 30.0))
    )
    labels = tuple(arm.label for arm in arms)
    against = {"margin strong": "margin weak", "badge strong": "badge weak"}
    picture = Picture("curve", "", labels, against)
    comparison = Comparison("A title", arms, (0, 1), tmp_path, {"environment": FAKE}, (picture,))
    assert play_comparison(comparison, Engine(), 1, lambda event: None) == {}
    (drawn,) = make_report(tmp_path).as_json()["pictures"]
    assert drawn["reference"] is None
    assert drawn["against"] == against
    assert [arm["against"] for arm in drawn["arms"]] == [None, "margin weak", None, "badge weak"]
    assert all((arm["area_difference"] is None) == (arm["against"] is None) for arm in drawn["arms"])
    text = " ".join(run("report", str(tmp_path))[1].split())
    assert "margin strong against margin weak; badge strong against badge weak" in text
    assert (tmp_path / "curve.png").stat().st_size > 10_000
