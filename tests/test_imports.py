"""The import direction alenv <- agents <- scenarios, and what `import alenv` loads."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import alenv

ROOT = Path(__file__).parent.parent
# What agents may import.
PUBLIC = {
    f"alenv.{name}"
    for name in ("descriptors", "errors", "files", "fitting", "geometry", "plugins", "progress", "seeding")
}


def modules(package: str) -> list[Path]:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"{package} has no modules"
    return files


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Yields (module, name) for every import of a file, also those inside functions; name "" for a module."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level < 2, f"{path}: imports from a parent package"
            module = f"{package}.{node.module}" if node.level else node.module or ""
            yield from ((module, alias.name) for alias in node.names)


def top(module: str) -> str:
    return module.split(".", 1)[0]


@pytest.mark.parametrize(
    ("package", "forbidden"), [("alenv", {"agents", "scenarios"}), ("agents", {"scenarios"})]
)
def test_nothing_imports_backwards(package: str, forbidden: set[str]) -> None:
    for path in modules(package):
        wrong = [module for module, _ in imported(path) if top(module) in forbidden]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_agents_import_public_names_of_alenv_only() -> None:
    for path in modules("agents"):
        for module, name in imported(path):
            if top(module) != "alenv":
                continue
            named = module == "alenv" and (name in alenv.__all__ or f"alenv.{name}" in PUBLIC)
            assert named or module in PUBLIC, f"{path.relative_to(ROOT)} imports {module} ({name})"
            assert not name.startswith("_"), f"{path.relative_to(ROOT)} imports the private {module}.{name}"


@pytest.mark.parametrize("package", ["alenv", "agents", "scenarios"])
def test_no_file_is_named_like_a_standard_module_at_the_top(package: str) -> None:
    taken = [path.stem for path in (ROOT / package).glob("*.py") if path.stem in sys.stdlib_module_names]
    assert not taken


def modules_of_all() -> dict[str, Path]:
    files = [file for package in ("alenv", "agents", "scenarios") for file in modules(package)]
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in files
    }


def test_there_is_no_circle() -> None:
    """Imports inside functions and for types count; a package stands for what its ``__init__`` imports."""
    files = modules_of_all()
    graph = {
        name: {
            inner if (inner := f"{module}.{imported_name}") in files else module
            for module, imported_name in imported(file)
            if module in files
        }
        for name, file in files.items()
    }
    lazy = {"alenv", "agents", "scenarios"}  # their public names load when they are asked for
    order = TopologicalSorter({name: others - lazy - {name} for name, others in graph.items()})
    assert set(files) <= set(order.static_order()) | lazy


def test_no_two_classes_share_a_name() -> None:
    found: dict[str, list[str]] = {}
    for name, file in modules_of_all().items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(name)
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def install(folder: Path, entry_points: str, patch: pytest.MonkeyPatch) -> None:
    """Makes ``folder`` what an installation of alenv with these entry points looks like."""
    listed = folder / "alenv-0.0.dist-info"
    listed.mkdir()
    (listed / "METADATA").write_text("Metadata-Version: 2.1\nName: alenv\nVersion: 0.0\n", encoding="utf-8")
    (listed / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    patch.syspath_prepend(folder)


def test_commands_are_names_of_alenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.partition('[project.entry-points."alenv.commands"]\n')[2].partition("\n\n")[0]
    commands = dict(re.findall(r'^(\w+) = "([\w.:]+)"$', section, re.MULTILINE))
    assert set(commands) == set(alenv._COMMANDS)
    lines = [f"{name} = {place}" for name, place in commands.items()]
    install(tmp_path, "\n".join(["[alenv.commands]", *lines]), monkeypatch)
    for name, place in commands.items():
        module, _, attribute = place.partition(":")
        assert getattr(alenv, name) is getattr(importlib.import_module(module), attribute)


def test_an_old_installation_lists_no_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "", monkeypatch)
    with pytest.raises(AttributeError, match=r"alenv\.suggest is not listed .*; install it again"):
        _ = alenv.suggest
    with pytest.raises(AttributeError, match="'alenv' has no attribute 'sugest'"):
        _ = alenv.sugest


def loaded_by(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "code",
    [
        "import alenv",
        "import alenv.files",
        "import scenarios",
        "import scenarios.cli.envs",
        "import scenarios.cli.scenarios; scenarios.build(scenarios.names()[0])",
        "import agents; agents.names()",
        "import scenarios.cli.agents, scenarios.cli.data, scenarios.cli.settings, scenarios.cli.report",
        "import scenarios.cli.compare, scenarios.cli.run",
    ],
)
def test_torch_loads_only_when_it_is_needed(code: str) -> None:
    loaded = loaded_by(code).split()
    assert "alenv" in loaded
    assert "torch" not in loaded


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "--help"],
        ["compare", "ALDigits-v0", "--agents", "margn"],
        ["compare", "ALDigts-v0", "--agents", "margin"],
        ["compare", "ALDigits-v0", "--agents", "margin", "--set", "quer_size=3"],
        ["agents"],
        ["agents", "margin"],
        ["envs"],
        ["envs", "ALCifar10Ridge-v0"],
        ["settings", "start"],
        ["scenarios", "default_setting"],
        ["data", "list"],
    ],
)
def test_a_command_that_trains_nothing_loads_no_torch(arguments: list[str]) -> None:
    """It is what takes seconds; the second that such a command may take is not timed here."""
    code = "from contextlib import suppress; from scenarios.cli import main\n"
    code += f"with suppress(SystemExit): main({arguments})\n"
    loaded = loaded_by(code).split()
    assert "click" in loaded
    assert "torch" not in loaded
