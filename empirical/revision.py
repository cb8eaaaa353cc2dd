"""Which code a result came from: a number that changes with the code an experiment can reach, and not with its wording.

It is made of the syntax trees, without docstrings and comments, of the experiment's module and of all modules of this
distribution that it reaches by imports, those inside functions included. Of a package only those modules are reached whose
names are used: ``import kdtheory as kd`` and ``kd.Spectrum`` reach `kdtheory.spectrum`, not all of `kdtheory`. Of an
experiment only that counts which its `units` and `measure` need (or another experiment imports): a new way to judge the
results is not a new result. Nothing is executed for it; what is imported by a name that is computed is not seen.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

__all__ = ["reached", "revision_of"]

ROOMS = ("empirical", "kdtheory")
ROOTS = frozenset({"measure", "units"})  #: what an experiment defines, and what its results come from
ALL = "*"


class Source(NamedTuple):
    """A module's code without its wording, the dotted names it uses, and what the names at its top level stand for."""

    code: str
    uses: frozenset[str]
    binds: dict[str, str]


def revision_of(module: ModuleType, rooms: tuple[str, ...] = ROOMS) -> str:
    """Twelve hexadecimal digits that stand for the code that a module can reach.

    Parameters
    ----------
    module : module
        Of an experiment.
    rooms : tuple of str
        The packages whose code counts.

    Examples
    --------
    >>> from empirical import verdict
    >>> len(revision_of(verdict)), revision_of(verdict) == revision_of(verdict)
    (12, True)
    """
    whole = hashlib.sha256()
    for name, (path, wanted) in sorted(_closure(module, rooms).items()):
        whole.update(f"{name}\n{_read(path, wanted).code}\n".encode())
    return whole.hexdigest()[:12]


def reached(module: ModuleType, rooms: tuple[str, ...] = ROOMS) -> dict[str, Path]:
    """The modules that a module reaches, itself included, by name.

    Examples
    --------
    >>> from empirical import store
    >>> "empirical.store" in reached(store), "kdtheory" in reached(store)
    (True, False)
    """
    return {name: path for name, (path, _) in _closure(module, rooms).items()}


def _closure(module: ModuleType, rooms: tuple[str, ...]) -> dict[str, tuple[Path, frozenset[str]]]:
    """Modules with their files and the names that others want of them, grown until nothing is new."""
    if getattr(module, "__file__", None) is None:
        raise ValueError(f"`module` must be a file, so that its revision can be told, got {module!r}.")
    found = {module.__name__: (Path(str(module.__file__)), ROOTS)}
    before: dict[str, tuple[Path, frozenset[str]]] = {}
    while found != before:
        before = dict(found)
        for source in [_read(path, wanted) for path, wanted in before.values()]:
            for used in source.uses:
                name = _provider(used) if used.partition(".")[0] in rooms else ""
                path = _file(name) if name.partition(".")[0] in rooms else None
                if path is not None:
                    wanted = found.get(name, (path, frozenset()))[1]
                    found[name] = path, wanted | {used.removeprefix(f"{name}.").partition(".")[0] if used != name else ALL}
    return found


def _provider(used: str) -> str:
    """The module that a dotted name comes from: ``kdtheory.Spectrum.from_gram`` is of ``kdtheory.spectrum``."""
    seen: set[str] = set()
    while used not in seen:
        seen.add(used)
        name, rest = used, ""
        while "." in name and _file(name) is None:
            name, _, last = name.rpartition(".")
            rest = f"{last}.{rest}".rstrip(".")
        path, (first, _, further) = _file(name), rest.partition(".")
        if path is None or path.name != "__init__.py" or first not in (binds := _read(path).binds):
            return name
        used = f"{binds[first]}.{further}".rstrip(".")  # the package has the name from elsewhere
    return name


def _file(name: str) -> Path | None:
    """Where a module is, found without importing it."""
    top, *parts = name.split(".")
    spec = find_spec(top)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        place = Path(folder, *parts)
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file() and (parts or path.name == "__init__.py"):
                return path
    return None


def _read(path: Path, wanted: frozenset[str] = frozenset()) -> Source:
    state = path.stat()
    return _parsed(path, state.st_mtime_ns, state.st_size, wanted)


@cache
def _parsed(path: Path, changed: int, size: int, wanted: frozenset[str]) -> Source:  # noqa: ARG001  # changed: read again
    tree = ast.parse(path.read_text(encoding="utf-8"))
    binds = dict(pair for node in tree.body for pair in _bindings(node))
    if ALL not in wanted and set(ROOTS) <= {name for node in tree.body for name in _defines(node)}:  # an experiment
        tree.body = _needed(tree.body, wanted)
    uses = frozenset(_uses(tree))
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [part for part in body if not _is_wording(part)] or [ast.Pass()]  # type: ignore[attr-defined]
    return Source(ast.unparse(tree), uses, binds)


def _needed(body: list[ast.stmt], wanted: frozenset[str]) -> list[ast.stmt]:
    """Of a module's statements those that the wanted names need; those that define no name stay."""
    names = set(wanted)
    while True:
        kept = [node for node in body if not (defined := _defines(node)) or defined & names]
        more = {part.id for node in kept for part in ast.walk(node) if isinstance(part, ast.Name)}
        if more <= names:
            break
        names |= more
    for node in kept:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) in names]
    return kept


def _defines(node: ast.stmt) -> set[str]:
    """Names that a statement defines or imports."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return {name for name, _ in _bindings(node)}


def _is_wording(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _bindings(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that a statement imports, and what they stand for."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
    elif isinstance(node, ast.ImportFrom):
        if node.module is None or node.level:
            raise ValueError(f"imports must give the whole name, got 'from {'.' * node.level}{node.module or ''} import'.")
        for alias in node.names:
            yield alias.asname or alias.name, node.module if alias.name == "*" else f"{node.module}.{alias.name}"


def _uses(tree: ast.Module) -> Iterator[str]:
    """Dotted names: all that is imported from a module, and the attributes of what is imported as a whole."""
    whole: dict[str, str] = {}
    for node in ast.walk(tree):
        pairs = dict(_bindings(node))
        if isinstance(node, ast.Import):
            whole |= pairs
            yield from (alias.name for alias in node.names if "." in alias.name)
        else:
            yield from pairs.values()
    bases = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in whole:
            bases.add(node.value)
            yield f"{whole[node.value.id]}.{node.attr}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in whole and node not in bases:  # handed on as a whole
            yield whole[node.id]
