"""``alenv data``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from alenv import data as datasets
from alenv.data import cache
from scenarios.report.fitted import STYLE

# The columns of the list; what a narrow terminal has no room for goes from the last one on.
_COLUMNS = ("name", "state", "size", "train", "test", "classes", "image", "source", "folder")
_KEPT = 3  # shown where not even the longest name has room


@click.group()
def data() -> None:
    """List, add, verify and remove datasets.

    They are cached under ALENV_DATA (by default in the user's cache folder).
    """


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List all datasets, and what is cached: image folders, embeddings and pretrained weights too."""
    if as_json:
        click.echo(
            json.dumps([dataclasses.asdict(entry) for entry in datasets.listing()], indent=2, default=str)
        )
        return
    console, entries = Console(), datasets.listing()
    rows = [_row(entry) for entry in entries]
    unlimited = console.options.update(max_width=10_000)
    fitting = (
        shown
        for shown in range(len(_COLUMNS), 0, -1)
        if Measurement.get(console, unlimited, _table(rows, shown)).maximum <= console.width
    )
    console.print(_table(rows, next(fitting, _KEPT)))
    click.echo(f"{_size(sum(entry.size_bytes for entry in entries))} are cached in {cache.root()}.")


def _row(entry: datasets.Entry) -> tuple[str, ...]:
    known = entry.num_classes > 0
    return (
        entry.handle,
        entry.state,
        _size(entry.size_bytes) if entry.size_bytes else "",
        f"{entry.train_count:,}" if known else "",
        f"{entry.test_count:,}" if known else "",
        str(entry.num_classes) if known else "",
        "x".join(map(str, entry.image_shape)) if known else "",
        entry.source,
        entry.root or str(entry.path or ""),
    )


def _table(rows: list[tuple[str, ...]], shown: int) -> Table:
    """Returns the first columns; a name that has no room goes on in the next line and is never cut."""
    name = Column(_COLUMNS[0], overflow="fold")
    table = Table(name, *(Column(heading, no_wrap=True) for heading in _COLUMNS[1:shown]), **STYLE)
    for row in rows:
        table.add_row(*map(Text, row[:shown]))
    return table


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


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
    if added.found is not None:
        click.echo(added.found, err=True)
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
    found = {entry.path: entry.found for entry in datasets.listing()}
    for folder in folders:
        click.echo(f"{folder} is sound.")
        if found[folder] is not None:
            click.echo(found[folder], err=True)
    if not folders:
        click.echo(f"{name} comes with its library; there is no cached file to verify.")


@data.command()
@click.argument("names", metavar="[NAME|PATH]...", nargs=-1)
@click.option("--all-folders", is_flag=True, help="Remove the cached copies of all image folders.")
def remove(names: tuple[str, ...], all_folders: bool) -> None:
    """Free what the cache holds of datasets, image folders, embeddings and pretrained weights.

    NAME is one of `alenv data list`; PATH is a folder of your images, whose cached copies go. Your own files
    are never touched, and what was removed is read or fetched again when it is next used.
    """
    if not names and not all_folders:
        raise click.UsageError("Nothing was given to remove", click.get_current_context())
    removed = datasets.remove(names, all_folders=all_folders)
    for entry in removed:
        of = f" of {entry.root}, which is untouched" if entry.root else ""
        click.echo(f"Removed {entry.handle}: {_size(entry.size_bytes)}, {entry.source or 'damaged'}{of}.")
    click.echo(f"{_size(sum(entry.size_bytes for entry in removed))} are free again.")
