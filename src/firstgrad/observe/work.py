"""Work as it is done, in numbers that identical runs repeat: calls of Python functions, rewriters, what compilers get.

What costs next to nothing is counted in every sample: the text that LLVM, g++ and XLA are given and give back. Calls of
Python functions, and rewriters tried, slow a compile down, so they are counted in a sample of their own
(`firstgrad.case.Counting`).
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from firstgrad.case import BackendName, Counting
from firstgrad.errors import UnavailableError
from firstgrad.observe import probes
from firstgrad.observe.calls import CallTotal, FunctionEvents, frames_around
from firstgrad.observe.rewriting import name_rewriter, read_rewriters
from firstgrad.observe.simulator import Simulator
from firstgrad.record import Work, WorkParts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from firstgrad.phase import Phase

MOST_PARTS = 50
_JAX = (BackendName.JAX, BackendName.JAX_FAST, BackendName.JAX_DIRECT, BackendName.JAX_QUICK)
_STABLEHLO = re.compile(r"\b(?:stablehlo|chlo|mhlo)\.([a-z]\w*)\b(?! *=)")
_HLO = re.compile(r"^ +(?:ROOT )?%?[\w.-]+ = .*? ([a-z][\w-]*)\(", re.MULTILINE)
_ITSELF = "(itself)"  # what is no rewriter's, and no operation's
_LONGEST_CONSTANT = 16  # elements; a larger one is no work of the compiler's


class Turning(Protocol):
    """What has phases: `firstgrad.measuring.phases.PhaseTimer`."""

    turn: Callable[[Phase | None], None]
    """Told that one begins; by None that it ends."""


class WorkCounter:
    """Counts within one measured window; nothing in it raises: what can't be counted becomes a line of `unavailable`.

    Parameters
    ----------
    counting : Counting
        How much is counted.
    backend : BackendName
        Whose compiler is at work.
    """

    def __init__(self, counting: Counting, backend: BackendName) -> None:
        self._counting, self._backend = counting, backend
        self._counts: Counter[str] = Counter()
        self._parts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._unavailable: list[str] = []
        self._events = FunctionEvents()
        self._shares: CallShares | None = None
        self._simulator: Simulator | None = None

    @contextmanager
    def watching(self, timer: Turning) -> Iterator[None]:
        """Count within the block; the backend's modules are imported already, and `timer` tells of phases."""
        blocks = sys.getallocatedblocks()
        self._watch_compilers()
        with ExitStack() as stack:
            if self._counting is Counting.INSTRUMENTED:
                self._try(lambda: self._watch_calls(stack))
            stack.enter_context(self._events)
            if self._counting is Counting.SIMULATED:
                self._try(lambda: self._simulate(stack))
            timer.turn = self._turn
            yield
            timer.turn = lambda _: None
        self._blocks_before = blocks

    def _turn(self, phase: Phase | None) -> None:
        if self._shares is not None:
            self._shares.turn(phase)

    def passing(self, name: str) -> None:
        """Take note that a rewrite pass begins."""
        if self._shares is not None:
            self._shares.passing(name)

    @property
    def is_plain(self) -> bool:
        """Whether news of the compile may be told on the way: to tell them is work, too."""
        return self._counting is Counting.PLAIN

    def finish(self, stats: Any = None) -> Work:
        """Put together what was counted, with PyTensor's own profile where there is one."""
        # The garbage is collected already.
        self._counts["python_blocks"] = max(sys.getallocatedblocks() - self._blocks_before, 0)
        if stats is not None:
            self._try(lambda: self._read_rewriters(stats))
        if self._shares is not None:
            self._shares.report(self._counts, self._parts)
        if self._simulator is not None:
            self._try(self._read_simulator)
        parts = (_bounded(count, by, numbers) for (count, by), numbers in sorted(self._parts.items()))
        return Work(
            counts=tuple(sorted(self._counts.items())),
            parts=tuple(parts),
            unavailable=tuple(dict.fromkeys((*self._unavailable, *self._events.problems))),
        )

    # --- what compilers get ---------------------------------------------------------------------------------------

    def _watch_compilers(self) -> None:
        """Watch g++ for every backend (up to PyMC 5.25 constant folding compiles C), and the backend's own compiler."""
        if self._backend is BackendName.FAKE:
            return  # it must not import PyTensor
        self._try(lambda: self._events.watch(probes.COMPILE_C_HELPER.find(), self._gets_c, self._gives_c))
        if self._backend is BackendName.NUMBA:
            before, after = self._reads_llvm("_before"), self._reads_llvm("")
            self._try(lambda: self._events.watch(probes.NUMBA_OPTIMISE.find(), before, lambda frame, _: after(frame)))
            self._try(lambda: self._events.watch(probes.NUMBA_OBJECT.find(), self._gives_object))
        if self._backend in _JAX:
            self._unavailable.append("code_bytes: XLA tells no size of its machine code for the processor")
            self._try(lambda: self._events.watch(probes.JAX_COMPILE.find(), self._gets_hlo, self._gives_hlo))

    def _gets_c(self, frame: FrameType) -> None:
        text = str(frame.f_locals["src_code"])
        makers = (outer for outer in frames_around(frame) if outer.f_code.co_name in probes.C_THUNK_MAKERS)
        node = next((node for maker in makers if (node := maker.f_locals.get("node")) is not None), None)
        self._add("c_lines", text.count("\n") + 1, operation=_operation(node))
        self._counts["c_bytes"] += len(text)

    def _gives_c(self, _frame: FrameType, module: Any) -> None:
        file = Path(str(getattr(module, "__file__", None) or ""))
        self._counts["code_bytes"] += file.stat().st_size if file.is_file() else 0

    def _reads_llvm(self, when: str) -> Callable[[FrameType], None]:
        def read(frame: FrameType) -> None:
            library = frame.f_locals["self"]
            text = probes.llvm_text(library)
            self._add(f"llvm_instructions{when}", count_llvm(text), unit=str(library.name))
            self._counts[f"llvm_bytes{when}"] += len(text)

        return read

    def _gives_object(self, frame: FrameType) -> None:
        self._counts["code_bytes"] += len(frame.f_locals["buf"])

    def _gets_hlo(self, frame: FrameType) -> None:
        text = frame.f_locals["computation"].operation.get_asm(large_elements_limit=_LONGEST_CONSTANT)
        for operation in _STABLEHLO.findall(text):
            self._add("hlo_operations_before", 1, operation=operation)

    def _gives_hlo(self, _frame: FrameType, executable: Any) -> None:
        for module in executable.hlo_modules():
            for operation in _HLO.findall(module.to_string()):
                self._add("hlo_operations", 1, operation=operation)

    def _add(self, count: str, number: int, **part: str) -> None:
        self._counts[count] += number
        for by, name in part.items():
            self._parts[count, by][name] += number

    # --- rewriters and calls --------------------------------------------------------------------------------------

    def _read_rewriters(self, stats: Any) -> None:
        self._counts["rewriters_applied"] = 0
        for one in read_rewriters(stats):
            if one.applied:
                self._add("rewriters_applied", one.applied, rewriter=one.name)

    def _watch_calls(self, stack: ExitStack) -> None:
        total = CallTotal()
        total.attach()
        stack.callback(total.detach)
        shares = self._shares = CallShares(total.read)

        if self._backend is BackendName.FAKE:
            return

        def tries(frame: FrameType) -> None:
            rewriter = frame.f_locals["node_rewriter"]
            name = name_rewriter(frame.f_locals["self"].node_rewriter if rewriter is None else rewriter)
            self._add("rewriters_tried", 1, rewriter=name)
            shares.enter(frame, "rewriter", name)

        self._try(lambda: self._events.watch(probes.PROCESS_NODE.find(), tries, lambda frame, _: shares.leave(frame)))
        self._try(
            lambda: self._events.watch(
                probes.gradient_step(),
                lambda frame: shares.enter(frame, "operation", _operation(frame.f_locals["node"])),
                lambda frame, _: shares.leave(frame),
            )
        )

    def _simulate(self, stack: ExitStack) -> None:
        self._simulator = Simulator()
        stack.enter_context(self._simulator.counting())

    def _read_simulator(self) -> None:
        if self._simulator is not None:
            self._counts["simulated_instructions"] = self._simulator.read()

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except UnavailableError as error:
            self._unavailable.append(str(error))
        except Exception as error:  # noqa: BLE001 - an instrument that fails must not cost the sample
            self._unavailable.append(f"{type(error).__name__}: {error}")


class CallShares:
    """Shares a running number out: to phases, and within each to who was at work, without those within.

    Parameters
    ----------
    read : callable
        The number now.
    """

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read
        self._phase: Phase | None = None
        self._pass = ""
        self._stack: list[tuple[FrameType, tuple[str, str]]] = []
        self._last = 0
        self._numbers: Counter[tuple[Phase, tuple[str, str]]] = Counter()

    def turn(self, phase: Phase | None) -> None:
        """Begin a phase, or none."""
        self._charge()
        self._phase, self._pass = phase, ""
        self._stack.clear()
        self._last = self._read()

    def passing(self, name: str) -> None:
        """Begin a pass of rewriting: what no rewriter does is its own."""
        self._charge()
        self._pass = name

    def enter(self, frame: FrameType, by: str, name: str) -> None:
        """Begin a share, within the present one."""
        self._charge()
        self._stack.append((frame, (by, name)))

    def leave(self, frame: FrameType) -> None:
        """End a share, and those within it that an exception ended."""
        self._charge()
        while self._stack and self._stack.pop()[0] is not frame:
            pass

    def report(self, counts: Counter[str], parts: defaultdict[tuple[str, str], Counter[str]]) -> None:
        """Add what was shared out: a count of each phase, and its parts."""
        for (phase, (by, name)), number in self._numbers.items():
            counts[f"calls_{phase}"] += number
            parts[f"calls_{phase}", by][name] += number

    def _charge(self) -> None:
        now = self._read()
        if self._phase is not None:
            share = self._stack[-1][1] if self._stack else ("rewriter", self._pass or _ITSELF)
            self._numbers[self._phase, share] += now - self._last
        self._last = now


def count_llvm(text: str) -> int:
    """Count the instructions in LLVM's text: lines of two spaces, but for labels' notes and ends of tables."""
    return text.count("\n  ") - sum(text.count(other) for other in ("\n   ", "\n  ]", "\n  ;"))


def _operation(node: Any) -> str:
    """Name a node's operation: its type, and of an elementwise one what it computes."""
    op = getattr(node, "op", None)
    if op is None:
        return _ITSELF
    inner = getattr(op, "scalar_op", None)
    return type(op).__name__ if inner is None else f"{type(op).__name__}({type(inner).__name__})"


def _bounded(count: str, by: str, numbers: Counter[str]) -> WorkParts:
    """Keep the largest parts, equals by name, and what the others are together."""
    ordered = sorted(numbers.items(), key=lambda one: (-one[1], one[0]))
    kept, others = ordered, ordered[MOST_PARTS:]
    if others:
        kept = [*ordered[: MOST_PARTS - 1], (WorkParts.REST, sum(number for _, number in ordered[MOST_PARTS - 1 :]))]
    return WorkParts(count=count, by=by, parts=tuple(kept))
