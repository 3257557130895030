"""The rooms of ``scenarios``: who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "plan": set(),
    "catalog": {"plan"},
    "play": {"plan"},
    "report": {"plan", "play"},
    "bench": {"plan"},
    "suggest": {"report"},
    "cli": {"plan", "play", "report", "bench", "suggest"},
}
READERS = {"comparison_folder", "record", "run_folder"}  # what a report may know of playing


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(file): file for file in (ROOT / "scenarios").rglob("*.py")}


def imports(name: str) -> set[str]:
    """Returns the modules of ``scenarios`` that one imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= {each if each in MODULES else module for each in inner}
    return {each for each in found if each in MODULES}


def room(name: str) -> str:
    return [*name.split("."), ""][1]


def test_the_rooms_import_in_one_direction() -> None:
    assert {room(name) for name in MODULES} - {""} == set(MAY_IMPORT)
    for name in MODULES:
        for other in imports(name):
            if room(name) and room(name) != room(other):
                assert room(other) in MAY_IMPORT[room(name)], f"{name} imports {other}"


def test_a_report_knows_nothing_of_playing_but_its_folders() -> None:
    known = {
        other
        for name in MODULES
        if room(name) == "report"
        for other in imports(name)
        if room(other) == "play"
    }
    assert {name.split(".")[-1] for name in known} <= READERS
