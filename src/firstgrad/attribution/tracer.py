"""The instruments of one sample: switched on around its stages, asked once at its end."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from firstgrad.attribution.imports import import_spans, sum_imports, watch_imports
from firstgrad.attribution.instrument import Heard, Setting
from firstgrad.attribution.node_types import count_node_types
from firstgrad.attribution.rewriters import read_rewriters
from firstgrad.attribution.sources import value_names
from firstgrad.attribution.spans import nest_spans, pass_spans, phase_finder, phase_spans
from firstgrad.attribution.stretches import StretchRecorder
from firstgrad.backends import facts_of
from firstgrad.case import BackendName
from firstgrad.observe.calls import FunctionEvents
from firstgrad.profile import Attribution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firstgrad.attribution.instrument import Instrument
    from firstgrad.profile import ImportTime, NodeType, Rewriter, Span
    from firstgrad.record import PhaseRecord

_MARKS = "firstgrad.backends.rewrite_marks"


@dataclass(slots=True)
class _Part:
    """What was listened to in one of the two stages."""

    events: FunctionEvents
    recorder: StretchRecorder
    seconds: float = 0.0


@dataclass(slots=True)
class Tracer:
    """Sees where the time of one sample goes.

    Nothing in it raises: what fails becomes a line of `Attribution.unavailable`.

    Parameters
    ----------
    backend : BackendName
        Which is compiled with.
    now : callable
        Seconds since the worker's clock began.
    """

    backend: BackendName
    now: Callable[[], float]
    _unavailable: list[str] = field(default_factory=list, init=False)
    _imports: _Part | None = field(default=None, init=False)
    _window: _Part | None = field(default=None, init=False)
    _instrument: Instrument | None = field(default=None, init=False)

    @contextmanager
    def imports(self) -> Iterator[None]:
        """Watch what the block imports."""
        part = self._imports = _Part(FunctionEvents(), StretchRecorder(self.now))
        self._try("imports", lambda: watch_imports(part.events, part.recorder), None)
        began = self.now()
        with part.events:
            yield
        part.seconds = self.now() - began

    @contextmanager
    def window(self) -> Iterator[None]:
        """Watch what the block compiles; the backend's modules are imported already."""
        part = self._window = _Part(FunctionEvents(), StretchRecorder(self.now))
        self._instrument = self._try("units", lambda: _make_instrument(self.backend, self.now), None)
        instrument = self._instrument
        if instrument is not None:
            self._try("units", lambda: instrument.attach(part.events, part.recorder), None)
        try:
            with part.events:
                yield
        finally:
            if instrument is not None:
                self._try("an end to listening", instrument.detach, None)

    def finish(self, first: Any, phases: tuple[PhaseRecord, ...]) -> Attribution:
        """Put together what was seen.

        Parameters
        ----------
        first : FirstGradient
            What the window gave.
        phases : tuple of PhaseRecord
            Those that ended so far.

        Returns
        -------
        Attribution
            Whatever could be seen; `unavailable` names the rest, each with the reason.
        """
        nothing: tuple[Any, ...] = ()
        heard = self._try("units", lambda: self._hear(first, phases), Heard())
        rewriters: tuple[Rewriter, ...] = self._try("rewriters", lambda: _rewriters(first), nothing)
        node_types: tuple[NodeType, ...] = self._try(
            "types of nodes", lambda: count_node_types(first.graph, first.compiled.nodes_by_type), nothing
        )
        imports, modules = self._try("imports", self._sum_imports, (nothing, nothing))
        spans: tuple[Span, ...] = self._try(
            "spans",
            lambda: nest_spans(
                (
                    *phase_spans(phases),
                    *pass_spans(first.compiled.rewrite_passes, phases),
                    *modules,
                    *heard.spans,
                )
            ),
            nothing,
        )
        for part in (self._imports, self._window):
            self._unavailable += part.events.problems if part is not None else ()
        return Attribution(
            rewriters=rewriters,
            node_types=node_types,
            units=heard.units,
            imports=imports,
            cache_misses=heard.misses,
            spans=spans,
            unavailable=tuple(dict.fromkeys((*self._unavailable, *heard.unavailable))),
        )

    def _hear(self, first: Any, phases: tuple[PhaseRecord, ...]) -> Heard:
        if self._window is None or self._instrument is None:
            return Heard()
        unnamed: dict[str, str] = {}
        groups = self._try("names of the model's variables", lambda: value_names(first.built.model), unnamed)
        setting = Setting(phase_at=phase_finder(phases), groups=groups, nodes=first.compiled.nodes_after)
        return self._instrument.hear(self._window.recorder.finish(), setting)

    def _sum_imports(self) -> tuple[tuple[ImportTime, ...], tuple[Span, ...]]:
        if self._imports is None:
            return (), ()
        roots = self._imports.recorder.finish()
        return sum_imports(roots, self._imports.seconds), import_spans(roots)

    def _try[T](self, what: str, step: Callable[[], T], otherwise: T) -> T:
        try:
            return step()
        except Exception as error:  # noqa: BLE001 - an instrument that fails must not cost the sample
            self._unavailable.append(f"{what}: {type(error).__name__}: {error}")
            return otherwise


def _make_instrument(backend: BackendName, now: Callable[[], float]) -> Instrument | None:
    # Within: each imports what it measures, at the latest moment.
    match facts_of(backend).compiler:
        case BackendName.NUMBA:
            from firstgrad.attribution.numba_units import NumbaUnits

            return NumbaUnits()
        case BackendName.C:
            from firstgrad.attribution.c_units import CUnits

            return CUnits()
        case BackendName.JAX:
            from firstgrad.attribution.jax_units import JaxUnits

            return JaxUnits(now)
    return None


def _rewriters(first: Any) -> tuple[Rewriter, ...]:
    # The marks' module imports PyTensor; its name alone tells them.
    return read_rewriters(first.compiled.stats, lambda rewriter: type(rewriter).__module__ == _MARKS)
