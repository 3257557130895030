"""Several processes give the same bytes as one, and one that dies takes nothing with it."""

from __future__ import annotations

from pathlib import Path

from scenarios.engines import play
from scenarios.events import Event
from scenarios.run_folder import Run
from scenarios.scenario import Arm


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
        play(planned, jobs, events.append)
        ends = {event.run: event for event in events if event.kind != "cycle"}
        assert len(ends) == len(planned)
        for run in planned:
            end = ends[run.name]
            assert end.kind == ("failed" if run.arm.label in {"buggy", "dies"} else "finished")
            if run.arm.label == "dies":
                assert "Its process ended unexpectedly" in end.error
    for one, two in zip(runs(tmp_path / "1"), runs(tmp_path / "2"), strict=True):
        for name in ("curve.csv", "queries.npz"):
            assert (one.folder.path / name).read_bytes() == (two.folder.path / name).read_bytes()
