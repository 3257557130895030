"""A ceiling is marked wherever it is shown, peeks alone, and takes no part in rankings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import run

SPELLED = "oracle_greedy:samples=2:strategies=margin"
SMALL = ("initial_size=20", "query_size=5", "budget=10", "candidates=20")
SET = [part for pair in SMALL for part in ("--set", pair)]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("ceilings") / "run"
    agents = ("--agents", f"random,margin,{SPELLED}", "--seeds", "3")
    code, text, err = run("compare", "ALDigitsRidge-v0", *agents, *SET, "--out", str(out), "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(text)
    return found


def test_it_is_marked_and_compared_but_not_ranked(compared: dict[str, Any]) -> None:
    (picture,) = compared["pictures"]
    assert [arm["label"] for arm in picture["arms"]] == ["random", "margin", f"{SPELLED} (ceiling)"]
    assert [arm["ceiling"] for arm in picture["arms"]] == [False, False, True]
    assert picture["arms"][2]["area_difference"] > 0
    assert len(picture["penalty_matrix"]) == 2
    assert f"{SPELLED} (ceiling)" in Path(compared["report"]).read_text()


def test_it_alone_may_peek(compared: dict[str, Any]) -> None:
    metas = [json.loads(file.read_text()) for file in Path(compared["out"]).glob("*/meta.json")]
    assert len(metas) == 9
    for meta in metas:
        arm = meta["configuration"]
        assert arm["env_kwargs"].get("allow_peek", False) == arm["agent"].startswith("oracle_greedy")


def test_it_is_marked_in_lists_and_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "oracle_greedy (ceiling)" in " ".join(run("agents")[1].split())
    assert run("agents", "oracle_greedy")[1].startswith("oracle_greedy (ceiling): A ceiling")
    arguments = ("--env", "ALDigitsRidge-v0", "--episodes", "2", "--beside", "random", *SET)
    assert f"{SPELLED} (ceiling)" in run("evaluate", SPELLED, *arguments)[1]
    rows = json.loads(run("evaluate", SPELLED, *arguments, "--json")[1])["agents"]
    assert [row["ceiling"] for row in rows] == [True, False]
