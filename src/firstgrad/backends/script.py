"""A script run as far as its model exists: what it goes on to do with it (sampling, plots) is left out, and told.

It is run as Python would run it, as ``__main__``, a statement of its top level after the other. Where it calls what
draws from a model, fits or compiles one, and the model is there, it ends; ``sys.monitoring`` tells of these calls, and
nothing is patched.
"""

from __future__ import annotations
import __future__

import ast
import functools
import os
import sys
import traceback
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from firstgrad.backends.live import explain_wrapped, is_model
from firstgrad.errors import ModelError, UnavailableError, UnknownModelError
from firstgrad.observe import probes
from firstgrad.observe.calls import FunctionEvents, frames_around
from firstgrad.sources import called_name, top_level

if TYPE_CHECKING:
    from types import FrameType

_IMPORTED_FOR = {"pymc": "", "pymc.sampling.jax": "jax"}
"""By the module of a call that is listened to: the word of a script for which it is imported before ('': never)."""
_LOOKS = frozenset({"print", "display", "repr", "len", "dir", "type", "model_to_graphviz", "to_graphviz", "id", "str"})
"""Functions that change no model that they are given."""


class _EndOfScript(BaseException):
    """What follows isn't run."""


@dataclass(frozen=True, slots=True)
class ScriptModel:
    """What a script made."""

    value: Any  # a model where one was asked for without a name; else whatever has that name
    note: str  # how far the script was run


def run_script(path: Path, name: str) -> ScriptModel:
    """Run a script until the value of a variable is complete, or with '' its only model; raises ModelError."""
    return _Run(path.absolute(), name, _read(path)).run()


def _read(path: Path) -> ast.Module:
    try:
        tree = ast.parse(path.read_bytes(), str(path))
        compile(tree, str(path), "exec", dont_inherit=True)  # it finds what only a whole file tells
    except SyntaxError as error:
        raise ModelError(f"{path}, line {error.lineno}: syntax error: {error.msg}") from error
    return tree


@dataclass(slots=True)
class _Run:
    path: Path
    name: str
    tree: ast.Module
    variables: dict[str, Any] = field(default_factory=dict)
    made: list[Any] = field(default_factory=list)  # models, in the order in which they were begun
    stopped: str = ""  # the call before which it was ended
    sampled: dict[int, str] = field(default_factory=dict)  # calls that came before the model, by their lines
    passed: list[str] = field(default_factory=list)  # what failed beside the model

    def run(self) -> ScriptModel:
        module = ModuleType("__main__")
        module.__file__ = str(self.path)
        self.variables = vars(module)
        sys.modules["__main__"], sys.argv = module, [str(self.path)]
        os.environ["MPLBACKEND"] = "Agg"  # a window would wait for somebody to close it
        text, flags = ast.unparse(self.tree), 0
        statements = list(top_level(self.tree))
        heard = set[str]()
        with ExitStack() as listening:
            for number, statement in enumerate(statements):
                self._listen(listening, heard, text)
                if self._is_complete(statements[number:]):
                    return self._finish(statement.lineno)
                if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
                    flags |= sum(getattr(__future__, one.name).compiler_flag for one in statement.names)
                if not self._execute(statement, flags):
                    return self._finish(statement.lineno)
        return self._finish(None)

    def _listen(self, listening: ExitStack, heard: set[str], text: str) -> None:
        """Listen to what the script may call, as soon as it can be called."""
        for name, probe in {**probes.CONSUMERS, "": probes.MODEL_INIT}.items():
            module = probe.places[0].partition(":")[0]
            word = _IMPORTED_FOR.get(module, module)
            with suppress(UnavailableError, AttributeError):
                if name not in heard and (probe.is_near() or (word and word in text)):
                    heard.add(name)
                    events = FunctionEvents()
                    events.watch(probe.find(), started=functools.partial(self._called, name))
                    listening.enter_context(events)

    def _called(self, name: str, frame: FrameType) -> None:
        if not name:
            self.made.append(frame.f_locals["self"])
            return
        outer = [one for one in frames_around(frame) if one.f_code.co_filename == str(self.path)]
        if not outer:
            return  # within what is done anyway
        if self._model() is not None or explain_wrapped(self.variables.get(self.name)):
            self.stopped = f"{name} in line {outer[0].f_lineno}"
            raise _EndOfScript
        if outer[0].f_lineno not in self.sampled:  # the outermost of those that call each other
            self.sampled[outer[0].f_lineno] = name

    def _execute(self, statement: ast.stmt, flags: int) -> bool:
        """Run a statement; false where the script ends with it."""
        code = compile(ast.Module([statement], []), str(self.path), "exec", flags=flags, dont_inherit=True)
        try:
            exec(code, self.variables)  # noqa: S102 - the user's own script
        except _EndOfScript:
            return False
        except MemoryError:
            raise  # says something about the machine, not about the model
        except BaseException as error:
            if isinstance(error, Exception) and self._is_beside(statement):
                self.passed.append(f"line {statement.lineno} raised {type(error).__name__} and was passed over")
                return True
            raise ModelError(self._explain(error, statement)) from error
        return True

    def _explain(self, error: BaseException, statement: ast.stmt) -> str:
        frames = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == str(self.path)]
        where = f"{self.path.name}, line {frames[-1] if frames else statement.lineno}"
        hint = ""
        if isinstance(error, FileNotFoundError) and not os.path.isabs(str(error.filename or "/")):  # noqa: PTH117
            hint = f". It was looked for in {Path.cwd()}: run firstgrad where the script is run"
        before = "".join(f" ({line})" for line in self.passed)
        return f"{where}, before the model was complete: {type(error).__name__}: {error}{hint}{before}"

    # --- which model, and whether it is complete ------------------------------------------------------------------

    def _bound(self) -> dict[str, Any]:
        """Return the models that variables of the script's top level hold, each once."""
        seen: dict[int, tuple[str, Any]] = {}
        for name, value in self.variables.items():
            if is_model(value) and getattr(value, "parent", None) is None:
                seen.setdefault(id(value), (name, value))
        return dict(seen.values())

    def _model(self) -> Any:
        """Return the wanted model as far as it is there, or one of several; None where it isn't there at all."""
        if self.name:
            return self.variables[self.name] if is_model(self.variables.get(self.name)) else None
        there = list(self._bound().values()) or self._unbound()
        return next((one for one in there if one.free_RVs), None)

    def _unbound(self) -> list[Any]:
        """List the models that were made, without those that are parts of others."""
        return [one for one in self.made if getattr(one, "parent", None) is None and one.free_RVs]

    def _is_complete(self, following: list[ast.stmt]) -> bool:
        """Whether the wanted is there, and nothing that follows at the top level has to do with it."""
        name = self.name
        if not name:
            bound = self._bound()
            if len(bound) != 1 or self._model() is None:
                return False
            (name,) = bound
        return name in self.variables and not any(_touches(one, name) for one in following)

    def _is_beside(self, statement: ast.stmt) -> bool:
        """Whether the model is there, and a statement only looks at it, or has nothing to do with it."""
        names = [self.name] if self.name else list(self._bound())
        return self._model() is not None and not any(_touches(statement, name) for name in names) and bool(names)

    def _finish(self, line: int | None) -> ScriptModel:
        """Take what was made; `line` is the first that wasn't run, or was ended."""
        if self.name:
            if self.name not in self.variables:
                raise UnknownModelError(f"{self.path.name} was run, and has no variable {self.name!r} after that")
            value = self.variables[self.name]
        else:
            value = self._only_model()
        return ScriptModel(value, self._note(line))

    def _only_model(self) -> Any:
        bound = {name: one for name, one in self._bound().items() if one.free_RVs}
        there = list({id(one): one for one in (*bound.values(), *self._unbound())}.values())
        if len(there) > 1:
            choice = ", ".join(f"{self.path.name}:{name}" for name in bound)
            hint = (
                f"Name one: {choice}"
                if bound
                else f"Have a function return one, and name it: {self.path.name}:function"
            )
            raise UnknownModelError(f"{self.path.name} makes {len(there)} models. {hint}")
        if not there:
            why = "".join(
                f" ({name} is none{words})" for name, one in self.variables.items() if (words := explain_wrapped(one))
            )
            functions = [name for name, value in self.variables.items() if _is_own_function(value)]
            ways = ", ".join(f"{self.path.name}:{name}" for name in functions)
            hint = f". Does one of its functions? Name it: {ways}" if functions and not why else ""
            raise UnknownModelError(f"{self.path.name} was run, and makes no model{why}{hint}")
        return there[0]

    def _note(self, line: int | None) -> str:
        calls = [f"{name} in line {number}" for number, name in self.sampled.items()]
        before = f"{', '.join(calls)} came before the model, and was run. " if calls else ""
        before += "".join(f"L{line.removeprefix('l')}. " for line in self.passed)
        if self.stopped:
            return f"{before}{self.path.name} was run up to {self.stopped}; that call and what follows it were not run"
        if line is not None:
            return f"{before}{self.path.name} was run up to line {line}; that line and what follows it were not run"
        return f"{before}{self.path.name} was run to its end"


def _touches(statement: ast.AST, name: str) -> bool:
    """Whether a statement may bind a name, or change what it holds: it uses the name, and doesn't merely look at it."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return statement.name == name
    if isinstance(statement, ast.Call) and called_name(statement) in _LOOKS:
        return False
    if isinstance(statement, ast.Name):
        return statement.id == name
    return any(_touches(part, name) for part in ast.iter_child_nodes(statement))


def _is_own_function(value: Any) -> bool:
    return callable(value) and getattr(value, "__module__", "") == "__main__"
