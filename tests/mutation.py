"""Breaks the core on purpose, one small change at a time, and tells which changes no test notices.

    python tests/mutation.py [MODULE[:LINE] ...] [--seconds N] [--seed S]

Without modules it takes the whole core; ``alenv/pool.py:131`` takes one line. With ``--seconds`` it tries a random
sample for about so long. It works on a copy of the tree in a temporary folder, with the test files that belong to a
module (``TESTS``), on one core, and needs a system with ``fork``. Not part of the test run. What survives is a change
that means the same, or a behavior that no test states.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGES = ("alenv", "agents", "scenarios", "tests", "pyproject.toml", "README.md")
# Loaded once, before the forks. No module of the tree may be among them.
PRELOADED = (
    *(
        "pytest",
        "hypothesis",
        "numpy",
        "torch",
        "torchvision",
        "gymnasium",
        "sklearn.cluster",
        "scipy.spatial",
    ),
    *(
        "PIL.Image",
        "filelock",
        "platformdirs",
        "joblib",
        "rich.progress",
        "matplotlib.backends.backend_agg",
        "stable_baselines3",
    ),
)
IMPORTED = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # hypothesis, before pytest could look
CHOSEN = (
    "-k",
    "not checkers",
    "-x",
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--hypothesis-seed=0",
    *IMPORTED,
)
SLOWER, LEAST, MEMORY = (
    5,
    20.0,
    32 * 2**30,
)  # times the clean run, seconds, and bytes before a mutant is killed

UNIT = "tests/alenv/test_{}.py"
ENV = (*map(UNIT.format, ("boundary", "env", "view")), "tests/test_golden.py")
LEARNING = (*map(UNIT.format, ("training", "settings", "own_code", "progress")), *ENV)
AGENTS = tuple(f"tests/agents/test_{each}.py" for each in ("spelling", "strategies", "wrappers", "contract"))
CORE: list[
    tuple[str, tuple[str, ...]]
] = [  # modules, and the test files that belong to them, the cheapest first
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
    ("agents/base compose registry spelling", AGENTS),
    ("agents/index", (*AGENTS, "tests/scenarios/test_catalog.py")),
    ("agents/strategies/badge coreset kmeans ll4al uncertainty uniform", AGENTS[1:]),
]
TESTS = {
    f"{folder}/{name}.py": tests
    for modules, tests in CORE
    for folder, _, names in [modules.rpartition("/")]
    for name in names.split()
}

SWAPPED: dict[type[ast.AST], list[type[ast.AST]]] = {  # a comparison: its boundary, then its opposite
    **{ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE]},
    **{ast.GtE: [ast.Gt, ast.Lt], ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot]},
    **{ast.IsNot: [ast.Is], ast.In: [ast.NotIn], ast.NotIn: [ast.In], ast.And: [ast.Or], ast.Or: [ast.And]},
    **{ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult], ast.Pow: [ast.Mult]},
    **{ast.FloorDiv: [ast.Mult], ast.Mod: [ast.Mult], ast.BitOr: [ast.BitAnd], ast.BitAnd: [ast.BitOr]},
}
OTHER_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
UNWRAPPED = {"deepcopy", "sorted", "sort", "unique"}  # f(x) -> x
DROPPED = {"copy", "clone", "detach", "clip", "clamp", "nan_to_num"}  # x.f(...) -> x
# Types, decorators and what only a reader sees.
UNSEEN = {"annotation", "returns", "decorator_list", "bases"}


# ---- mutants ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """One change of one module: ``holder[key]``, or that attribute, is ``new`` instead of ``old``."""

    module: str
    tree: ast.Module
    holder: Any
    key: Any
    old: ast.AST
    new: ast.AST

    @property
    def line(self) -> int:
        """The line of the change, from 1."""
        return int(getattr(self.old, "lineno", 0))

    def source(self) -> str:
        """Returns the module with the change."""
        _put(self.holder, self.key, self.new)
        try:
            return ast.unparse(self.tree)
        finally:
            _put(self.holder, self.key, self.old)

    def __str__(self) -> str:
        before, after = (" ".join(ast.unparse(each).split()) for each in (self.old, self.new))
        return f"{self.module}:{self.line}: {before}  ->  {after}"


def _put(holder: Any, key: Any, node: ast.AST) -> None:
    if isinstance(holder, list):
        holder[key] = node
    else:
        setattr(holder, key, node)


def mutants(module: str) -> list[Mutant]:
    """Returns all mutants of a module, a path below the root, in the order of its lines."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    return [
        Mutant(module, tree, holder, key, node, new)
        for holder, key, node, role in places(tree)
        for new in variants(node, role)
    ]


def places(parent: ast.AST, optional: bool = False) -> Iterator[tuple[Any, Any, ast.AST, str]]:
    """Yields holder, key, node and role (the field it stands in) of all that may be changed below ``parent``."""
    if isinstance(parent, ast.FunctionDef):
        optional = parent.returns is not None and "| None" in ast.unparse(parent.returns)
    for field, value in ast.iter_fields(parent):
        if field in UNSEEN:
            continue
        for at, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or _is_unseen(child):
                continue
            role = "optional" if optional and isinstance(parent, ast.Return) else field
            yield (value, at, child, role) if isinstance(value, list) else (parent, field, child, role)
            yield from places(child, optional)


def _is_unseen(node: ast.AST) -> bool:
    """Tells texts, messages of errors and assertions, and what only a type checker runs."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.FunctionDef):
        return node.name == "__repr__"
    return isinstance(node, (ast.JoinedStr, ast.Raise, ast.Assert, ast.Import, ast.ImportFrom))


def variants(node: ast.AST, role: str) -> Iterator[ast.AST]:
    """Yields what may stand in the place of a node."""
    if isinstance(node, ast.Compare):
        for at, op in enumerate(node.ops):
            for other in SWAPPED.get(type(op), []):
                yield _changed(node, ops=[*node.ops[:at], other(), *node.ops[at + 1 :]])
    elif isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)):
        if not (isinstance(node, ast.BinOp) and (_is_text(node.left) or _is_text(node.right))):
            yield from (_changed(node, op=other()) for other in SWAPPED.get(type(node.op), []))
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield from map(ast.Constant, _near(node.value))
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif _is_dispensable(node):
        yield ast.Pass()
    if (
        role in ("test", "ifs")
        and isinstance(node, ast.expr)
        and not isinstance(node, (ast.Compare, ast.UnaryOp))
    ):
        yield ast.UnaryOp(ast.Not(), node)
    if role == "optional" and not (isinstance(node, ast.Constant) and node.value is None):
        yield ast.Constant(None)


def _near(value: object) -> list[Any]:
    """Returns other values of a constant; none for a text."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    return [value * 1.2 or 1.0] if isinstance(value, float) else []


def _is_dispensable(node: ast.AST) -> bool:
    """Tells statements that may be left out: bare calls, and what is written into a part of something."""
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Subscript)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if isinstance(node.func, ast.Name) and name in OTHER_NAMES:
        yield _changed(node, func=ast.Name(OTHER_NAMES[name], ast.Load()))
    if name in UNWRAPPED and node.args:
        yield node.args[0]
    if isinstance(node.func, ast.Attribute) and name in DROPPED:
        yield node.func.value


def _changed(node: ast.AST, **fields: Any) -> ast.AST:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


# ---- trying them --------------------------------------------------------------------------------------------


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
        self._clean: dict[tuple[str, ...], float] = {}

    def outcome(self, mutant: Mutant) -> str:
        """Returns ``"killed"``, ``"timed out"`` or ``"survived"``."""
        tests = TESTS[mutant.module]
        if tests not in self._clean:
            self._clean[tests] = self._time_clean(tests)
        place = self._tree / mutant.module
        place.write_text(mutant.source(), encoding="utf-8")
        try:
            code = self._run(tests, max(LEAST, SLOWER * self._clean[tests]))
        finally:
            shutil.copy2(ROOT / mutant.module, place)
        return "timed out" if code is None else "killed" if code else "survived"

    def _time_clean(self, tests: tuple[str, ...]) -> float:
        began = time.monotonic()
        if self._run(tests, 600.0, keep_bytecode=True) != 0:
            sys.exit(f"These tests fail without any change: {' '.join(tests)}")
        return time.monotonic() - began

    def _run(self, tests: tuple[str, ...], seconds: float, keep_bytecode: bool = False) -> int | None:
        """Returns what pytest returned in a fork; None where it took too long."""
        child = os.fork()
        if child == 0:
            self._become_pytest(tests, keep_bytecode)
        end = time.monotonic() + seconds
        code: int | None = None
        while code is None and time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if done else None
            time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # with all that it started
        if code is None:
            os.waitpid(child, 0)
        return code

    def _become_pytest(self, tests: tuple[str, ...], keep_bytecode: bool) -> None:
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
            sys.dont_write_bytecode = not keep_bytecode  # a mutant's would be taken for the next one's
            code = int(importlib.import_module("pytest").main([*CHOSEN, f"--basetemp={self._base}", *tests]))
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
        found += [each for each in mutants(module) if not line or each.line == int(line)]
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
    with tempfile.TemporaryDirectory() as folder:
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
