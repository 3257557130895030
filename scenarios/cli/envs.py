"""``alenv envs``."""

from __future__ import annotations

import ast
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Column

import alenv
from alenv import ENVIRONMENTS
from alenv.errors import unknown
from alenv.explained import explained
from alenv.presets import DATASETS, recipes_of, resolve
from alenv.recipes import RECIPES
from alenv.registration import MIX, known_id
from scenarios.report.fitted import Fitted


@click.command()
@click.argument("name", metavar="[ID]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def envs(name: str | None, as_json: bool) -> None:
    """List the environments that gym.make knows, or explain the one of an ID."""
    if name is not None:
        _explain(name, as_json)
        return
    rows = [_row(env_id, *what) for env_id, what in ENVIRONMENTS.items()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    console = Console(highlight=False)
    console.print("An id is AL<Dataset><Recipe>-v0; alenv envs ID explains one.")
    console.print(f"{MIX}, with every episode a task of its own, is for training policies.")
    numbers = ("initial labels", "query size", "budget")
    columns = [Column("dataset", no_wrap=True), Column("classifier")]
    columns += [Column(heading, justify="right") for heading in numbers]
    table = Fitted(columns, ["initial labels", "query size", "budget", "classifier"])
    for row in rows:
        if row["recipe"] == "paper":
            shown = [row[key] for key in ("classifier", "initial_size", "query_size", "budget")]
            cells = (f"{value:,}" if isinstance(value, int) else str(value) for value in shown)
            table.add_row(row["id"], *cells)
    console.print(table)
    table = Fitted([Column("recipe", no_wrap=True), Column("what it is"), Column("source")], ["source"])
    for key, recipe in RECIPES.items():
        without = [preset.title for dataset, preset in DATASETS.items() if key not in recipes_of(dataset)]
        but = f" (not {', '.join(without)})" if without else ""
        table.add_row(recipe.title or "none", recipe.what + but, recipe.source)
    console.print(table)


def _row(env_id: str, dataset: str, recipe: str) -> dict[str, Any]:
    settings = resolve(dataset, recipe, {})
    how, what = settings.recipe, settings.protocol
    return {
        "id": env_id,
        "dataset": dataset,
        "recipe": recipe,
        "classifier": how.backbone if how.head == "network" else f"{how.head} on {how.embedding}",
        "initial_size": what.initial_size,
        "query_size": what.query_size,
        "budget": what.budget,
        "validation": what.validation,
    }


def _explain(name: str, as_json: bool) -> None:
    """Prints the page of an environment: what it is, and every setting that differs from the defaults."""
    env_id = known_id(name)
    if env_id == MIX:
        _explain_mix(as_json)
        return
    if env_id not in ENVIRONMENTS:
        raise unknown("environment", name, ENVIRONMENTS)
    dataset, recipe = ENVIRONMENTS[env_id]
    resolved = resolve(dataset, recipe, {})
    values = {**asdict(resolved.recipe), **asdict(resolved.protocol), **asdict(resolved.options)}
    own = {row.name: values[row.name] for row in explained() if values[row.name] != row.default}
    if as_json:
        click.echo(
            json.dumps({"id": env_id, "dataset": dataset, "recipe": recipe, "settings": values}, indent=2)
        )
        return
    console = Console(highlight=False)
    named = RECIPES[recipe]
    source = f" ({named.source})" if named.source else ""
    console.print(
        f"[bold]{env_id}[/bold]: {dataset} with the {recipe} recipe: {escape(named.what + source)}\n"
    )
    console.print("Settings that differ from the defaults (alenv settings lists all):")
    for setting, value in own.items():
        console.print(f"  {setting}={escape(str(value))}")
    if not own:
        console.print("  none")
    _print_page(console, "env.py", "ActiveLearningEnv")


def _explain_mix(as_json: bool) -> None:
    """Prints the page of the environment of many tasks, and what they are drawn from."""
    from alenv.tasks import TaskDistribution  # noqa: PLC0415  (torch loads only where it is asked for)

    settings = asdict(TaskDistribution())
    if as_json:
        click.echo(json.dumps({"id": MIX, "settings": settings}, indent=2))
        return
    console = Console(highlight=False)
    console.print(f"[bold]{MIX}[/bold]: every episode a task of its own\n\nSettings:")
    for setting, value in settings.items():
        console.print(f"  {setting}={escape(str(value))}")
    _print_page(console, "mix.py", "MixVectorEnv")


def _print_page(console: Console, file: str, name: str) -> None:
    for paragraph in _page(file, name).strip().split("\n\n"):
        title, headed, body = paragraph.partition(":\n    ")
        console.print(f"\n[bold]{escape(title)}:[/bold]" if headed else "")
        text = " ".join((body if headed else paragraph).split())
        console.print(Padding(escape(text), (0, 0, 0, 4 if headed else 0)))


def _page(file: str, name: str) -> str:
    """Returns the docstring of the environment's class, read from its file: torch stays unloaded."""
    tree = ast.parse((Path(alenv.__file__).parent / file).read_text(encoding="utf-8"))
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    page = next(ast.get_docstring(node) or "" for node in classes if node.name == name)
    return page.partition("\nArguments:")[0].replace("``", "")
