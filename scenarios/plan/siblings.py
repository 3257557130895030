"""Checks that ``agents`` and ``scenarios`` are alenv's own, since both names are common."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import alenv
from alenv.errors import AlenvError


def check() -> None:
    """Checks that ``agents`` and ``scenarios`` lie beside ``alenv``, without importing them.

    Raises:
        AlenvError: Another package of that name comes first on the import path.
    """
    home = Path(alenv.__file__).resolve().parent.parent
    for name in ("agents", "scenarios"):
        spec = importlib.util.find_spec(name)
        places = list(spec.submodule_search_locations or []) if spec else []
        if not places:
            raise AlenvError(f"The package {name!r} is missing beside alenv in {home}; install alenv again.")
        if Path(places[0]).resolve().parent != home:
            raise AlenvError(
                f"Python finds another package {name!r} in {places[0]} instead of alenv's own in {home}; "
                "use a virtual environment of its own for alenv."
            )
