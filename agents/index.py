"""What the registered agents are, read from their files without importing them: listing them loads no torch."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from alenv.errors import unknown

HOMES = ("strategies", "policies")
_FACTS = ("name", "needs", "cost", "source", "default_pool", "ceiling")


@dataclass(frozen=True)
class Description:
    """What an agent is, in words.

    Attributes:
        what: One sentence.
        details: The rest of its docstring, plain text.
        pool: What a strategy chooses from unless told otherwise: ``"all"`` unlabeled images or this cycle's
            ``"candidates"``; empty for other agents.
        needs: What the recipe must offer, names of ``alenv.offers``.
        cost: What a query costs.
        source: The publication.
        ceiling: Whether it is an upper bound, which reads labels before they are bought.
    """

    what: str
    details: str
    pool: str
    needs: tuple[str, ...]
    cost: str
    source: str
    ceiling: bool = False


def described(
    document: str, pool: str, needs: tuple[str, ...], cost: str, source: str, ceiling: bool = False
) -> Description:
    """Parts a docstring into its first sentence and the rest."""
    what, _, details = inspect.cleandoc(document).replace("``", "").partition("\n")
    return Description(what, details.strip(), pool, needs, cost, source, ceiling)


def names() -> tuple[str, ...]:
    """Returns the names of all registered agents."""
    return tuple(sorted(_listed()))


def describe(name: str) -> Description:
    """Says what a registered agent does.

    Raises:
        UnknownName: There is none of this name.
    """
    if name not in _listed():
        raise unknown("agent", name, _listed())
    return _listed()[name]


def is_ceiling(name: str) -> bool:
    """Tells whether a name is that of a registered agent that reads labels before they are bought."""
    return name in _listed() and _listed()[name].ceiling


def shown(spelling: str) -> str:
    """Returns how an agent is shown beside others: a ceiling says that it is one."""
    name = spelling.partition(":")[0].partition("@")[0]
    return f"{spelling} (ceiling)" if is_ceiling(name) else spelling


@cache
def _listed() -> dict[str, Description]:
    home = Path(__file__).parent
    base = _Classes(home / "base.py")
    found = {}
    for file in sorted(path for folder in HOMES for path in (home / folder).glob("*.py")):
        classes = _Classes(file)
        for name in classes.registered():
            facts = {**base.facts("Agent"), **base.facts("Strategy"), **classes.facts(name)}
            pool = facts["default_pool"] if "Strategy" in classes.ancestors(name) else ""
            found[facts["name"]] = described(
                classes.document(name), pool, facts["needs"], facts["cost"], facts["source"], facts["ceiling"]
            )
    return found


class _Classes:
    """The classes of one file: their docstrings, bases and constant attributes."""

    def __init__(self, file: Path) -> None:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        self._nodes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}

    def registered(self) -> list[str]:
        """Names the classes that are decorated with ``register``."""
        return [
            name
            for name, node in self._nodes.items()
            if any(isinstance(each, ast.Name) and each.id == "register" for each in node.decorator_list)
        ]

    def document(self, name: str) -> str:
        """Returns a class's docstring."""
        return ast.get_docstring(self._nodes[name]) or ""

    def ancestors(self, name: str) -> list[str]:
        """Names a class's bases, farthest first as far as they are in this file, and itself."""
        node = self._nodes.get(name)
        bases = [base.id for base in node.bases if isinstance(base, ast.Name)] if node else []
        return [*(each for base in bases for each in self.ancestors(base)), name]

    def facts(self, name: str) -> dict[str, Any]:
        """Returns the constant attributes of a class, inherited ones of this file included."""
        found = {}
        for node in (self._nodes[each] for each in self.ancestors(name) if each in self._nodes):
            for line in node.body:
                if not isinstance(line, ast.AnnAssign) or line.value is None:
                    continue
                if isinstance(line.target, ast.Name) and line.target.id in _FACTS:
                    found[line.target.id] = ast.literal_eval(line.value)
        return found
