"""``alenv bench train``."""

from __future__ import annotations

import json

import click
from rich.console import Console

from scenarios.bench import train as training


@click.command()
@click.option("--backbone", default="resnet18", show_default=True, help="The network.")
@click.option("--batch-size", type=click.IntRange(2), default=128, show_default=True, help="Images per step.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Turns of each loop.")
@click.option("--device", default="auto", show_default=True, help="A torch device.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def train(
    *, backbone: str, batch_size: int, rounds: int, device: str, threads: int | None, as_json: bool
) -> None:
    """Measure images trained per second, beside the ceiling of this machine and the loop that is usual."""
    with Console(stderr=True).status("Training in turns"):
        found = training.measure(
            backbone=backbone, batch_size=batch_size, rounds=rounds, device=device, threads=threads
        )
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(
        f"{backbone}, batches of {batch_size}, {found['precision']} on {found['device']} with "
        f"{found['threads']} threads, images per second (medians of {rounds} rounds):\n"
        f"  the environment's loop      {found['images_per_second']:>10,}\n"
        f"  ceiling, one ready batch    {found['ceiling_images_per_second']:>10,}   "
        f"{found['of_ceiling']:.1%} of it\n"
        f"  fp32, DataLoader            {found['reference_images_per_second']:>10,}   "
        f"{found['speedup']} times as fast\n"
        f"  limit, matrix products only {found['limit_images_per_second']:>10,}   "
        f"{found['product_teraflops']:g} TFLOPS over {found['gigaflop_per_image']:g} GFLOP an image"
    )
