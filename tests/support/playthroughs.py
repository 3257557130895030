"""Plays single runs in the tests' own process."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from scenarios.plan.arm import Arm
from scenarios.play.events import Event
from scenarios.play.run_folder import Run
from scenarios.play.runner import execute

SAME = ("curve.csv", "queries.npz")


def run_at(out: Path, seed: int = 0, **env_kwargs: Any) -> Run:
    return Run(Arm("random", "fake_al:FakeAL-v0", "random", env_kwargs), seed, out)


def played(run: Run) -> list[Event]:
    events: list[Event] = []
    execute(run, events.append)
    return [event for event in events if event.kind != "phase"]


def content(run: Run) -> dict[str, bytes]:
    return {name: (run.folder.path / name).read_bytes() for name in SAME}


def stopped_at(out: Path, cycle: int) -> Run:
    """Returns a run whose process failed in a cycle, in a folder that a healthy run can go on from."""
    run = run_at(out)
    broken = replace(run.arm, env_kwargs={"fail_at": cycle})
    assert played(Run(broken, 0, out))[-1].kind == "failed"
    left = Run(broken, 0, out).folder.path
    meta = json.loads((left / "meta.json").read_text())
    meta["configuration"] = run.configuration
    (left / "meta.json").write_text(json.dumps(meta))
    left.rename(run.folder.path)
    return run
