"""One picture of the current cycle: the curve so far, the images just bought, the class counts."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from alenv.episode import Episode
from alenv.pool import OUTLIER

SHOWN = 24  # images of the query that fit into the picture
INK = "#1f5fa8"


def draw(
    episode: Episode,
    *,
    title: str,
    accuracies: tuple[str, list[float]],
    query_size: int,
    images: NDArray[np.uint8],
    class_names: tuple[str, ...],
) -> NDArray[np.uint8]:
    """Draws the state of an episode.

    Args:
        episode: The episode so far.
        title: Name of the environment.
        accuracies: ``"test"`` or ``"validation"``, and the accuracy in [0, 1] after each cycle.
        query_size: B.
        images: uint8 (n, H, W, C), the images bought last, n up to ``SHOWN``.
        class_names: One name per class.

    Returns:
        uint8 (600, 1000, 3).
    """
    figure = Figure(figsize=(10, 6), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(f"{title}: cycle {episode.cycle}, {len(episode.labeled)} labels")
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 2))
    counts = [episode.initial_size + cycle * query_size for cycle in range(episode.cycle + 1)]
    axes = figure.add_subplot(grid[0, 0])
    axes.plot(counts, [100 * accuracy for accuracy in accuracies[1]], "o-", color=INK)
    axes.set_xlabel("labeled images")
    axes.set_ylabel(f"{accuracies[0]} accuracy (%)")
    axes.grid(alpha=0.3)
    bars = figure.add_subplot(grid[:, 1])
    sizes = episode.class_counts(len(class_names))
    few = len(class_names) <= 30
    bars.barh(np.arange(len(class_names)), sizes, color=INK)
    bars.set_yticks(np.arange(len(class_names)) if few else [], class_names if few else [], parse_math=False)
    bars.set_ylim(len(class_names) - 0.5, -0.5)
    bars.set_xlabel("labels bought per class")
    _contact_sheet(
        figure, grid[1, 0], images, episode.labels[-len(images) :] if len(images) else [], class_names
    )
    canvas.draw()  # type: ignore[no-untyped-call]  # untyped in matplotlib
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]  # untyped in matplotlib
    return pixels[:, :, :3].copy()


def _contact_sheet(
    figure: Figure, place: object, images: NDArray[np.uint8], labels: object, class_names: tuple[str, ...]
) -> None:
    columns = 8
    cells = place.subgridspec(SHOWN // columns, columns)  # type: ignore[attr-defined]  # a SubplotSpec
    for position, (image, label) in enumerate(zip(images, np.asarray(labels), strict=True)):
        axes = figure.add_subplot(cells[position // columns, position % columns])
        axes.imshow(image[:, :, 0] if image.shape[2] != 3 else image, cmap="gray", vmin=0, vmax=255)
        name = "outlier" if label == OUTLIER else class_names[label]
        axes.set_title(name[:12], fontsize=7, pad=2, parse_math=False)
        axes.set_axis_off()
