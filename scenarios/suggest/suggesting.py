"""Which images to label next: reads what is labeled, lets an agent choose, and writes a batch folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alenv import Asking, errors
from scenarios.suggest import batch_folder, gathering, kinds, known, linking, picking, project, sources
from scenarios.suggest.known import Known
from scenarios.suggest.picking import Pick
from scenarios.suggest.suggestion import Suggestion, Wanted

PathLike = str | Path


def suggest(
    root: PathLike,
    labels: Sequence[PathLike] = (),
    size: int = 100,
    *,
    out: PathLike | None = None,
    agent: str | None = None,
    features: str | None = None,
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
    home = Path(root).expanduser().resolve()
    path = _project_of(home, out)
    kind = features or kinds.default()
    given = [Path(each).expanduser() for each in labels]
    _check_root(home)
    with project.opened(path, home, seed) as own:
        return _suggested(own, given, size, agent, kind, class_folders)


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
    home = Path(root).expanduser().resolve()
    _check_root(home)
    path = _project_of(home, out)
    with project.opened(path, home, None) as own:
        given = [Path(each).expanduser() for each in labels]
        labeled = sources.found(home, given, [], path, class_folders=False).labels
        folder = own.free("classes")
        return folder, linking.link(labeled, home, folder)


def _check_root(home: Path) -> None:
    if not home.is_dir():
        raise errors.DatasetNotFound(f"There is no folder {home}; give the folder that holds the images.")


def _project_of(home: Path, out: PathLike | None) -> Path:
    given = Path(f"{home.name or 'images'}-labeling") if out is None else Path(out).expanduser()
    return given.resolve()


def _suggested(
    own: project.Project, given: Sequence[Path], size: int, agent: str | None, kind: str, named: bool | None
) -> Suggestion:
    images = known.read(own.root, given, own.batches(), own.path, kind, named)
    split = images.places(own.divide(images.classes))
    batch = len(own.batches())
    asking = Asking(
        images.rows,
        images.labels,
        len(images.names),
        held_out=split,
        left_out=images.unclear,
        embedding=kind,
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
        near_duplicates=tuple((images.files[one], images.files[other]) for one, other in picked.passed),
        class_folders=images.class_folders,
        findings=gathering.gather(own, images, split, asking, len(picked.picks)),
    )
    batch_folder.write(found, own.root, images.names)
    return found


def _wanted(images: Known, pick: Pick) -> Wanted:
    predicted = "" if pick.predicted is None else images.names[pick.predicted]
    return Wanted(images.files[pick.row], predicted, pick.confidence, pick.reason)
