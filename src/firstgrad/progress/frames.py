"""From a stack to what is going on: the table of known frames applied, innermost frame first."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from firstgrad.observe.events import Stage
from firstgrad.observe.probes import known_frame
from firstgrad.progress.snapshot import Look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import FrameType

    from firstgrad.observe.probes import KnownFrame


class Frame(NamedTuple):
    """A frame as the table asks for it; locals are read only where a known frame wants them."""

    file: str
    function: str
    locals: Callable[[], Mapping[str, Any]]


def stack_of(frame: FrameType | None, until: FrameType | None = None) -> Iterator[Frame]:
    """Walk a running thread's stack, innermost frame first.

    Parameters
    ----------
    frame : frame, optional
        The innermost.
    until : frame, optional
        Where to stop: what lies outside of the user's block does not matter.

    Yields
    ------
    Frame
    """
    while frame is not None and frame is not until:
        code = frame.f_code
        yield Frame(code.co_filename, code.co_qualname, partial(getattr, frame, "f_locals"))
        frame = frame.f_back


def read_stack(stack: Iterable[Frame]) -> Look:
    """Say what a stack is about.

    The outermost frame with a stage decides about it: a compile of an inner graph is a part of whatever needs it.

    Parameters
    ----------
    stack : iterable of Frame
        Innermost first.

    Returns
    -------
    Look
    """
    strong: Stage | None = None
    weak: Stage | None = None
    fields: dict[str, Any] = {}
    names: dict[str, Any] = {}
    read: dict[str, bool] = {}
    is_compiling = False
    for frame in stack:
        known = known_frame(frame.file, frame.function)
        if known is None:
            continue
        if known.stage is Stage.LINK:
            is_compiling = True
        if known.stage is not None:
            if not known.weak:
                strong = known.stage
            elif weak is None:
                weak = known.stage
        _take(known, frame, fields, names, read)
    stage = strong or weak or Stage.OTHER
    if stage is Stage.CALL and is_compiling:
        stage = Stage.FIRST_CALL
    return Look(stage=stage, read=tuple(read.items()), **fields | names)


def _take(
    known: KnownFrame, frame: Frame, fields: dict[str, Any], names: dict[str, Any], read: dict[str, bool]
) -> None:
    if known.kind is not None:
        fields.setdefault("unit_kind", known.kind)
    if known.backend:
        fields["backend"] = known.backend
    if known.reads_cache:
        fields["reads_cache"] = True
    if known.outermost is not None:
        fields.update(_read(known.outermost, frame, read))
    if known.innermost is not None and not names:
        names.update(_read(known.innermost, frame, read))


def _read(reader: Callable[[Mapping[str, Any]], dict[str, Any]], frame: Frame, read: dict[str, bool]) -> dict[str, Any]:
    """Read a frame's locals. One that is not bound yet is no matter; one that never is gets a warning at the end."""
    try:
        found = reader(frame.locals())
    except Exception:  # noqa: BLE001 - other packages' objects: a display must never disturb a compile
        read.setdefault(reader.__name__, False)
        return {}
    read[reader.__name__] = True
    return found
