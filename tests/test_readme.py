"""The README's Python code runs, and what it saves plays in a comparison."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from scenarios.cli import alenv as command

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)
FILE = re.compile(r"# (\w+\.py)\n")


def test_the_readmes_code_runs_and_its_policy_plays_in_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in BLOCKS if not FILE.match(block)]
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    assert all(len(re.findall(r"^model|^env|^agents", block, re.M)) <= 10 for block in blocks[1:])
    settings = ["--set", "budget=20", "--seeds", "2", "--out", "runs/policy"]
    agents = ["--agents", "policy=my_policy,random"]
    result = CliRunner().invoke(command, ["compare", "ALDigitsRidge-v0", *agents, *settings])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "runs/policy/curve.png").stat().st_size > 10_000
    assert "policy=my_policy" in (tmp_path / "runs/policy/curves.csv").read_text()


def test_the_readmes_files_of_ones_own_play_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {FILE.match(block)[1]: block for block in BLOCKS if FILE.match(block)}  # type: ignore[index]  # it matches
    assert set(files) == {"mine.py", "unsure.py", "blobs.py"}
    for name, block in files.items():
        (tmp_path / name).write_text(block)
    lines = [line for line in re.findall(r"^alenv (compare .*)$", README, re.M) if ".py:" in line]
    assert len(lines) == len(files)
    quick = ("initial_size=8", "query_size=4", "budget=4", "epochs=1", "width=4")
    for number, line in enumerate(lines):
        settings = [] if "Ridge" in line else ["--set", *quick]
        command_line = [*line.split(), *settings, "--out", f"runs/{number}"]
        result = CliRunner().invoke(command, command_line)
        assert result.exit_code == 0, (line, result.output)
        curves = (tmp_path / f"runs/{number}/curves.csv").read_text()
        for agent in line.split("--agents ")[1].split()[0].split(","):
            assert f"{agent}," in curves


def test_the_examples_that_the_readme_points_to_are_there() -> None:
    own = Path(__file__).parent / "own"
    named = set(re.findall(r"(\w+\.py)`", README[README.index("| what | where it is named") :]))
    assert {"apart.py", "teacher.py", "five.py", "brightness.py", "warm_cold.py"} <= named
    assert all((own / name).is_file() for name in named if name != "mutation.py")


def test_the_readmes_command_lines_name_what_exists() -> None:
    named = re.findall(
        r"^(?:.*bin/)?alenv (\w+)", "\n".join(re.findall(r"```\w*\n(.*?)```", README, re.S)), re.M
    )
    assert {"compare", "data", "run", "bench"} <= set(named) <= set(command.list_commands(None))  # type: ignore[arg-type]  # needs none
