"""The README's Python code runs, and what it saves plays in a comparison."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from scenarios.cli import alenv as command

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_readmes_code_runs_and_its_policy_plays_in_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    assert len(re.findall(r"^model|^env|^agents", blocks[2], re.M)) <= 10
    settings = ["--set", "budget=20", "--seeds", "2", "--out", "runs/policy"]
    agents = ["--agents", "policy=my_policy,random"]
    result = CliRunner().invoke(command, ["compare", "ALDigitsRidge-v0", *agents, *settings])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "runs/policy/curve.png").stat().st_size > 10_000
    assert "policy=my_policy" in (tmp_path / "runs/policy/curves.csv").read_text()


def test_the_readmes_command_lines_name_what_exists() -> None:
    named = re.findall(
        r"^(?:.*bin/)?alenv (\w+)", "\n".join(re.findall(r"```\w*\n(.*?)```", README, re.S)), re.M
    )
    assert {"compare", "data", "run", "bench"} <= set(named) <= set(command.list_commands(None))  # type: ignore[arg-type]  # needs none
