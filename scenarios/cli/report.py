"""``alenv report``."""

from __future__ import annotations

from pathlib import Path

import click

from alenv.errors import CorruptRun


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON instead of a table.")
def report(folder: Path, as_json: bool) -> None:
    """Show what the last command with the folder DIR showed, and draw it anew: pictures, tables and report.html.

    Nothing is played, and the folder may have moved since.
    """
    from scenarios.cli.playing import show  # noqa: PLC0415  (pictures take a second to load)
    from scenarios.report.report import make_report  # noqa: PLC0415  (see above)

    outcome = make_report(folder)
    if not outcome.pictures and not outcome.failed and outcome.curves is None:
        raise CorruptRun(f"No run in {folder} has finished; repeat the command that it was begun with.")
    show(outcome, as_json)
