"""A script without firstgrad that shows what a comparison found, and the two commands that run it on both sides."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.backends import facts_of
from firstgrad.case import BackendName, Target
from firstgrad.comparing.environments import place_here, project_name, seen_from_here
from firstgrad.comparing.places import SidePlace
from firstgrad.comparing.sides import SideKind
from firstgrad.model import FREEZE
from firstgrad.sources import local_files, split_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.backends.base import BackendFacts
    from firstgrad.case import Case
    from firstgrad.comparing.comparison import CaseComparison, Comparison
    from firstgrad.comparing.places import SideRequest

SCRIPT = "reproduce.py"
_MOST_LINES = 150  # a longer model is loaded from its file
_FUTURE = re.compile(r"^from __future__ import .*\n", re.MULTILINE)
_OWN_IMPORT = re.compile(r"^\s*(from|import) firstgrad\b", re.MULTILINE)
_VERSION = re.compile(r"\d[\w.+!-]*")
_HEAD = '''"""{case}

Times PyMC's own compile of the gradient and its first call, in empty caches, without firstgrad.
"""
{future}
import os
import sys
import tempfile
import time

CACHES = tempfile.TemporaryDirectory()
os.environ["PYTENSOR_FLAGS"] = f"base_compiledir={{CACHES.name}}," + os.environ.get("PYTENSOR_FLAGS", "")
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
'''
_TAIL = """
import pymc
import pytensor
from pytensor.compile.mode import Mode

sides = {sides}
mode, parameters = sides[sys.argv[1] if len(sides) > 1 else "base"]
if mode[0] in ("NUMBA", "JAX"):
    __import__(mode[0].lower())  # its import isn't part of the compile
built = {name}{call}
model, point = built if isinstance(built, tuple) else (built, None)
{freeze}point = point or model.initial_point()
mode = Mode(*mode) if len(mode) > 1 else mode[0]

began, began_cpu = time.perf_counter(), time.process_time()
{compile}
compiled = time.perf_counter()
call()
called = time.perf_counter()
nodes = f", {{len(gradient.f.maker.fgraph.apply_nodes)}} nodes" if hasattr(gradient, "f") else ""
children = os.times().children_user + os.times().children_system
print(
    f"pymc {{pymc.__version__}}, pytensor {{pytensor.__version__}}, python {{sys.version.split()[0]}}: "
    f"compile {{compiled - began:.2f}} s, first call {{called - compiled:.2f}} s, "
    f"together {{called - began:.2f}} s ({{time.process_time() - began_cpu + children:.2f}} s CPU){{nodes}}"
)
"""
_COMPILE = {
    Target.DLOGP: """gradient = model.compile_dlogp(mode=mode)


def call():
    return gradient(point)


""",
    Target.LOGP_DLOGP: """gradient = model.logp_dlogp_function(ravel_inputs=True, mode=mode)
gradient.set_extra_values({})


def call():
    return gradient(pymc.blocking.DictToArrayBijection.map(point))


""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproducer:
    """How to see a row of a comparison without firstgrad."""

    what: str  # the case
    script: str
    commands: tuple[str, str]  # for BASE and HEAD, from the folder that one is in

    @property
    def lines(self) -> list[str]:
        """What is pasted into a shell after the script was saved."""
        return list(self.commands)


def make_reproducer(comparison: Comparison, requests: Sequence[SideRequest] = ()) -> Reproducer | str:
    """Write a script for a comparison's worst case that has numbers or an alarm, or say why there can be none.

    `requests` are what the sides asked for where they were measured now; stored sides are what their records say.
    """
    case = next((one for one in comparison.cases if one.is_alarm or one.metrics), comparison.cases[0])
    head = case.head_case or case.case
    if why := _why_none(case.case, head):
        return why
    has_own = any(request.place is SidePlace.COMMIT for request in requests) or _is_of_commits(comparison)
    script = _write_script(case, is_inlined=not has_own or bool(comparison.copied))
    differ = case.head_case is not None
    sides = ("base", "head")
    commands = tuple(
        _write_command(comparison, case, place, requests[place] if requests else None, sides[place] * differ)
        for place in range(2)
    )
    return Reproducer(what=str(case.case), script=script, commands=(commands[0], commands[1]))


def _why_none(base: Case, head: Case) -> str:
    facts = facts_of(base.backend), facts_of(head.backend)
    reasons = {
        "the pose model is firstgrad's own": base.model.pose is not None or head.model.pose is not None,
        f"it is of gradients, not of a {base.target}": base.target not in _COMPILE,
        f"{base.backend} is firstgrad's own way": _is_own(facts[0]),
        f"{head.backend} is firstgrad's own way ": _is_own(facts[1]),
        "the sides are two models": base.model.reference != head.model.reference,
        "the sides have two targets": base.target is not head.target,
        "the model's file imports firstgrad": any(map(_imports_own, _files(base.model.reference))),
    }
    return next((reason.strip() for reason, is_so in reasons.items() if is_so), "")


def _files(reference: str) -> list[Path]:
    """List the files that a model is made of."""
    return list(local_files(split_reference(reference)[0], None).values())


def _is_own(facts: BackendFacts) -> bool:
    return not facts.mode or facts.compiler is not facts.name


def _imports_own(file: Path) -> bool:
    try:
        return _OWN_IMPORT.search(file.read_text(encoding="utf-8")) is not None
    except (OSError, ValueError):
        return False


def _is_of_commits(comparison: Comparison) -> bool:
    return SideKind.COMMIT in (comparison.base.kind, comparison.head.kind)


# --- the script ---------------------------------------------------------------------------------------------------


def _write_script(comparison: CaseComparison, *, is_inlined: bool) -> str:
    case, head = comparison.case, comparison.head_case
    place, name = split_reference(case.model.reference)
    source = _read_source(case.model.reference, name) if is_inlined else ""
    future = "from __future__ import annotations\n" if _FUTURE.search(source) else ""
    sides = {"base": _write_side(case)} | ({"head": _write_side(head)} if head is not None else {})
    load = _FUTURE.sub("", source) or _write_load(place, name)
    is_script = not name or not _is_function(case.model.reference, name)
    written = ", ".join(f'"{side}": {text}' for side, text in sides.items())
    tail = _TAIL.format(
        sides=f"{{{written}}}",
        name=name or "model",
        call="" if is_script else "(**parameters)",
        freeze="model = pymc.model.transform.optimization.freeze_dims_and_data(model)\n" * case.model.is_frozen,
        compile=_COMPILE[case.target].rstrip("\n"),
    )
    return f"{_HEAD.format(case=case, future=future)}\n{load.strip()}\n{tail}"


def _write_side(case: Case) -> str:
    parameters = {name: value for name, value in case.model.parameters if name != FREEZE}
    return repr((facts_of(case.backend).mode, parameters))


def _write_load(place: str, name: str) -> str:
    if place.endswith(".py"):
        return "\n".join(
            (
                "import runpy",
                f"sys.path.insert(0, {str(Path(place).parent)!r})",
                f"{name or 'model'} = runpy.run_path({place!r})[{name or 'model'!r}]",
            )
        )
    return f'sys.path.insert(0, "")\nfrom {place} import {name}'


def _is_function(reference: str, name: str) -> bool:
    """Whether what a reference names is called; a script's variable is not."""
    for file in _files(reference):
        try:
            statements = ast.parse(file.read_bytes()).body
        except (OSError, SyntaxError, ValueError):
            continue
        if any(isinstance(one, ast.FunctionDef | ast.ClassDef) and one.name == name for one in statements):
            return True
    return not _files(reference)


def _read_source(reference: str, name: str) -> str:
    """Read a model's file, where it stands for itself: '' where it needs others, or is too long to paste.

    What it does when it is run as a script is left out.
    """
    files = _files(reference)
    if len(files) != 1 or not name:
        return ""
    try:
        text = files[0].read_text(encoding="utf-8")
        module = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return ""
    lines = text.splitlines()
    if len(lines) > _MOST_LINES or "__file__" in text:
        return ""
    for statement in reversed(module.body):
        if isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test):
            del lines[statement.lineno - 1 : statement.end_lineno]
    return "\n".join(lines) + "\n"


# --- the commands -------------------------------------------------------------------------------------------------


def _write_command(
    comparison: Comparison, case: CaseComparison, place: int, request: SideRequest | None, side: str
) -> str:
    """Write what makes a side's environment and runs the script in it, in one line."""
    folder = "head" if place else "base"
    run = f"{SCRIPT} {side}".rstrip()
    stored = (comparison.base, comparison.head)[place]
    if request is not None and request.place is SidePlace.ENVIRONMENT:
        there = Path(request.where).expanduser()
        python = there / "bin" / "python" if there.is_dir() else there
        return f"PYTHONHASHSEED=0 {shlex.quote(str(python))} {run}"
    commit = request.where if request is not None and request.place is SidePlace.COMMIT else ""
    if request is None and stored.kind is SideKind.COMMIT:
        commit = stored.value
    pins = _pins(comparison, (case.case, case.head_case or case.case)[place], place)
    if commit:
        below, project = place_here()
        enter = f"git worktree add --detach {folder} {shlex.quote(commit)} && (cd {shlex.quote(f'{folder}/{below}')}"
        if project is None:
            return f'{enter} && PYTHONHASHSEED=0 python "$OLDPWD/{SCRIPT}" {side})'
        pins = [pin for pin in pins if pin.partition("==")[0] != project_name(project)]
        wanted = " ".join([*pins, shlex.quote(seen_from_here(project))])
        made = f"{enter} && python -m venv .venv && .venv/bin/pip install -q {wanted}"
        return f'{made} && PYTHONHASHSEED=0 .venv/bin/python "$OLDPWD/{SCRIPT}" {side})'
    versions = {(one.base, one.head) for one in comparison.versions}
    if any(base != head for base, head in versions):
        made = f"python -m venv {folder} && {folder}/bin/pip install -q {' '.join(pins)}"
        return f"{made} && PYTHONHASHSEED=0 {folder}/bin/python {run}"
    return f"PYTHONHASHSEED=0 python {run}"


def _pins(comparison: Comparison, case: Case, place: int) -> list[str]:
    """List the packages of a side as a package manager takes them; those from sources have no version to ask for."""
    known = {one.name: (one.base, one.head)[place] for one in comparison.versions if one.name != "python"}
    if facts_of(case.backend).compiler is not BackendName.JAX:
        known = {name: version for name, version in known.items() if name not in ("jax", "jaxlib")}
    return [f"{name}=={version}" for name, version in known.items() if _VERSION.fullmatch(version)]
