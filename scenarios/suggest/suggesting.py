"""Which images to label next: reads what is labeled, lets an agent choose, and writes a batch folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alenv import Asking, errors
from scenarios.report import stats
from scenarios.suggest import batch_folder, linking, picking, project, retraining
from scenarios.suggest.findings import gathering
from scenarios.suggest.inputs import given, kinds, known, sources, unfiled
from scenarios.suggest.inputs.given import PathLike
from scenarios.suggest.inputs.known import Indices, Known
from scenarios.suggest.picking import Pick
from scenarios.suggest.retraining import Trained
from scenarios.suggest.suggestion import Suggestion, Wanted


def suggest(
    root: PathLike | Any = None,
    labels: Sequence[PathLike] | Any = (),
    size: int = 100,
    *,
    images: Any = None,
    out: PathLike | None = None,
    agent: str | None = None,
    features: str | None = None,
    retrain: str | None = None,
    image_size: int = retraining.IMAGE_SIZE,
    seed: int | None = None,
    class_folders: bool | None = None,
) -> Suggestion:
    """Chooses the images that are to be labeled next, and writes them as a new batch folder.

    Labels are read from ``labels``, from subfolders named by class, and from every CSV and JSON file that lies in a
    batch folder of the project. A fifth of each class's labels measures accuracy and never teaches. Images of an
    array or a dataset are first written as files, once, into the project; the next call takes the same ones again.

    Args:
        root: The folder of the images; or a ``datasets.Dataset`` of Hugging Face with a column of images, or the
            folder that its ``save_to_disk`` wrote. None = an array.
        labels: CSV files with the columns file and label, or JSON exports of Label Studio; none is fine. Of an array:
            (n,) whole numbers or words, -1, None or ``""`` where the label is not known. Of a dataset: the column.
        size: Images of the batch; fewer where fewer are left.
        images: An array of images: uint8 (n, H, W), (n, H, W, 1) or (n, H, W, 3).
        out: The project's folder; None = ``NAME-labeling`` in the current one, ``images-labeling`` for an array.
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
    if retrain is not None:
        retraining.check(retrain, image_size)
    kind = features or kinds.default()
    source = given.read(root, labels, images, out)
    with project.opened(source.project, source.root, seed) as own:
        found = known.read(source, own.batches(), kind, class_folders)
        trained = retraining.trained(source.root, found, retrain, image_size) if retrain else None
        return _suggested(own, found, trained, size, agent, kind)


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
    home = given.folder(root)
    path = given.project_of(home.name, out)
    with project.opened(path, home, None) as own:
        paths = [Path(each).expanduser() for each in labels]
        labeled = sources.found(home, paths, [], path, class_folders=False).labels
        folder = own.free("classes")
        return folder, linking.link(labeled, home, folder)


def _suggested(
    own: project.Project, images: Known, trained: Trained | None, size: int, agent: str | None, kind: str
) -> Suggestion:
    split = images.places(own.divide(images.classes))
    asking = _fitted(own, images, split, kind, trained)
    if not asking.room:
        raise errors.InvalidQuery(
            f"All {len(images.files)} images of {own.root} are labeled or unclear; there is none to ask for."
        )
    folder = own.free("batch")
    own.save()
    asks = agent or picking.default_agent(len(images.classes) - len(split), len(images.names))
    picked = picking.pick(asking, asks, min(size, asking.room), images.names, _seed(own))
    wanted = tuple(_wanted(images, each) for each in picked.picks)
    # What the labels say takes dozens of classifiers: with a network, those of a head on the features.
    head = asking if trained is None else _fitted(own, images, split, kind, None)
    found = Suggestion(
        folder=folder,
        wanted=wanted,
        agent=asks,
        features=kind,
        recipe=trained and trained.name,
        images=len(images.files),
        unreadable=dict(images.failed),
        labels=images.counts(),
        unclear=len(images.unclear),
        validation=(asking.right, len(split)),
        interval=stats.wilson(asking.right, len(split)) if len(split) else None,
        near_duplicates=tuple((images.files[one], images.files[other]) for one, other in picked.passed),
        class_folders=images.class_folders,
        findings=gathering.gather(own, images, split, head, len(wanted)),
        gone=tuple(sorted(images.gone)),
        passed=dict(images.passed),
        indices=unfiled.positions([each.file for each in wanted]) if images.unfiled else None,
    )
    batch_folder.write(found, own.root, images.names)
    return found


def _fitted(
    own: project.Project, images: Known, split: Indices, kind: str, trained: Trained | None
) -> Asking:
    """Fits the classifier to what is known: a network, or else a head on the features."""
    return Asking(
        images.rows,
        images.labels,
        len(images.names),
        held_out=split,
        left_out=images.unclear,
        embedding=kind,
        recipe=trained and trained.recipe,
        images=trained and trained.images,
        seed=_seed(own),
    )


def _seed(own: project.Project) -> int:
    """Returns the seed of the next batch."""
    return own.seed + len(own.batches())


def _wanted(images: Known, pick: Pick) -> Wanted:
    predicted = "" if pick.predicted is None else images.names[pick.predicted]
    return Wanted(images.files[pick.row], predicted, pick.confidence, pick.reason)
