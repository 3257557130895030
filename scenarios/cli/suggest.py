"""``alenv suggest``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from alenv.data import findings, unreadable
from alenv.errors import AlenvError
from scenarios.cli.options import say, with_labels

if TYPE_CHECKING:
    from scenarios.suggest import Suggestion

_NAMED = 5  # images that a note names


@click.command()
@click.argument("root", metavar="DIR")
@with_labels
@click.option("--size", type=click.IntRange(1), default=100, show_default=True, help="Images of the batch.")
@click.option("--out", metavar="PATH", help="Folder of the project.  [default: ./NAME-labeling]")
@click.option("--agent", metavar="NAME", help="Who chooses.  [default: typiclust at first, then learned]")
@click.option(
    "--features", metavar="NAME", help="What describes the images.  [default: imagenet, else patches]"
)
@click.option(
    "--retrain", metavar="RECIPE", help="Train a network on the labels, by convnet, fast or another recipe."
)
@click.option(
    "--image-size", type=click.IntRange(1), default=32, show_default=True, help="Of its images, in pixels."
)
@click.option("--seed", type=click.IntRange(0), help="Of the validation split and the agent.  [default: 0]")
@click.option(
    "--apply", "applied", metavar="FILE", multiple=True, help="Make class folders of these labels instead."
)
@click.option("--link", is_flag=True, help="With --apply: of symbolic links; images stay where they are.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def suggest(
    *,
    root: str,
    labels: tuple[str, ...],
    size: int,
    out: str | None,
    agent: str | None,
    features: str | None,
    retrain: str | None,
    image_size: int,
    seed: int | None,
    class_folders: bool | None,
    applied: tuple[str, ...],
    link: bool,
    as_json: bool,
) -> None:
    """Say which images of the folder DIR to label next.

    Writes a new folder batch-001, batch-002, ... with batch.csv, tasks for Label Studio, a contact sheet and
    label.html, in which the batch is labeled by keys. Its report.html shows how good the classifier is so far,
    what the batch should bring, or that it is time to stop, and labels that look wrong. Put the labels.csv that
    label.html saves into the batch folder and repeat the command: it reads them. Labels may also come as
    --labels FILE, or as folders named by class beside a folder unlabeled; none at all is fine. No image is moved
    or changed. DIR may also be what a dataset of Hugging Face wrote with save_to_disk (pip install alenv[hf]);
    --labels then names its column of labels.
    """
    from scenarios.suggest import suggesting  # noqa: PLC0415  (torch loads only for what has passed)

    if applied or link:
        if not (applied and link):
            raise AlenvError("--apply FILE and --link go together; give both, or neither.")
        folder, count = suggesting.apply(root, (*applied, *labels), out=out)
        click.echo(
            json.dumps({"folder": str(folder), "links": count})
            if as_json
            else f"{count:,} links to images, by class, are in {folder}"
        )
        return
    found = suggesting.suggest(
        root,
        labels,
        size,
        out=out,
        agent=agent,
        features=features,
        retrain=retrain,
        image_size=image_size,
        seed=seed,
        class_folders=class_folders,
    )
    if found.unreadable:
        say(f"left out as unreadable: {unreadable.described(found.unreadable)}")
    if strange := {kind: count for kind, count in found.passed.items() if not kind.startswith(".")}:
        say(f"passed over as no images: {findings.kinds(strange)}")
    if found.gone:
        others = f" and {len(found.gone) - _NAMED} others" if len(found.gone) > _NAMED else ""
        say(f"passed over the labels of images that are gone: {', '.join(found.gone[:_NAMED])}{others}")
    click.echo(json.dumps(found.numbers(), ensure_ascii=False) if as_json else _told(found))


def _told(found: Suggestion) -> str:
    """Returns what a person wants to know of a batch."""
    total, classes = sum(found.labels.values()), len(found.labels)
    folders = ", folders taken as classes" if found.class_folders else ""
    unclear = f", {found.unclear:,} unclear" if found.unclear else ""
    lines = [f"{found.images:,} images, {total:,} labeled ({classes} classes{folders}){unclear}"]
    if found.labels:
        few = sorted(found.labels.items(), key=lambda pair: (pair[1], pair[0]))[:5]
        lines.append("fewest labels: " + ", ".join(f"{name} {count}" for name, count in few))
    right, held_out = found.validation
    if found.interval is not None:
        low, high = (round(100 * share) for share in found.interval)
        network = f" of {found.recipe}" if found.recipe else ""
        share = f"{100 * right / held_out:.0f} % [{low}, {high}]"
        lines.append(f"validation accuracy{network} {share} on {held_out:,} held-out labels")
    else:
        lines.append("no validation accuracy yet: a class needs five labels to hold one out")
    if found.labels:
        lines += filter(None, _findings(found))
    passed = f", {len(found.near_duplicates):,} near-duplicates passed over" if found.near_duplicates else ""
    lines.append(
        f"{len(found.wanted):,} images to label, chosen by {found.agent} on {found.features}{passed}"
    )
    lines.append(f"{found.folder}")
    lines.append(f"Report: {found.report}")
    lines.append(f"Next: open {found.page}, save labels.csv beside it, and repeat this command.")
    return "\n".join(lines)


def _findings(found: Suggestion) -> list[str]:
    from scenarios.suggest.pages import telling  # noqa: PLC0415  (torch loads only for what has passed)

    findings = found.findings
    return [
        telling.OF_HEAD if found.recipe else "",
        telling.NO_SAMPLE if findings.chosen and found.validation[1] else "",
        telling.expected(findings),
        telling.stopping(findings),
        telling.suspicion(findings),
    ]
