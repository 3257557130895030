"""Code that is found instead of listed: every file of a package, and a user's own by ``FILE.py:NAME``."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeVar, cast

from alenv.errors import AlenvError, UnknownName, unknown

Kind = TypeVar("Kind")

_PREFIX = "alenv_own_"  # of the modules that files are loaded as


def walk(package: str, holding: str = "") -> None:
    """Imports every module of a package, so that what they register is there; those with ``_`` in front are not.

    Args:
        package: Its name.
        holding: Only modules with this in their text; the others, and what they need, are not loaded.
    """
    home = importlib.import_module(package)
    for found in pkgutil.iter_modules(home.__path__):
        name = f"{package}.{found.name}"
        if found.name.startswith("_") or name in sys.modules:
            continue
        spec = found.module_finder.find_spec(name, None)
        if (
            holding
            and spec is not None
            and spec.origin
            and holding not in Path(spec.origin).read_text("utf-8")
        ):
            continue
        importlib.import_module(name)


def is_own(text: str | None) -> bool:
    """Tells whether a name is spelled as a user's own code: ``FILE.py:NAME`` or ``MODULE:NAME``."""
    return text is not None and ":" in text


def load(text: str, kind: str) -> Any:
    """Returns a user's own object.

    A file is loaded once for each content that it has, so an edited file is another module. What a file
    imports from its own folder is found there; modules are looked up in the current folder too.

    Args:
        text: ``FILE.py:NAME`` or ``MODULE:NAME``.
        kind: What the object should be, for error messages: ``"agent"``, ``"objective"`` ...

    Raises:
        UnknownName: The text is not of this form, or there is no such file, module or name.
        AlenvError: The file or module cannot be imported; the message holds the reason.
    """
    place, _, name = text.rpartition(":")
    if not place or not name.isidentifier():
        raise UnknownName(f"The {kind} {text!r} cannot be read; write FILE.py:NAME or MODULE:NAME.")
    module = _module(place, text, kind)
    if not hasattr(module, name):
        public = [each for each in vars(module) if not each.startswith("_")]
        raise unknown(kind, f"{place}:{name}", (f"{place}:{each}" for each in public))
    return getattr(module, name)


def find(
    name: str,
    kind: str,
    registered: Callable[[], Mapping[str, type[Kind]]],
    fits: Callable[[type], bool],
    refusal: str,
) -> type[Kind]:
    """Returns a registered class, or a user's own.

    Args:
        name: A registered name, ``FILE.py:NAME`` or ``MODULE:NAME``.
        kind: What it should be, for error messages.
        registered: Returns the registered classes by name.
        fits: Tells whether a user's class is one of this kind.
        refusal: What is said of one that is not, and what to give instead.

    Raises:
        UnknownName: There is none, or it is of another kind.
        AlenvError: The user's file cannot be imported.
    """
    if is_own(name):
        found = load(name, kind)
        if not (inspect.isclass(found) and fits(found)):
            raise UnknownName(f"{name!r} {refusal}")
        return cast("type[Kind]", found)
    known = registered()
    if name not in known:
        raise unknown(kind, name, known)
    return known[name]


def load_module(place: str, kind: str) -> ModuleType:
    """Imports a user's own ``FILE.py`` or ``MODULE``; see ``load``."""
    return _module(place, place, kind)


def content(text: str) -> dict[str, str]:
    """Returns the SHA-256 of a user's own code by file, with all that it imports from its own folder or package.

    Args:
        text: ``FILE.py`` or ``MODULE``, with or without ``:NAME`` behind; a module is imported.
    """
    place = text.rpartition(":")[0] or text
    file = Path(_module(place, place, "code").__file__ or "").resolve()
    if "." in place and not place.endswith(".py"):  # a module of a package may use any other of it
        home = file.parents[place.count(".") - (file.name != "__init__.py")]
        files = set(home.rglob("*.py"))
    else:
        home, files = file.parent, set()
        waiting = {file}
        while waiting:
            files |= waiting
            waiting = {beside for each in waiting for beside in _imported_beside(each, home)} - files
    return {
        str(each.relative_to(home)): hashlib.sha256(each.read_bytes()).hexdigest() for each in sorted(files)
    }


def _imported_beside(file: Path, home: Path) -> Iterator[Path]:
    """Yields the files in ``home`` that a file's import statements lead to."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            yield from (each for each in (home / f"{top}.py",) if each.is_file())
            yield from (home / top).rglob("*.py")


def _module(place: str, text: str, kind: str) -> ModuleType:
    if not place.endswith(".py"):
        with _searched(Path.cwd()):
            return _imported(place, text, kind)
    file = Path(place).expanduser().resolve()
    try:
        code = file.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnknownName(
            f"The {kind} {text!r} cannot be read ({reason}); give an existing FILE.py."
        ) from error
    # The name says where and what: equal content in two files is two modules, an edited file a new one.
    digest = hashlib.sha256(str(file).encode() + b"\0" + code).hexdigest()[:16]
    name = f"{_PREFIX}{file.stem}_{digest}"
    if name not in sys.modules:
        _execute(name, file, text, kind)
    return sys.modules[name]


class _FromText(SourceFileLoader):
    """Loads a file from its text: cached bytecode stays in use after an edit of equal size within one second."""

    def get_code(self, fullname: str) -> CodeType:
        """Compiles the file."""
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def _execute(name: str, file: Path, text: str, kind: str) -> None:
    spec = importlib.util.spec_from_file_location(name, file, loader=_FromText(name, str(file)))
    assert spec is not None, "the file ends in .py"
    assert spec.loader is not None, "the file ends in .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _searched(file.parent):
            spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises, down to a syntax error
        del sys.modules[name]
        raise _unusable(text, kind, error) from error


def _imported(place: str, text: str, kind: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise _unusable(text, kind, error) from error
        raise UnknownName(
            f"The {kind} {text!r} cannot be read (there is no module {error.name!r}); write FILE.py:NAME or "
            "MODULE:NAME."
        ) from error
    except Exception as error:  # see above
        raise _unusable(text, kind, error) from error


def _unusable(text: str, kind: str, error: Exception) -> AlenvError:
    if isinstance(error, AlenvError):
        return error
    reason = " ".join(str(error).split())
    return AlenvError(
        f"The {kind} {text!r} cannot be imported ({type(error).__name__}: {reason}); mend its file."
    )


@contextmanager
def _searched(folder: Path) -> Iterator[None]:
    """Looks for modules in ``folder`` too, after everything else."""
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
