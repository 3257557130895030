"""Which images are labeled at reset: drawn at random, per class, spread over an embedding, or listed in a file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from alenv import geometry
from alenv.errors import InvalidProtocol
from alenv.oracle import Oracle
from alenv.seeding import Purpose, numpy_stream, torch_stream
from alenv.settings import Protocol

Indices = NDArray[np.int64]


class InitialSets:
    """Chooses the initial set of each episode.

    Args:
        protocol: ``initial_set`` and ``initial_size`` (n).
        rows: int64 (N,) dataset rows of the pool.
        paths: The file of each pool image, for image folders.
        root: Their folder.
        embedding: float32 (N, D), for ``"kmeans++"`` and ``"kcenter"``.
        oracle: Knows the classes, for ``"stratified"``.

    Raises:
        InvalidProtocol: A file names other images than those of the pool, or not n of them.

    Source: the paper, section 7, for ``"kmeans++"`` and ``"kcenter"``.
    """

    def __init__(
        self,
        protocol: Protocol,
        rows: Indices,
        paths: tuple[str, ...] | None,
        root: str,
        embedding: torch.Tensor | None,
        oracle: Oracle,
    ) -> None:
        self._protocol, self._rows, self._embedding, self._oracle = protocol, rows, embedding, oracle
        self._listed: Indices | None = None
        if protocol.lists_initial_set:
            self._listed = _listed(protocol, rows, paths, root)

    def of(self, key: int) -> Indices:
        """Returns int64 (n,) pool indices for the episode of a key."""
        kind, size = self._protocol.initial_set, self._protocol.initial_size
        if self._listed is not None:
            return self._listed
        if kind == "random":
            return numpy_stream(key, Purpose.INITIAL_SET).choice(self._eligible(), size, replace=False)
        if kind == "stratified":
            return self._oracle.stratified(size, numpy_stream(key, Purpose.INITIAL_SET))
        assert self._embedding is not None, "settings with such a set and no embedding are refused"
        generator = torch_stream(key, Purpose.INITIAL_SET)
        if kind == "kcenter":
            chosen = geometry.k_center(self._embedding, size, generator=generator)
        else:
            distances = geometry.distances_to_rows(self._embedding)
            chosen = geometry.k_means_plus_plus(size, len(self._rows), distances, generator)
        return np.asarray(chosen.cpu(), dtype=np.int64)

    def _eligible(self) -> Indices:
        """Returns what is drawn from at random: in a redundant pool the images that stand in it once."""
        everything = np.arange(len(self._rows))
        if self._protocol.redundancy == 1:
            return everything
        _, place, counts = np.unique(self._rows, return_inverse=True, return_counts=True)
        single = everything[counts[place] == 1]
        return single if len(single) >= self._protocol.initial_size else everything


def names_in(file: str) -> list[str]:
    """Returns the images that a file lists: dataset rows or paths, one a line; empty lines and those with # are not.

    Args:
        file: A text file, or a ``.npy`` array of whole numbers.

    Raises:
        InvalidProtocol: It cannot be read.
    """
    place = Path(file).expanduser()
    try:
        if place.suffix == ".npy":
            array = np.load(place, allow_pickle=False)
            if array.ndim != 1 or array.dtype.kind not in "iu":
                raise ValueError(f"{array.dtype} of shape {array.shape}")
            return [str(row) for row in array]
        lines = (line.strip() for line in place.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError, EOFError) as error:
        raise InvalidProtocol(
            f"initial_set={file!r} cannot be read ({error}); give a text file with one dataset row or image path a "
            "line, or a .npy array of rows."
        ) from error
    return [line for line in lines if line and not line.startswith("#")]


def _listed(protocol: Protocol, rows: Indices, paths: tuple[str, ...] | None, root: str) -> Indices:
    file = protocol.initial_set
    places = {
        str(row): index for index, row in reversed(list(enumerate(rows)))
    }  # the first of a repeated row
    if paths is not None:
        for index, path in enumerate(paths):
            places[path] = places[os.path.relpath(path, root)] = index
    found = []
    for name in names_in(file):
        if name not in places:
            what = "row or path" if paths is not None else "dataset row"
            raise InvalidProtocol(
                f"initial_set={file!r} names {name!r}, which is no {what} of the pool; take it out."
            )
        found.append(places[name])
    chosen = np.array(found, dtype=np.int64)
    if len(np.unique(chosen)) < len(chosen):
        raise InvalidProtocol(f"initial_set={file!r} names an image twice; take the second out.")
    if len(chosen) != protocol.initial_size:
        raise InvalidProtocol(
            f"initial_set={file!r} names {len(chosen)} images and initial_size={protocol.initial_size} was given; "
            f"leave initial_size out or give {len(chosen)}."
        )
    return chosen
