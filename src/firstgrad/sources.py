"""The Python files that a user's model is made of: found by path and read as text, nothing of them is imported."""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from firstgrad.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MEASURED = frozenset(("firstgrad", "jax", "jaxlib", "llvmlite", "numba", "numpy", "pymc", "pytensor", "scipy"))
"""Packages whose versions a record keeps: they are never a part of a model, even if one lies beside it."""
SAMPLERS = frozenset(("blackjax", "numpyro", "nutpie"))
"""The same of records of draws, each where it may have drawn."""
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_MAKERS = frozenset({"globals", "locals", "vars", "exec", "setattr", "modules", "__dict__"})
"""Where a module uses one of these, it may make names that stand nowhere."""
_MOVERS = ("__path__", "meta_path", "sys.modules")
"""Where a package uses one of these, its modules may lie elsewhere."""
_STANDARD_LIBRARY = Path(ast.__file__).parent
LIVE = "live:"
"""How the reference of a model begins that a Python process had and pickled; what follows is its name there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedModel:
    """A live model as it is sent to a worker."""

    digest: str  # of its graph, names and data
    content: bytes


HELD: dict[str, PackedModel] = {}
"""The live models that can be measured now, by their references: those of this process, and in a worker its own."""


def split_reference(reference: str) -> tuple[str, str]:
    """Return the file or module that a reference names, and the name within it; '' where it names none."""
    if reference.endswith(".py"):  # a script that makes one model
        return reference, ""
    place, _, name = reference.rpartition(":")
    return place, name


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model's file, and the local modules that it imports, as they are now."""

    digest: str = ""
    """Of the modules' names and contents, wherever they lie; '' for ``pose``, and where the file isn't found."""
    changed_at: str = ""
    """When one of them was changed last, as records write times."""

    def gave(self, digest: str, started_at: str) -> bool:
        """Whether a sample is of this source, by the digest in its record; one without is, unless a file is newer."""
        if not self.digest:
            return True
        return digest == self.digest if digest else started_at >= self.changed_at


def read_source(reference: str, folder: Path | None = None) -> ModelSource:
    """Read the files of the model that a reference names, as a worker in a folder (or here) would find them.

    Local is what lies beside the model's file, in the folder, or on Python's path outside of what is installed; imports
    are followed wherever they stand in a file. Data files, and modules that are imported by a computed name, aren't
    seen; installed packages aren't read, but a package that the reference itself names is. A live model is its own
    source; '' where it is gone.
    """
    if reference.startswith(LIVE):
        return ModelSource(digest=HELD[reference].digest if reference in HELD else "")
    try:
        files = local_files(split_reference(reference)[0], folder)
        versions = {name: _read(*_version(path)) for name, path in files.items()}
        newest = max((path.stat().st_mtime for path in files.values()), default=None)
    except OSError:
        return ModelSource()  # it was moved just now
    if newest is None:
        return ModelSource()
    text = "\n".join(f"{name} {content}" for name, (content, _) in sorted(versions.items()))
    return ModelSource(
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
        changed_at=datetime.fromtimestamp(newest, UTC).isoformat(timespec="milliseconds"),
    )


def check_reference(reference: str, folder: Path | None = None) -> None:
    """Refuse a reference to a file or module that isn't there (or in another checkout), or to a name that it hasn't.

    What can't be told without importing it passes: a module that only Python's own machinery finds, a name that may
    come from ``import *``, a module's ``__getattr__`` or `globals()`. Raises SpecError naming what is missing, and what
    is there.
    """
    place, name = split_reference(reference)
    if not place:
        return
    if reference.startswith(LIVE):
        if reference not in HELD:
            raise SpecError(
                "MODEL",
                f"{reference} was a live model of a Python process, which alone can measure it. There: "
                "firstgrad.measure(model); for later, write a function that makes it, and give file.py:function",
            )
        return
    here = (folder or Path.cwd()).absolute()
    try:
        _check_place(place, name, here, is_elsewhere=folder is not None)
    except OSError as error:
        raise SpecError("MODEL", f"nothing can be found under such a name ({error.strerror}): {place}") from error


def _check_place(place: str, name: str, here: Path, *, is_elsewhere: bool) -> None:
    """Refuse what isn't there; OSError where nothing can have such a name."""
    if place.endswith(".py"):
        path = here / place
        if not path.is_file():
            nearest = get_close_matches(Path(place).name, (one.name for one in (here / place).parent.glob("*.py")), n=1)
            hint = f". Did you mean {Path(place).with_name(nearest[0])}?" if nearest else ""
            raise SpecError("MODEL", f"no file {place} (looked from {here}){hint}")
    else:
        located = dict(_locate(place, [here, *([] if is_elsewhere else map(Path, filter(None, sys.path)))]))
        if not located and is_elsewhere:
            return  # another Python may have it
        if place not in located:
            _refuse_module(place, here, located)
            return
        path = located[place]
    if not name:
        _check_script(path, place)
        return
    names = top_level_names(path)
    if names is not None and name not in names:
        there = ", ".join(sorted(one for one, is_callable in names.items() if is_callable and not one.startswith("_")))
        within = f". Is it made within a function? Then {place} alone does, if it makes one model"
        is_within = place.endswith(".py") and name in path.read_text(errors="replace")
        raise SpecError("MODEL", f"{place} has no function {name!r}. It has: {there or 'none'}{within * is_within}")


def _check_script(path: Path, place: str) -> None:
    """Refuse a script that makes more than one model, as far as its text tells."""
    try:
        module = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # running it says so
    models = _list_models(module, top_level(module))
    if len(models) > 1:
        ways = ", ".join(f"{place}:{name} (line {line})" for line, name in models.items())
        raise SpecError("MODEL", f"{place} makes {len(models)} models. Name one: {ways}")


def find_makers(path: Path) -> dict[str, int]:
    """Find what makes a file's models, as its text tells: public functions by name, and the lines that they stand in.

    Of a file that makes models as it is imported, or has no such function, it is the script's variables; '' where that
    is one. Raises SpecError where it can't be read as Python.
    """
    try:
        module = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError) as error:
        line = f"line {error.lineno}: syntax error: " if isinstance(error, SyntaxError) else ""
        raise SpecError("MODEL", f"{line}{getattr(error, 'msg', error)}") from error
    makers: dict[str, int] = {}
    functions = [one for one in module.body if isinstance(one, ast.FunctionDef)]
    for _ in functions:  # who returns what another one makes, makes it, too
        makers |= {one.name: one.lineno for one in functions if _returns_model(one, {"Model", *makers})}
    public = {name: line for name, line in makers.items() if not name.startswith("_")}
    run = [one for one in module.body if not isinstance(one, ast.FunctionDef | ast.ClassDef) and not _is_main(one)]
    called = [node for one in run for node in ast.walk(one) if _is_made(node, {"Model", *makers})]
    models = _list_models(module, run) or (_list_models(module, top_level(module)) if not (public or called) else {})
    if len(models) > 1:
        return {name: line for line, name in models.items()}
    return {"": 1} if models or called else public


def _returns_model(function: ast.FunctionDef, makers: set[str]) -> bool:
    """Whether a function says that it returns a model, or returns what it made as one, or what another one makes."""
    said = getattr(function.returns, "value", "") if isinstance(function.returns, ast.Constant) else function.returns
    name = str(said if isinstance(said, str) else getattr(said, "attr", getattr(said, "id", "")))
    if name.rpartition(".")[2] == "Model":
        return True
    nodes = list(ast.walk(function))
    made = {
        one.id
        for node in nodes
        if isinstance(node, ast.Assign) and _is_made(node.value, makers)
        for one in node.targets
        if isinstance(one, ast.Name)
    }
    made |= {
        getattr(node.optional_vars, "id", "")
        for node in nodes
        if isinstance(node, ast.withitem) and _is_made(node.context_expr, makers)
    }
    returned = (part for node in nodes if isinstance(node, ast.Return) and node.value for part in ast.walk(node.value))
    return any(_is_made(part, makers) or (isinstance(part, ast.Name) and part.id in made) for part in returned)


def parameters_of(reference: str, *, is_required: bool = False) -> frozenset[str]:
    """Return the names of the parameters of a reference's function (or those without a default), as its text tells."""
    place, name = split_reference(reference)
    path = Path(place) if place.endswith(".py") else dict(_locate(place, [Path.cwd(), *map(Path, sys.path)])).get(place)
    try:
        module = ast.parse(path.read_bytes()) if path is not None else ast.Module([], [])
    except (SyntaxError, ValueError, OSError):
        return frozenset()
    for one in module.body:
        if isinstance(one, ast.FunctionDef) and one.name == name:
            taken, defaults = one.args, one.args.defaults
            plain = taken.args[: len(taken.args) - len(defaults)] if is_required else taken.args
            named = zip(taken.kwonlyargs, taken.kw_defaults, strict=True)
            return frozenset(
                argument.arg for argument in (*plain, *(one for one, given in named if not (is_required and given)))
            )
    return frozenset()


def _list_models(module: ast.Module, statements: Iterable[ast.stmt]) -> dict[int, str]:
    """List the variables that statements of a script give a model, by line; of functions their first level."""
    makers = {
        one.name
        for one in module.body
        if isinstance(one, ast.FunctionDef) and any(_is_made(node, {"Model"}) for node in ast.walk(one))
    }
    models: dict[int, str] = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and _is_made(statement.value, makers | {"Model"}):
            models.update((statement.lineno, one.id) for one in statement.targets if isinstance(one, ast.Name))
        elif isinstance(statement, ast.With):
            entered = [item for item in statement.items if _is_made(item.context_expr, makers | {"Model"})]
            models.update((statement.lineno, getattr(item.optional_vars, "id", "")) for item in entered)
    return models


def _is_made(node: ast.AST, makers: set[str]) -> bool:
    return isinstance(node, ast.Call) and called_name(node) in makers


def called_name(call: ast.Call) -> str:
    """Return the last name of what a call calls."""
    return str(getattr(call.func, "id", getattr(call.func, "attr", "")))


def top_level(module: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements of a script's top level; those below ``if __name__ == "__main__":`` are of it, too."""
    for statement in module.body:
        yield from statement.body if _is_main(statement) else [statement]


def _is_main(statement: ast.stmt) -> TypeGuard[ast.If]:
    if not (isinstance(statement, ast.If) and not statement.orelse and isinstance(statement.test, ast.Compare)):
        return False
    words = [getattr(one, "id", getattr(one, "value", "")) for one in ast.walk(statement.test)]
    return "__name__" in words and "__main__" in words


def _refuse_module(place: str, folder: Path, located: dict[str, Path]) -> None:
    """Refuse a module where its package is there as files and it isn't, or where Python doesn't find the package."""
    top, _, last = place.rpartition(".")
    if located:
        package = next(reversed(located.values()))
        is_compiled = any(package.parent.glob(f"{last}.*"))
        is_there = is_compiled or any(word in package.read_text(errors="replace") for word in _MOVERS)
    else:
        is_there = find_spec((top or last).partition(".")[0]) is not None  # built in, or found by other means
    if not is_there:
        raise SpecError("MODEL", f"no module {place} (looked from {folder})")


def top_level_names(path: Path) -> dict[str, bool] | None:
    """Return the names that a module binds, and whether they look like functions; none where that can't be told."""
    try:
        module = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return None  # importing it says so
    if any(getattr(node, "id", getattr(node, "attr", None)) in _MAKERS for node in ast.walk(module)):
        return None
    names: dict[str, bool] = {}
    waiting: list[ast.AST] = [module]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names[node.name] = True
            inner = (part for part in ast.walk(node) if isinstance(part, ast.Global))
            names |= {name: True for part in inner for name in part.names}
            continue  # what else is bound within is its own
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0]: False for alias in node.names}
        elif isinstance(node, ast.Name):
            names.setdefault(node.id, False)  # also where it is only read: it must be bound somehow
        elif isinstance(node, ast.MatchAs | ast.MatchStar | ast.MatchMapping):
            names |= {name: False for name in (getattr(node, "name", None), getattr(node, "rest", None)) if name}
        waiting += ast.iter_child_nodes(node)
    return None if names.keys() & {"*", "__getattr__"} else names


def local_files(place: str, folder: Path | None) -> dict[str, Path]:
    """Find the file or module that a reference names, and all local modules that it leads to, by their dotted names."""
    # Another folder is another checkout: what this process's path leads to isn't that one's.
    everywhere = [Path.cwd(), *map(Path, filter(None, sys.path))] if folder is None else [folder.absolute()]
    local = [path for path in everywhere if not _is_installed(path)]
    if place.endswith(".py"):
        start = everywhere[0] / place
        local.insert(0, start.parent.resolve())
        files = {"": start} if start.is_file() else {}
    else:
        files = dict(_locate(place, everywhere)) if place else {}
    package = place.partition(".")[0]
    waiting = list(files)
    while waiting:
        name = waiting.pop()
        path = files[name]
        _, imported = _read(*_version(path))
        parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for wanted in imported:
            absolute = _absolute(wanted, parent)
            top = absolute.partition(".")[0]
            if not top or (top != package and (top in MEASURED or top in sys.stdlib_module_names)):
                continue
            for found, file in _locate(absolute, everywhere if top == package else local):
                if found not in files:
                    files[found] = file
                    waiting.append(found)
    return files


def _locate(name: str, roots: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Find a module and the packages around it, in the first folder that has any of them."""
    for root in roots:
        path, dotted, is_there = root, "", False
        for part in name.split("."):
            dotted = f"{dotted}.{part}" if dotted else part
            package, module = path / part / "__init__.py", path / f"{part}.py"
            if package.is_file() or module.is_file():
                is_there = True
                yield dotted, package if package.is_file() else module
            path /= part
            if not path.is_dir():
                break
        if is_there:
            return


def _absolute(wanted: str, parent: str) -> str:
    """Complete a name that begins with dots; '' where it leads out of the package."""
    name = wanted.lstrip(".")
    level = len(wanted) - len(name)
    if not level:
        return name
    parts = parent.split(".") if parent else []
    if level > len(parts):
        return ""
    return ".".join([*parts[: len(parts) - level + 1], *filter(None, [name])])


@functools.lru_cache(maxsize=4096)
def _read(path: Path, _changed_ns: int, _size: int) -> tuple[str, tuple[str, ...]]:
    """Return a file's digest, and the names that it imports, as far as they may be modules."""
    content = path.read_bytes()
    names: dict[str, None] = {}
    try:
        nodes = list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError):
        nodes = []  # whoever imports it will say so
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            joint = "" if start.endswith(".") else "."
            names |= dict.fromkeys([start, *(f"{start}{joint}{alias.name}" for alias in node.names)])
    return hashlib.sha256(content).hexdigest(), tuple(names)


def _version(path: Path) -> tuple[Path, int, int]:
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


def _is_installed(folder: Path) -> bool:
    return not _INSTALLED.isdisjoint(folder.parts) or folder.is_relative_to(_STANDARD_LIBRARY)
