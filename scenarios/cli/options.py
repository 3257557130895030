"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from alenv.errors import AlenvError
from alenv.settings import takes_text
from scenarios.plan.arm import refuse_reserved
from scenarios.play.engines import ENGINES, Engine
from scenarios.play.trackers import TRACKERS

Command = TypeVar("Command", bound=Callable[..., Any])

MOST_SEEDS = 10_000
_WORDS = {"True": True, "False": False, "None": None}  # as in Python; JSON spells them in lower case


def say(note: str) -> None:
    """Tells whoever runs a command what it has found."""
    click.echo(f"alenv: {note}", err=True)


def value_of(text: str, name: str = "") -> Any:
    """Reads a value: JSON where it is JSON (numbers, true, null, lists), else the text itself.

    Args:
        text: The value as it was typed.
        name: The setting; one that takes text is given text, unless that says None.
    """
    if text in _WORDS:
        return _WORDS[text]
    if takes_text(name) and text != "null":
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def settings_of(pairs: Iterable[str]) -> dict[str, Any]:
    """Reads ``NAME=VALUE`` pairs.

    Raises:
        AlenvError: A pair has no equals sign or no value, or a name comes twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise AlenvError(
                f"{pair!r} was given as a setting; write NAME=VALUE, for instance query_size=50."
            )
        if name in found:
            raise AlenvError(f"The setting {name!r} was given twice; give it once.")
        if not text:
            raise AlenvError(f"{pair!r} was given, which says no value; write {name}=VALUE, or leave it out.")
        found[name] = value_of(text, name)
    refuse_reserved(found)
    return found


def with_settings(command: Command) -> Command:
    """Adds ``--set NAME=VALUE``, which may be repeated or followed by more pairs, as ``pairs``."""

    @functools.wraps(command)
    def merged(*, pairs: tuple[str, ...], more: tuple[str, ...], **rest: Any) -> Any:
        return command(pairs=(*pairs, *more), **rest)

    option = click.option(
        "--set", "pairs", multiple=True, metavar="NAME=VALUE ...", help="Settings of the environment."
    )
    return cast("Command", option(click.argument("more", nargs=-1, metavar="")(merged)))


def seeds_of(text: str) -> tuple[int, ...]:
    """Reads seeds: ``"5"`` is 0 to 4, ``"3:8"`` is 3 to 7.

    Raises:
        AlenvError: The text is neither, or names no seed or far too many.
    """
    first, colon, last = text.partition(":")
    try:
        start, end = (int(first), int(last)) if colon else (0, int(first))
    except ValueError:
        start, end = 0, 0
    if not 0 <= start < end:
        raise AlenvError(f"--seeds {text} was given; write a number such as 5, or a range such as 3:8.")
    if end - start > MOST_SEEDS:
        raise AlenvError(f"--seeds {text} was given; one command plays at most {MOST_SEEDS:,} seeds.")
    return tuple(range(start, end))


def whole_numbers(name: str, text: str, least: int) -> tuple[int, ...]:
    """Reads whole numbers separated by commas, such as ``"10,100"``.

    Args:
        name: The option, for the message.
        text: As it was typed.
        least: The smallest that is allowed.

    Raises:
        AlenvError: A part of the text is no such number, or comes twice.
    """
    parts = text.split(",")
    if any(not part.strip().isdecimal() or int(part) < least for part in parts):
        raise AlenvError(
            f"{name} {text} was given; write a whole number of at least {least}, or several separated by commas."
        )
    numbers = tuple(map(int, parts))
    if len(set(numbers)) < len(numbers):
        raise AlenvError(f"{name} {text} was given, which names a number twice; name it once.")
    return numbers


def _folder(context: click.Context, option: click.Parameter, text: str | None) -> Path | None:
    """Reads a folder; an empty text, such as an unset variable of the shell leaves, would mean the current one."""
    if text == "":
        raise click.BadParameter("it is empty; name a folder, or leave the option out")
    return None if text is None else Path(text)


def playing(command: Command) -> Command:
    """Adds the options of every command that plays runs; where they are played becomes one ``engine``."""

    @functools.wraps(command)
    def placed(*, place: str, jobs: int, per_gpu: int, address: str | None, **rest: Any) -> Any:
        return command(engine=Engine(place, jobs, per_gpu, address), **rest)

    found = cast("Command", placed)
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON instead of a table."),
        click.option(
            "--threads", type=click.IntRange(1), help="Threads of each run; part of what repeats bit for bit."
        ),
        click.option(
            "--keep-weights",
            is_flag=True,
            help="Keep the last weights of every run, and the first cycles for agents that join later.",
        ),
        click.option(
            "--render", is_flag=True, help="Keep a picture of every cycle, for TensorBoard and as files."
        ),
        click.option(
            "--out", metavar="PATH", callback=_folder, help="Folder of the runs.  [default: ./runs/NAME]"
        ),
        click.option(
            "--tracker",
            type=click.Choice(TRACKERS),
            help="Also hand finished runs to MLflow or Weights & Biases.",
        ),
        click.option("--address", help="Of the Ray cluster.  [default: one on this machine]"),
        click.option(
            "--engine",
            "place",
            type=click.Choice(ENGINES),
            default=ENGINES[0],
            show_default=True,
            help="This machine, or a Ray cluster.",
        ),
        click.option(
            "--per-gpu", type=click.IntRange(1), default=1, show_default=True, help="Runs that share a GPU."
        ),
        click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs at a time."),
    ):
        found = option(found)
    return found


def with_labels(command: Command) -> Command:
    """Adds where labels of a folder of images come from: ``--labels`` and ``--class-folders``."""
    files = click.option(
        "--labels", "labels", metavar="FILE", multiple=True, help="A CSV file or an export of Label Studio."
    )
    folders = click.option(
        "--class-folders/--no-class-folders",
        default=None,
        help="Whether subfolders are classes.  [default: where a folder unlabeled lies beside them]",
    )
    return files(folders(command))
