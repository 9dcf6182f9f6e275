"""One meaning a class name: no two modules of the package define a class of the same name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src"


def test_no_class_name_has_two_meanings():
    places = defaultdict(set)
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].add(str(path.relative_to(SOURCES)))
    twice = {name: sorted(found) for name, found in places.items() if len(found) > 1}
    assert not twice, "each needs a name of its own"


def test_no_module_imports_itself_by_way_of_others():
    modules = {
        ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCES.rglob("*.py")
    }
    imports = {name: set(imported_at_once(path) & modules.keys()) - {name} for name, path in modules.items()}
    while ready := [name for name, wanted in imports.items() if not wanted & imports.keys()]:
        for name in ready:
            del imports[name]
    assert not imports, "a circle is among these"


def imported_at_once(path):
    """What a module imports when it is imported: not what its functions import, nor what types alone need."""
    found = set()
    waiting = list(ast.parse(path.read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return found
