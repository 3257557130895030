"""``alenv embed``."""

from __future__ import annotations

from pathlib import Path

import click

from alenv.errors import AlenvError, unknown
from alenv.presets import resolve
from alenv.registration import ENVIRONMENTS, known_id
from scenarios.cli.options import say, settings_of, with_settings


@click.command()
@click.argument("env", metavar="ENV")
@click.option("--with", "name", metavar="EMBEDDING", required=True, help="What embedding= takes.")
@click.option("--out", metavar="FILE.npy", required=True, help="A new file.")
@with_settings
def embed(*, env: str, name: str, out: str, pairs: tuple[str, ...]) -> None:
    """Write an embedding of the images of the environment ENV to a file that embedding= takes.

    EMBEDDING is patches, pixels, rotation, simclr, imagenet, imagenet-NAME, timm-NAME or FILE.py:FUNCTION. A row
    per image, float32 of length 1: all train rows of the dataset, then all test rows, as
    alenv.data.load(NAME).train_images and test_images have them. FILE.json beside it says whose rows they are, so
    that no other dataset takes them.
    """
    env_id = known_id(env.removeprefix("alenv:"))
    if env_id not in ENVIRONMENTS:
        raise unknown("environment", env_id, ENVIRONMENTS)
    given = settings_of(pairs)
    if "embedding" in given:
        raise AlenvError("embedding= was given as a setting; name the embedding by --with alone.")
    settings = resolve(*ENVIRONMENTS[env_id], {**given, "embedding": name})
    from alenv import data, embedding, embedding_file  # noqa: PLC0415  (torch loads only for what has passed)
    from alenv.assembly import load_dataset  # noqa: PLC0415  (see above)

    file = Path(out)
    embedding_file.check_free(file)
    embedding.check(name)
    dataset = load_dataset(ENVIRONMENTS[env_id][0], settings.options)
    if (found := data.found_in(dataset)) is not None:
        say(found)
    recipe = settings.recipe
    rows = embedding.embed(dataset, name, recipe.embedding_size, recipe, settings.options.device)
    embedding_file.write(file, rows, dataset, name)
    train = len(dataset.train_labels)
    click.echo(
        f"{len(rows):,} rows ({train:,} train, then {len(rows) - train:,} test) of {rows.shape[1]:,} dimensions are in "
        f"{file}, with their record in {embedding_file.record_of(file)}; use them with embedding={file}"
    )
