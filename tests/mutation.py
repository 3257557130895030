"""Breaks the core on purpose, one small change at a time, and tells which changes no test notices.

    python tests/mutation.py [MODULE[:LINE] ...] [--seconds N] [--seed S]

Without modules it takes the whole core; ``alenv/pool.py:131`` takes one line. With ``--seconds`` it tries a random
sample for about so long; Ctrl-C ends it with the counts so far. It works on a copy of the tree in a temporary folder,
with the test files that belong to a module (``TESTS``), first the tests that run the changed function; on one core, and
on a system with ``fork``. It is no part of the test run. What survives is a change that means the same, or a behavior
that no test states.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from mutants import Mutant, mutants

ROOT = Path(__file__).parent.parent
PACKAGES = ("alenv", "agents", "scenarios", "tests", "pyproject.toml", "README.md")
# Loaded once, before the forks. No module of the tree may be among them.
PRELOADED = (
    *("pytest", "hypothesis", "numpy", "torch", "torchvision", "gymnasium", "sklearn.datasets", "PIL.Image"),
    *("scipy.spatial", "filelock", "platformdirs", "joblib", "rich.progress", "stable_baselines3"),
    "matplotlib.backends.backend_agg",
)
# Hypothesis is imported before pytest can look at it, and pytest warns of that.
CHOSEN = (
    "-k 'not checkers' -x -q -p no:cacheprovider -p no:xdist --hypothesis-seed=0 "
    "-W ignore::pytest.PytestAssertRewriteWarning"
)
SLOWER, LEAST = 3, 20.0  # a mutant has so many times the clean run, and at least so many seconds
MEMORY = 32 * 2**30  # and so many bytes
TOO_LONG = -1000  # in the place of an exit code
Runs = dict[str, list[str]]  # tests by MODULE:LINE of the functions that they run

UNIT = "tests/alenv/test_{}.py"
ENV = (*map(UNIT.format, ("boundary", "env", "view")), "tests/test_golden.py")
LEARNING = (*map(UNIT.format, ("training", "settings", "own_code", "progress")), *ENV)
AGENTS = tuple(f"tests/agents/test_{each}.py" for each in ("spelling", "strategies", "wrappers", "contract"))
# Modules, and the test files that belong to them, the cheapest first.
CORE: list[tuple[str, tuple[str, ...]]] = [
    ("alenv/settings presets pool seeding spaces", (UNIT.format("settings"), *ENV)),
    ("alenv/oracle episode state queries rewards observation env", ENV),
    ("alenv/needs scores assembly view", LEARNING),
    ("alenv/plugins", (UNIT.format("own_code"), AGENTS[0], "tests/scenarios/test_own_code.py")),
    ("alenv/fitting", tuple(map(UNIT.format, ("fitting", "training", "progress")))),
    ("alenv/files", (UNIT.format("files"),)),
    ("alenv/geometry", (UNIT.format("geometry"), UNIT.format("settings"), AGENTS[1])),
    ("alenv/learners/network cycle images ridge", LEARNING),
    ("alenv/learners/augmentation trivial", (UNIT.format("trivial"), UNIT.format("training"))),
    ("alenv/learners/optimization", (UNIT.format("training"),)),
    ("alenv/learners/objectives/base loss_prediction registry", LEARNING),
    (
        "alenv/learners/objectives/average discriminator fixmatch loss_ranking mean_teacher wasserstein",
        (UNIT.format("objectives"),),
    ),
    ("agents/base compose registry spelling", AGENTS),
    ("agents/index", (*AGENTS, "tests/scenarios/test_catalog.py")),
    ("agents/strategies/badge coreset jls kmeans ll4al uncertainty uniform waal", AGENTS[1:]),
]
TESTS = {
    f"{folder}/{name}.py": tests
    for modules, tests in CORE
    for folder, _, names in [modules.rpartition("/")]
    for name in names.split()
}


class Recorder:
    """A pytest plugin that notes which tests run which functions of the core."""

    def __init__(self, tree: Path, notes: Path) -> None:
        self._tree, self._notes = f"{tree}/", notes
        self._runs: dict[str, dict[str, None]] = {}
        self._test = ""

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Notes calls from here on, fixtures included."""
        self._test = nodeid
        sys.settrace(self._called)

    def pytest_runtest_logfinish(self) -> None:
        """Notes no more of them."""
        sys.settrace(None)

    def pytest_sessionfinish(self) -> None:
        """Writes what was found."""
        self._notes.write_text(json.dumps({place: list(tests) for place, tests in self._runs.items()}))

    def _called(self, frame: FrameType, event: str, value: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(self._tree):
            place = f"{code.co_filename.removeprefix(self._tree)}:{code.co_firstlineno}"
            self._runs.setdefault(place, {})[self._test] = None


class Laboratory:
    """A copy of the tree in which modules are replaced and tests run, each time in a fork of this process."""

    def __init__(self, folder: Path) -> None:
        self._tree, self._base = folder / "tree", folder / "pytest"
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        for name in PACKAGES:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self._tree / name, ignore=ignored)
            else:
                shutil.copy2(ROOT / name, self._tree / name)
        self._clean: dict[tuple[str, ...], tuple[float, Runs]] = {}

    def outcome(self, mutant: Mutant) -> str:
        """Returns ``"killed"``, ``"timed out"`` or ``"survived"``."""
        tests = TESTS[mutant.module]
        if tests not in self._clean:
            self._clean[tests] = self._run_clean(tests)
        clean, runs = self._clean[tests]
        likely = runs.get(f"{mutant.module}:{mutant.function}", [])
        place, kept = self._tree / mutant.module, self._tree.with_name("kept.py")
        shutil.copy2(place, kept)
        try:
            place.write_text(mutant.source(), encoding="utf-8")
            code = 0
            # What survives the tests that run the function must survive all of them: some run it elsewhere, or kept
            # what an earlier one has made.
            for some in (likely, tests) if likely else (tests,):
                code = code or self._run(some, max(LEAST, SLOWER * clean))
                code = 0 if some is likely and code in (4, 5) else code  # there are other tests now
        finally:
            shutil.copy2(kept, place)  # with its date, by which Python knows the bytecode
        return "timed out" if code == TOO_LONG else "killed" if code else "survived"

    def _run_clean(self, tests: tuple[str, ...]) -> tuple[float, Runs]:
        began, notes = time.monotonic(), self._tree.with_name("runs.json")
        if self._run(tests, 600.0, Recorder(self._tree, notes)) != 0:
            sys.exit(f"These tests fail without any change: {' '.join(tests)}")
        return time.monotonic() - began, json.loads(notes.read_text())

    def _run(self, tests: Sequence[str], seconds: float, recorder: Recorder | None = None) -> int:
        """Returns what pytest returned in a fork, or ``TOO_LONG``."""
        child = os.fork()
        if child == 0:
            self._become_pytest(tests, recorder)
        end = time.monotonic() + seconds
        code: int | None = None
        try:
            while code is None and time.monotonic() < end:
                time.sleep(0.01)
                done, status = os.waitpid(child, os.WNOHANG)
                code = os.waitstatus_to_exitcode(status) if done else None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # with all that it started
            if code is None:
                os.waitpid(child, 0)
        return TOO_LONG if code is None else code

    def _become_pytest(self, tests: Sequence[str], recorder: Recorder | None) -> None:
        code = 3
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(silence, stream)
            os.chdir(self._tree)
            os.environ["PYTHONPATH"] = str(self._tree)
            sys.path.insert(0, str(self._tree))
            sys.dont_write_bytecode = recorder is None  # a mutant's would be taken for the next one's
            arguments = [*shlex.split(CHOSEN), f"--basetemp={self._base}", *tests]
            plugins = [] if recorder is None else [recorder]
            code = int(importlib.import_module("pytest").main(arguments, plugins))
        finally:
            os._exit(code)


def preload() -> None:
    """Imports what takes long, so that forks need not; nothing of the tree itself."""
    for name in PRELOADED:
        importlib.import_module(name)
    wrong = {"alenv", "agents", "scenarios"} & set(sys.modules)
    if wrong:
        sys.exit(f"{', '.join(wrong)} was imported with other packages; mutants would not be seen.")


def chosen(names: list[str]) -> list[Mutant]:
    """Returns the mutants of modules, or of single lines of them; of the whole core without any."""
    found: list[Mutant] = []
    for name in names or list(TESTS):
        module, _, line = name.partition(":")
        if module not in TESTS:
            sys.exit(f"{module} is no module of the core; they are: {' '.join(TESTS)}")
        found += [each for each in mutants(ROOT, module) if not line or each.line == int(line)]
    return found


def main() -> None:
    """Reads the command line, tries mutants and prints what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE[:LINE]")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="try a sample for about so long")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    given = parser.parse_args()
    queue = chosen(given.modules)
    counts = {each.module: Counter(mutants=0) for each in queue}
    for each in queue:
        counts[each.module]["mutants"] += 1
    if given.seconds < float("inf"):
        random.Random(given.seed).shuffle(queue)
    preload()
    end = time.monotonic() + given.seconds
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
        laboratory = Laboratory(Path(folder))
        for each in queue:
            if time.monotonic() > end:
                break
            outcome = laboratory.outcome(each)
            counts[each.module].update(["tried", outcome])
            if outcome != "killed":
                print(f"{outcome}: {each}", flush=True)
    report(counts)


def report(counts: dict[str, Counter[str]]) -> None:
    """Prints one line per module, and all together."""
    columns = ("mutants", "tried", "killed", "timed out", "survived")
    print(f"\n{'module':40}" + "".join(f"{column:>11}" for column in columns))
    for module, found in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        print(f"{module:40}" + "".join(f"{found[column]:>11}" for column in columns))


if __name__ == "__main__":
    main()
