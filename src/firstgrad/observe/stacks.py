"""Who asked: the user's innermost line on a stack, the public calls within it, what for, and the model."""

from __future__ import annotations

import linecache
import sys
import sysconfig
from dataclasses import dataclass
from functools import lru_cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.observe import probes
from firstgrad.observe.calls import frames_around
from firstgrad.observe.events import CodeLine

if TYPE_CHECKING:
    from types import FrameType


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFacts:
    """What a stack tells."""

    line: CodeLine | None = None  # the user's innermost line
    calls: tuple[str, ...] = ()  # public functions within that line, outermost first
    purpose: str = ""
    call: int = 0  # which call of the first of these; 0 for none
    model: str = ""
    model_object: int = 0
    model_seen: Any = None  # the model itself, until it has a digest, and the frame of the call, until it has a number
    outermost: FrameType | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """What is equal for what was asked for in the same way."""
        return (self.line, self.calls, self.call, self.purpose)


_LIBRARIES = frozenset(
    (
        *("arviz", "bambi", "blackjax", "jax", "jaxlib", "llvmlite", "numba", "numpyro", "nutpie"),
        *("pymc", "pymc_extras", "pymc_marketing", "pytensor"),
    )
)
"""Also where they are imported from a folder of their sources."""
_LOOKED_FOR = ("model", "self")
_INSTALLED = filter(None, map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")))
_FOLDERS = tuple(f"{folder}/" for folder in (*_INSTALLED, Path(__file__).parents[1]))


@lru_cache(maxsize=4096)
def is_users(file: str, module: str) -> bool:
    """Whether code of this file and module is the user's own: neither Python's nor of an installed package."""
    if file.startswith("<") and not file.startswith("<ipython-input"):
        # What a spawned process runs is a line of Python's own.
        spawned = any("multiprocessing" in word for word in sys.orig_argv)
        return module == "__main__" and file in ("<stdin>", "<string>") and not spawned
    if not module or module.partition(".")[0] in _LIBRARIES:
        return False
    return not (file.startswith(_FOLDERS) or "/site-packages/" in file or "/dist-packages/" in file)


@lru_cache(maxsize=4096)
def is_users_file(file: str) -> bool:
    """Whether code of this file is the user's own, where no module is known."""
    return is_users(file, "__main__") and not is_of(file, *_LIBRARIES)


@lru_cache(maxsize=4096)
def is_of(file: str, *packages: str) -> bool:
    """Whether a file is one of some packages' that are imported, wherever these are."""
    places = (getattr(sys.modules.get(package), "__path__", ()) for package in packages)
    return any(file.startswith(f"{folder}/") for folders in places for folder in folders)


@lru_cache(maxsize=4096)
def public_name(module: str, function: str) -> str:
    """Return the name by which users call a library's function; '' where they don't."""
    package = module.partition(".")[0]
    if "<" in function or any(part.startswith("_") for part in (*module.split("."), *function.split("."))):
        return ""
    first, *rest = function.split(".")
    # By `vars`: modules may answer `getattr` with an import, or with a warning.
    top, home = (vars(sys.modules[name]) if name in sys.modules else {} for name in (package, module))
    try:
        if first in top and reduce(getattr, rest, top[first]) is reduce(getattr, rest, home.get(first)):
            return f"{package}.{function}"
    except AttributeError:
        pass
    return f"{module}.{function}" if first in home.get("__all__", ()) else ""


def read_stack(frame: FrameType) -> StackFacts:
    """Read a stack from its innermost frame outwards, up to the user's innermost line."""
    line: CodeLine | None = None
    calls: list[str] = []
    purpose = ""
    model: Any = None
    outermost: FrameType | None = None
    model_class = probes.MODEL.peek()
    for each in (frame, *frames_around(frame)):
        code, module = each.f_code, str(each.f_globals.get("__name__") or "")
        if is_users(code.co_filename, module):
            text = linecache.getline(code.co_filename, each.f_lineno, each.f_globals).strip()
            line = CodeLine(file=code.co_filename, line=each.f_lineno, function=code.co_qualname, text=text)
            break
        if not purpose:
            purpose = _purpose_of(each)
        outermost = each
        if module.partition(".")[0] in _LIBRARIES:
            if (name := public_name(module, code.co_qualname)) and calls[-1:] != [name]:
                calls.append(name)
            if model_class is not None:
                seen = (each.f_locals.get(name) for name in _LOOKED_FOR)
                model = next((one for one in seen if isinstance(one, model_class)), model)
    outermost = outermost if line is not None else None
    return StackFacts(line=line, calls=tuple(reversed(calls)), purpose=purpose, model_seen=model, outermost=outermost)


def _purpose_of(frame: FrameType) -> str:
    known = probes.known_frame(frame.f_code.co_filename, frame.f_code.co_qualname)
    if known is None or not known.purpose:
        return ""
    for (function, local), later in probes.LATER_PURPOSES.items():
        if frame.f_code.co_name == function and local in frame.f_locals:
            return later
    return known.purpose
