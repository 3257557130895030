"""Contact sheets: what each agent bought, the same cycles of the same seed side by side."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from alenv import data
from alenv.errors import AlenvError, CorruptRun
from scenarios.play.run_folder import Run, RunFolder
from scenarios.report.curves import Curves
from scenarios.report.details import Known

IMAGES = 8  # of each query
SIDE = 48  # pixels of a thumbnail at most
ROOM = 300_000  # bytes of all thumbnails
MOST_ARMS = 12


@dataclass(frozen=True)
class Thumbnail:
    """One image as a data URI, and the name of its class."""

    uri: str
    name: str


@dataclass(frozen=True)
class Sheet:
    """What one arm bought: (cycle, thumbnails) for each cycle that is shown."""

    label: str
    queries: list[tuple[int, list[Thumbnail]]]


@dataclass(frozen=True)
class Sheets:
    """All contact sheets.

    Attributes:
        sheets: One per arm; empty where there are none.
        said: Which part is shown, or why nothing is, in one sentence.
    """

    sheets: list[Sheet]
    said: str


def contact_sheets(curves: Sequence[Curves], runs: Sequence[Run], known: Known) -> Sheets:
    """Returns thumbnails of first, middle and last query of a seed that the arms share.

    Nothing is downloaded: images are shown where the run's own dataset lies in the cache of this machine.

    Args:
        curves: The arms, the most important first.
        runs: Their runs.
        known: What these have kept.
    """
    arms = [arm for arm in curves if len(arm.labeled) > 1][:MOST_ARMS]
    shared = [seed for seed in (arms[0].seeds if arms else ()) if all(seed in arm.seeds for arm in arms)]
    if not arms or not shared:
        return Sheets([], "No image is shown, since there was no query, or the arms share no seed.")
    seed, last = shared[0], min(len(arm.labeled) for arm in arms) - 1
    folders = {run.arm.label: run.folder for run in runs if run.seed == seed}
    try:
        cycles = sorted({1, (1 + last) // 2, last})
        rows = {arm.label: _bought(folders[arm.label]) for arm in arms}
        stored = {arm.label: _images(known[arm.label, seed].meta) for arm in arms}
    except AlenvError as error:
        return Sheets([], f"No image is shown. {' '.join(str(error).split())}")
    except (OSError, LookupError, ValueError):
        return Sheets([], f"No image is shown, since what was bought with seed {seed} cannot be read.")
    for count in range(IMAGES, 0, -1):
        sheets = [
            Sheet(
                arm.label,
                [
                    (cycle, _thumbnails(stored[arm.label], rows[arm.label][cycle - 1][:count]))
                    for cycle in cycles
                ],
            )
            for arm in arms
        ]
        if sum(len(each.uri) for sheet in sheets for _, many in sheet.queries for each in many) <= ROOM:
            break
    size = max(len(rows[arm.label][0]) for arm in arms)
    which = f"the first {count} of {size:,}" if count < size else f"all {size}"
    said = (
        f"Seed {seed}; of each query {which} images in the order of purchase, with the name of their class."
    )
    if len(arms) < len(curves):
        said += f" {len(arms)} of {len(curves)} arms are shown."
    return Sheets(sheets, said)


def _bought(folder: RunFolder) -> np.ndarray:
    """Returns the dataset rows of every query, int64 (T, B); raises ``CorruptRun`` where they cannot be read."""
    found = folder.queries()
    if found is None:
        raise CorruptRun(
            f"{folder.path / 'queries.npz'} cannot be read; repeat the command that played the run."
        )
    return found["queries_rows"]


def _images(meta: Mapping[str, Any]) -> data.Dataset:
    """Returns the dataset of a run; raises ``DatasetNotFound`` where it is not here."""
    return data.at_hand(meta["dataset"]["checksum"])


def _thumbnails(dataset: data.Dataset, rows: np.ndarray) -> list[Thumbnail]:
    return [
        Thumbnail(_uri(dataset.train_images[row]), dataset.class_names[int(dataset.train_labels[row])])
        for row in rows.tolist()
    ]


def _uri(pixels: np.ndarray) -> str:
    """Returns uint8 (H, W, C) as a PNG in a data URI, larger images reduced to ``SIDE``."""
    kind = pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3]
    picture = Image.fromarray(np.ascontiguousarray(kind))
    picture.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
