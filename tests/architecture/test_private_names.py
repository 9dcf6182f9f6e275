"""Private names of the libraries stand in ``observe/probes.py`` alone, as far as the text of an import tells.

The rule: code of ``src`` outside of that module imports of PyTensor, PyMC, Numba, JAX and nutpie only the modules
below, which their documentation has, and from them no name that begins with an underscore; it writes no path of one
of their files or inner modules as text; and no number of ``sys.monitoring`` is claimed but in ``observe/calls.py``.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "firstgrad"
PROBES, CALLS = SOURCE / "observe" / "probes.py", SOURCE / "observe" / "calls.py"
LIBRARIES = {"pytensor", "pymc", "numba", "jax", "jaxlib", "nutpie"}
DOCUMENTED = {
    *("jax", "jax.errors", "jax.numpy", "nutpie", "pymc", "pymc.pytensorf", "pytensor", "pytensor.tensor"),
    *("pymc.model.transform.optimization",),
    *("pytensor.compile.mode", "pytensor.compile.sharedvalue", "pytensor.gradient", "pytensor.graph.fg"),
    *("pytensor.graph", "pytensor.graph.op", "pytensor.graph.replace", "pytensor.graph.utils", "pytensor.xtensor"),
    # Imported for the time that it takes, or for what it registers; nothing of them is named.
    *("pytensor.link.jax.dispatch", "pytensor.link.numba.dispatch"),
}
INNER = re.compile(
    r"\b(numba\.core|jax\._src|pytensor\.link\.(?!(jax|numba)\.dispatch)|pytensor\.compile\.(debug|profiling)|pymc\.step_methods)\b"
    r"|\b(pytensor|pymc|numba|jax|nutpie)/\w+"
)


def modules() -> list[tuple[str, ast.Module]]:
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 50
    return [(str(file.relative_to(SOURCE)), ast.parse(file.read_text())) for file in files if file != PROBES]


def imports(tree: ast.Module) -> list[tuple[str, str]]:
    """Each module that is imported, with the name taken of it."""
    taken = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            taken += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            taken += [(node.module, alias.name) for alias in node.names]
    return [(module, name) for module, name in taken if module.partition(".")[0] in LIBRARIES]


def test_only_documented_modules_are_imported_elsewhere():
    wrong = [
        f"{file}: from {module} import {name}"
        for file, tree in modules()
        for module, name in imports(tree)
        if module not in DOCUMENTED or name.startswith("_")
    ]
    assert not wrong, "put these behind a probe in observe/probes.py"


def test_no_inner_name_stands_elsewhere_as_text():
    wrong = [
        f"{file}:{node.lineno}: {node.value[:80]!r}"
        for file, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and INNER.search(node.value)
    ]
    assert not wrong, "put these into observe/probes.py"


def test_numbers_of_sys_monitoring_are_claimed_in_one_place():
    claims = [file for file in sorted(SOURCE.rglob("*.py")) if "use_tool_id" in file.read_text()]
    assert claims == [CALLS]
