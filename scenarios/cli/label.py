"""``alenv label``."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from alenv.errors import DatasetNotFound


@click.command()
@click.argument("root", metavar="DIR")
@click.option("--out", metavar="PATH", help="Folder of the project.  [default: ./NAME-labeling]")
@click.option("--no-open", is_flag=True, help="Only say where the page is.")
def label(*, root: str, out: str | None, no_open: bool) -> None:
    """Open the newest batch of the images in DIR in a browser, to be labeled there.

    DIR is the folder of the images, as for alenv suggest, or a batch folder.
    """
    from scenarios.suggest import project, suggestion  # noqa: PLC0415  (torch loads only for what has passed)
    from scenarios.suggest.inputs import given  # noqa: PLC0415  (as above)

    page = Path(root).expanduser().resolve() / suggestion.PAGE
    if not page.is_file():
        home = given.folder(root)
        path = given.project_of(home.name, out)
        pages = [folder / suggestion.PAGE for folder in project.batches(path)]
        if not pages:
            raise DatasetNotFound(f"There is no batch in {path}; make one with: alenv suggest {home}")
        page = pages[-1]
    if not no_open:
        webbrowser.open(page.as_uri())
    click.echo(page)
