"""``alenv data``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Column, Table

from alenv import data as datasets
from scenarios.report.tables import STYLE


@click.group()
def data() -> None:
    """List, add and verify datasets.

    They are cached under ALENV_DATA (by default in the user's cache folder).
    """


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List all datasets and what is cached."""
    if as_json:
        click.echo(
            json.dumps([dataclasses.asdict(entry) for entry in datasets.listing()], indent=2, default=str)
        )
        return
    headings = ("state", "train", "test", "classes", "image", "source")
    table = Table(Column("name", no_wrap=True), *headings, Column("folder", overflow="fold"), **STYLE)
    for entry in datasets.listing():
        known = entry.num_classes > 0
        table.add_row(
            entry.name,
            entry.state,
            f"{entry.train_count:,}" if known else "",
            f"{entry.test_count:,}" if known else "",
            str(entry.num_classes) if known else "",
            "x".join(map(str, entry.image_shape)) if known else "",
            entry.source,
            str(entry.path or ""),
        )
    Console().print(table)


@data.command()
@click.argument("name")
@click.option(
    "--from",
    "place",
    required=True,
    type=click.Path(path_type=Path),
    help="An archive, or a folder of images.",
)
@click.option("--replace", is_flag=True, help="Let other data that is cached under this name go.")
def add(name: str, place: Path, replace: bool) -> None:
    """Fill the cache of the dataset NAME from a local copy."""
    with Console(stderr=True).status(f"Adding {name} from {place}"):
        added = datasets.add(name, place, replace=replace)
    click.echo(
        f"{name}: {len(added.train_labels):,} train and {len(added.test_labels):,} test images "
        f"({added.source}), checksum {added.checksum}"
    )


@data.command()
@click.argument("name")
def verify(name: str) -> None:
    """Compare the cached files of the dataset NAME with their checksums."""
    with Console(stderr=True).status(f"Verifying {name}"):
        folders = datasets.verify(name)
    for folder in folders:
        click.echo(f"{folder} is sound.")
    if not folders:
        click.echo(f"{name} comes with its library; there is no cached file to verify.")
