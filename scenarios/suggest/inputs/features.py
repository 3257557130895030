"""Features of image files: computed once for each content, and kept in the data folder."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alenv import errors, files
from alenv.data import cache, images, unreadable
from alenv.progress import progress
from scenarios.suggest.inputs import kinds

_BLOCK = 1024  # images whose features are kept together: a killed run loses no more
_SAMPLE = 2000  # images that a dictionary of patches is learned from
_SHOWN = 3


@dataclass(frozen=True)
class Described:
    """Images with their features.

    Attributes:
        files: Those that can be read, as they were given.
        rows: (n, D), float32; uint8 for the images themselves.
        failed: {file: why it cannot be read}.
    """

    files: tuple[str, ...]
    rows: np.ndarray
    failed: Mapping[str, str]


def described(root: Path, names: Sequence[str], features: str | kinds.Kind) -> Described:
    """Returns the features of image files; those of contents that were described before are read.

    Args:
        root: The folder.
        names: The files, relative to it.
        features: A kind, or what ``kinds.find`` knows, or a file ``FILE.npy`` of a row per line of ``FILE.txt``
            beside it.

    Raises:
        UnreadableImages: No image can be read.
        UnknownName: There are no such features.
        InvalidRecipe: The file does not fit, or a package is missing.
        StorageError: The data folder cannot be written.
    """
    if isinstance(features, str) and features.endswith(".npy"):
        return _of_file(Path(features).expanduser(), names)
    kind = kinds.find(features, root) if isinstance(features, str) else features
    folder = cache.root() / "suggest" / kind.key
    failed: dict[str, str] = {}
    digests = _digests(root, names, failed)
    places = _known(folder)
    first = {digest: name for name, digest in digests.items() if digest not in places}
    if first:
        _describe(root, sorted(first.items(), key=lambda pair: pair[1]), kind, folder, failed)
        places = _known(folder)
    reasons = {digests[name]: why for name, why in failed.items() if name in digests}
    failed.update({name: reasons[digest] for name, digest in digests.items() if digest in reasons})
    kept = tuple(name for name in names if name not in failed)
    if not kept:
        raise errors.UnreadableImages(
            f"{root} holds no image that can be read: {unreadable.described(failed)}."
        )
    return Described(kept, _gathered([places[digests[name]] for name in kept]), failed)


# ---- which contents there are --------------------------------------------------------------------------------


def _digests(root: Path, names: Sequence[str], failed: dict[str, str]) -> dict[str, str]:
    """Returns the SHA-256 of files; one of the same size and time as before is not read again."""
    memo = cache.root() / "suggest" / f"files-{hashlib.sha256(str(root).encode()).hexdigest()[:16]}.json"
    try:
        before: dict[str, list[int | str]] = json.loads(memo.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}

    def digest(name: str) -> list[int | str] | None:
        try:
            facts = (root / name).stat()
            old = before.get(name)
            if old is not None and old[:2] == [facts.st_size, facts.st_mtime_ns]:
                return old
            content = hashlib.sha256((root / name).read_bytes()).hexdigest()
            return [facts.st_size, facts.st_mtime_ns, content]
        except OSError as problem:
            failed[name] = unreadable.reason(root / name, problem)
        return None

    with ThreadPoolExecutor(_threads()) as pool:
        found = {name: one for name, one in zip(names, pool.map(digest, names), strict=True) if one}
    if found != before:
        files.make_folder(memo.parent, cache.ADVICE)
        files.write_text(memo, json.dumps(found), cache.ADVICE)
    return {name: str(one[2]) for name, one in found.items()}


def _threads() -> int:
    return min(8, os.cpu_count() or 1)


# ---- what is kept of them ------------------------------------------------------------------------------------


def _known(folder: Path) -> dict[str, tuple[Path, int]]:
    """Returns where the row of each content is: the file, and its place in it."""
    places = {}
    for part in sorted(folder.glob("part-*[0-9a-f]")):
        try:
            digests = json.loads((part / "digests.json").read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue  # removed meanwhile; what it held is computed anew
        places.update({digest: (part / "rows.npy", place) for place, digest in enumerate(digests)})
    return places


def _gathered(places: Sequence[tuple[Path, int]]) -> np.ndarray:
    by_file: dict[Path, list[int]] = {}
    for position, (file, _) in enumerate(places):
        by_file.setdefault(file, []).append(position)
    rows: np.ndarray | None = None
    for file, positions in by_file.items():
        stored = np.load(file, mmap_mode="r")
        if rows is None:
            rows = np.empty((len(places), stored.shape[1]), dtype=stored.dtype)
        rows[positions] = stored[[places[position][1] for position in positions]]
    assert rows is not None, "asked for some images at least"
    return rows


def _describe(
    root: Path, contents: Sequence[tuple[str, str]], kind: kinds.Kind, folder: Path, failed: dict[str, str]
) -> None:
    """Computes the features of contents, (digest, file) each, and keeps them block by block."""
    shape = (kind.side, kind.side, 3)

    def read(name: str) -> np.ndarray | None:
        try:
            return images.decode(root / name, shape)
        except unreadable.UnusablePixels as problem:
            failed[name] = str(problem)
        except Exception as problem:  # every format's decoder fails in its own way; none is hidden
            failed[name] = unreadable.reason(root / name, problem)
        return None

    with ThreadPoolExecutor(_threads()) as pool, progress("features", len(contents)) as advance:

        def sample() -> np.ndarray:
            chosen = contents[:: -(-len(contents) // _SAMPLE)]
            found = [one for one in pool.map(read, [name for _, name in chosen]) if one is not None]
            if not found:
                raise errors.UnreadableImages(
                    f"{root} holds no image that can be read: {unreadable.described(failed)}."
                )
            return np.stack(found)

        describe = kind.start(sample, folder)
        for start in range(0, len(contents), _BLOCK):
            block = contents[start : start + _BLOCK]
            found = list(pool.map(read, [name for _, name in block]))
            kept = [(digest, one) for (digest, _), one in zip(block, found, strict=True) if one is not None]
            if kept:
                _keep(folder, [digest for digest, _ in kept], describe(np.stack([one for _, one in kept])))
            advance(len(block))


def _keep(folder: Path, digests: Sequence[str], rows: np.ndarray) -> None:
    def fill(place: Path) -> None:
        np.save(place / "rows.npy", rows)
        (place / "digests.json").write_text(json.dumps(digests), encoding="ascii")

    files.publish_folder(folder / f"part-{secrets.token_hex(8)}", fill, cache.ADVICE)


# ---- features of the user's own ------------------------------------------------------------------------------


def _of_file(file: Path, names: Sequence[str]) -> Described:
    listed = file.with_suffix(".txt")
    try:
        rows = np.load(file, mmap_mode="r", allow_pickle=False)
        lines = listed.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, EOFError) as problem:
        raise errors.InvalidRecipe(
            f"The features {file} cannot be read with {listed.name} beside it ({problem}); give an array written by "
            "numpy.save, and a text file that names the image of each row, a line each."
        ) from problem
    if rows.ndim != 2 or rows.dtype.kind != "f" or len(rows) != len(lines):
        raise errors.InvalidRecipe(
            f"{file} is {rows.dtype} of shape {rows.shape}, and {listed.name} has {len(lines)} lines; give a float row "
            "per line, (n, D)."
        )
    place = {name: number for number, name in enumerate(lines)}
    missing = [name for name in names if name not in place]
    if missing:
        more = f" and {len(missing) - _SHOWN} others" if len(missing) > _SHOWN else ""
        raise errors.InvalidRecipe(
            f"{listed} names no row for {', '.join(missing[:_SHOWN])}{more}; list every image, relative to the folder."
        )
    found = np.asarray(rows[[place[name] for name in names]], dtype=np.float32)
    if not np.isfinite(found).all():
        raise errors.InvalidRecipe(f"The features {file} hold NaN or infinite values; give finite numbers.")
    return Described(tuple(names), found, {})
