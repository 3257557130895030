"""The small changes that ``mutation.py`` makes: how a module's syntax tree may be broken.

Comparisons get another boundary or their opposite, arithmetic and logic another operator, numbers a neighbor;
copies, sorting and clipping are left out, and so are calls whose result nobody uses, and what is written into a part
of something. Texts, types, decorators, assertions and the messages of errors stay as they are.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

SWAPPED: dict[type[ast.AST], list[type[ast.AST]]] = {  # a comparison: its boundary, then its opposite
    **{ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE]},
    **{ast.GtE: [ast.Gt, ast.Lt], ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot]},
    **{ast.IsNot: [ast.Is], ast.In: [ast.NotIn], ast.NotIn: [ast.In], ast.And: [ast.Or], ast.Or: [ast.And]},
    **{ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult], ast.Pow: [ast.Mult]},
    **{ast.FloorDiv: [ast.Mult], ast.Mod: [ast.Mult], ast.BitOr: [ast.BitAnd], ast.BitAnd: [ast.BitOr]},
}
OTHER_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
UNWRAPPED = {"deepcopy", "sorted", "sort", "unique"}  # f(x) -> x
DROPPED = {"copy", "clone", "detach", "clip", "clamp", "nan_to_num"}  # x.f(...) -> x
# Types, decorators and what only a reader sees.
UNSEEN = {"annotation", "returns", "decorator_list", "bases"}


@dataclass(frozen=True)
class Mutant:
    """One change of one module: ``holder[key]``, or that attribute, is ``new`` instead of ``old``.

    Attributes:
        module: A path below the root.
        function: First line of the function that the change is in; 0 outside of all, where an import runs it.
        tree: The module.
        holder: What the changed node stands in, a node or a list of nodes.
        key: Where it stands there.
        old: The node.
        new: What stands there instead.
    """

    module: str
    function: int
    tree: ast.Module
    holder: Any
    key: Any
    old: ast.AST
    new: ast.AST

    @property
    def line(self) -> int:
        """The line of the change, from 1."""
        return int(getattr(self.old, "lineno", 0))

    def source(self) -> str:
        """Returns the module with the change."""
        _put(self.holder, self.key, self.new)
        try:
            return ast.unparse(self.tree)
        finally:
            _put(self.holder, self.key, self.old)

    def __str__(self) -> str:
        before, after = (" ".join(ast.unparse(each).split()) for each in (self.old, self.new))
        return f"{self.module}:{self.line}: {before}  ->  {after}"


def _put(holder: Any, key: Any, node: ast.AST) -> None:
    if isinstance(holder, list):
        holder[key] = node
    else:
        setattr(holder, key, node)


def mutants(root: Path, module: str) -> list[Mutant]:
    """Returns all mutants of a module, a path below ``root``, in the order of its lines."""
    tree = ast.parse((root / module).read_text(encoding="utf-8"))
    return [
        Mutant(module, place.function, tree, place.holder, place.key, place.node, new)
        for place in places(tree)
        for new in variants(place.node, place.role)
    ]


class Place(NamedTuple):
    """Where a node stands; see ``Mutant``. Its role is the field it stands in, or ``"optional"``."""

    holder: Any
    key: Any
    node: ast.AST
    role: str
    function: int


def places(parent: ast.AST, optional: bool = False, function: int = 0) -> Iterator[Place]:
    """Yields all that may be changed below ``parent``."""
    inside = function
    if isinstance(parent, ast.FunctionDef):
        optional = parent.returns is not None and "| None" in ast.unparse(parent.returns)
        inside = function or min([parent.lineno, *(each.lineno for each in parent.decorator_list)])
    for field, value in ast.iter_fields(parent):
        if field in UNSEEN:
            continue
        at_import = isinstance(parent, ast.FunctionDef) and field == "args"
        around = function if at_import else inside
        for at, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or _is_unseen(child):
                continue
            role = "optional" if optional and isinstance(parent, ast.Return) else field
            holder, key = (value, at) if isinstance(value, list) else (parent, field)
            yield Place(holder, key, child, role, around)
            yield from places(child, optional, around)


def _is_unseen(node: ast.AST) -> bool:
    """Tells texts, messages of errors and assertions, and what only a type checker runs."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.FunctionDef):
        return node.name == "__repr__"
    return isinstance(node, (ast.JoinedStr, ast.Raise, ast.Assert, ast.Import, ast.ImportFrom))


def variants(node: ast.AST, role: str) -> Iterator[ast.AST]:
    """Yields what may stand in the place of a node."""
    if isinstance(node, ast.Compare):
        for at, op in enumerate(node.ops):
            for other in SWAPPED.get(type(op), []):
                yield _changed(node, ops=[*node.ops[:at], other(), *node.ops[at + 1 :]])
    elif isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)):
        if not (isinstance(node, ast.BinOp) and (_is_text(node.left) or _is_text(node.right))):
            yield from (_changed(node, op=other()) for other in SWAPPED.get(type(node.op), []))
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield from map(ast.Constant, _near(node.value))
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif _is_dispensable(node):
        yield ast.Pass()
    has_opposite = isinstance(node, (ast.Compare, ast.UnaryOp))  # see above
    if role in ("test", "ifs") and isinstance(node, ast.expr) and not has_opposite:
        yield ast.UnaryOp(ast.Not(), node)
    if role == "optional" and not (isinstance(node, ast.Constant) and node.value is None):
        yield ast.Constant(None)


def _near(value: object) -> list[Any]:
    """Returns other values of a constant; none for a text."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    return [value * 1.2 or 1.0] if isinstance(value, float) else []


def _is_dispensable(node: ast.AST) -> bool:
    """Tells statements that may be left out: bare calls, and what is written into a part of something."""
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Subscript)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if isinstance(node.func, ast.Name) and name in OTHER_NAMES:
        yield _changed(node, func=ast.Name(OTHER_NAMES[name], ast.Load()))
    if name in UNWRAPPED and node.args:
        yield node.args[0]
    if isinstance(node.func, ast.Attribute) and name in DROPPED:
        yield node.func.value


def _changed(node: ast.AST, **fields: Any) -> ast.AST:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
