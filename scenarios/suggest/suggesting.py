"""Which images to label next: reads what is labeled, lets an agent choose, and writes a batch folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alenv import Asking, errors
from scenarios.suggest import batch_folder, kinds, known, linking, picking, project, retraining, sources
from scenarios.suggest.batch_folder import Wanted
from scenarios.suggest.known import Known
from scenarios.suggest.picking import Pick
from scenarios.suggest.retraining import Trained

PathLike = str | Path


@dataclass(frozen=True)
class Suggestion:
    """A batch of images to label next, and what is known so far.

    Attributes:
        folder: The batch folder.
        wanted: The images, the first one to be labeled first.
        agent: Who chose them.
        features: What describes the images.
        images: Images that can be read.
        unreadable: {file: why it cannot be read}.
        labels: How many labels of each class there are.
        unclear: Images that were marked unclear, and are not asked for again.
        validation: Right ones of the held-out labels, and how many there are.
        interval: Of validation accuracy, Wilson's at 95 %; None without held-out labels.
        near_duplicates: Images that were passed over because one of the batch looks the same.
        class_folders: Whether subfolders were taken for classes.
    """

    folder: Path
    wanted: tuple[Wanted, ...]
    agent: str
    features: str
    images: int
    unreadable: Mapping[str, str]
    labels: Mapping[str, int]
    unclear: int
    validation: tuple[int, int]
    interval: tuple[float, float] | None
    near_duplicates: int
    class_folders: bool

    def numbers(self) -> dict[str, Any]:
        """Returns all of it as JSON values."""
        return {**asdict(self), "folder": str(self.folder), "page": str(self.folder / batch_folder.PAGE)}


def suggest(
    root: PathLike,
    labels: Sequence[PathLike] = (),
    size: int = 100,
    *,
    out: PathLike | None = None,
    agent: str | None = None,
    features: str | None = None,
    retrain: str | None = None,
    image_size: int = retraining.IMAGE_SIZE,
    seed: int | None = None,
    class_folders: bool | None = None,
) -> Suggestion:
    """Chooses the images of a folder that are to be labeled next, and writes them as a new batch folder.

    Labels are read from ``labels``, from subfolders named by class, and from every CSV and JSON file that lies in a
    batch folder of the project. A fifth of each class's labels measures accuracy and never teaches.

    Args:
        root: The folder of the images.
        labels: CSV files with the columns file and label, or JSON exports of Label Studio; none is fine.
        size: Images of the batch; fewer where fewer are left.
        out: The project's folder; None = ``NAME-labeling`` in the current one.
        agent: Who chooses; None = typiclust with fewer than two labels a class, else learned.
        features: ``"imagenet"``, ``"patches"``, ``"timm-NAME"``, FILE.npy or a function of your own; None =
            ``"imagenet"`` where its extra is installed, else ``"patches"``.
        retrain: A recipe such as ``"fast"`` or ``"convnet"``, by which a network is trained on the labels; None = the
            classifier is logistic regression on the features.
        image_size: Height and width of the images that it is trained on.
        seed: Decides which labels measure accuracy, and the agent's random choices; None = what it was, 0 at first.
        class_folders: Whether subfolders are named by class; None = where a folder ``unlabeled`` lies beside them.

    Returns:
        The batch.

    Raises:
        AlenvError: Something that was given cannot be used; the message says what to do.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise errors.InvalidQuery(f"size={size!r} was given; ask for a whole number of images, at least 1.")
    if agent is not None:
        picking.check(agent)
    recipe = None if retrain is None else retraining.recipe_of(retrain, image_size)
    home, path = project.places(root, out)
    kind = features or kinds.default()
    given = [Path(each).expanduser() for each in labels]
    with project.opened(path, home, seed) as own:
        images = known.read(home, given, own.batches(), path, kind, class_folders)
        trained = retraining.trained(home, images, recipe, image_size) if recipe else None
        return _suggested(own, images, trained, size, agent, kind)


def apply(root: PathLike, labels: Sequence[PathLike], *, out: PathLike | None = None) -> tuple[Path, int]:
    """Makes class folders of symbolic links to labeled images, in a new folder of the project.

    Args:
        root: The folder of the images.
        labels: Files of labels; see ``suggest``.
        out: The project's folder; None = ``NAME-labeling`` in the current one.

    Returns:
        The folder, and how many links there are.

    Raises:
        AlenvError: A file cannot be used; the message says what to do.
    """
    home, path = project.places(root, out)
    with project.opened(path, home, None) as own:
        given = [Path(each).expanduser() for each in labels]
        labeled = sources.found(home, given, [], path, class_folders=False).labels
        folder = own.free("classes")
        return folder, linking.link(labeled, home, folder)


def _suggested(
    own: project.Project, images: Known, trained: Trained | None, size: int, agent: str | None, kind: str
) -> Suggestion:
    split = images.places(own.divide(images.classes))
    batch = len(own.batches())
    asking = Asking(
        images.rows,
        images.labels,
        len(images.names),
        held_out=split,
        left_out=images.unclear,
        embedding=kind,
        recipe=trained and trained.recipe,
        images=trained and trained.images,
        seed=own.seed + batch,
    )
    if not asking.room:
        raise errors.InvalidQuery(
            f"All {len(images.files)} images of {own.root} are labeled or unclear; there is none to ask for."
        )
    folder = own.free("batch")
    own.save()
    asks = agent or picking.default_agent(len(images.classes) - len(split), len(images.names))
    picked = picking.pick(asking, asks, min(size, asking.room), images.names, own.seed + batch)
    found = Suggestion(
        folder=folder,
        wanted=tuple(_wanted(images, each) for each in picked.picks),
        agent=asks,
        features=kind,
        images=len(images.files),
        unreadable=dict(images.failed),
        labels=images.counts(),
        unclear=len(images.unclear),
        validation=(asking.right, len(split)),
        interval=project.wilson(asking.right, len(split)) if len(split) else None,
        near_duplicates=picked.near_duplicates,
        class_folders=images.class_folders,
    )
    batch_folder.write(folder, own.root, images.names, found.wanted, found.numbers())
    return found


def _wanted(images: Known, pick: Pick) -> Wanted:
    predicted = "" if pick.predicted is None else images.names[pick.predicted]
    return Wanted(images.files[pick.row], predicted, pick.confidence, pick.reason)
