"""What verbs share: the store that they read, the terminal, and how a result is shown and ends the program."""

from __future__ import annotations

import codecs
import errno
import io
import os
import signal
import sys
import tempfile
import threading
import traceback
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from firstgrad.errors import SpecError, StoreError
from firstgrad.units import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from firstgrad.show.result import Result
    from firstgrad.store import Store
    from firstgrad.store.jsonl import Source

PICTURES = (".png", ".svg")
"""Endings of files that a single figure is written to."""


class ExitCode(IntEnum):
    """Exit codes of every verb."""

    GOOD = 0
    DIFFERENT = 1
    WRONG_USE = 2
    CASE_FAILED = 3
    BROKE_OFF = 4  # an error of firstgrad's own, or standard output could not be written: no verdict
    INTERRUPTED = 130


# --- the streams and signals of this process ----------------------------------------------------------------------


class _Stream(io.TextIOWrapper):
    """Standard output or standard error, as the whole program writes to them: what can't be written ends nothing.

    Letters that an encoding lacks are written in others. After an error nothing more is written, so that what is there
    has no gaps.
    """

    error: OSError | None = None

    @classmethod
    def around(cls, stream: Any) -> Any:
        """Take over a stream of the system's; any other (a test's, a notebook's) stays as it is."""
        if stream is None or stream not in (sys.__stdout__, sys.__stderr__) or not isinstance(stream, io.TextIOWrapper):
            return stream
        return cls(
            stream.buffer,
            encoding=stream.encoding,
            errors="firstgrad",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )

    def write(self, text: str) -> int:
        if self.error is None:
            try:
                return super().write(text)
            except OSError as error:
                self.error = error
        return len(text)

    def flush(self) -> None:
        if self.error is None:
            try:
                super().flush()
            except OSError as error:
                self.error = error


def _give_up(stream: Any) -> OSError | None:
    """Return why a stream could not be written to its end; what waits in it is led to nowhere, or Python complains."""
    if not isinstance(stream, _Stream):
        return None
    stream.flush()
    if stream.error is not None:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return stream.error


_PLAIN = str.maketrans(
    {"µ": "u", "…": "...", "·": "-", "∞": "inf", "━": "=", "\u00d7": "x", "\u2212": "-", "\u2013": "-"}
)


def _write_plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write letters that an encoding lacks in those that each has."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    spun = "".join("*" if "\u2800" <= letter <= "\u28ff" else letter for letter in text)  # Rich's spinner
    return spun.encode("ascii", "backslashreplace").decode(), error.end


@contextmanager
def own_process() -> Iterator[None]:
    """Make this process the command line's while the block runs: its streams, its signals, and how it ends.

    SIGTERM and SIGHUP end the block as Ctrl-C does, so that what runs is stopped and the terminal is as it was; then
    the process ends by them. What nobody foresaw is told in a line, with a file that has the traceback. Where standard
    output could not be written to its end, that is told; only a reader that has gone (``| head``) is no failure.
    """
    for number in range(3):  # a closed one would be given to the next file that is opened, such as a worker's pipe
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    codecs.register_error("firstgrad", _write_plainly)
    sys.stdout, sys.stderr = _Stream.around(sys.stdout), _Stream.around(sys.stderr)
    caught: list[int] = []

    def end(number: int, _: object) -> None:
        caught.append(number)
        signal.signal(number, signal.SIG_DFL)  # a second one does not wait
        raise KeyboardInterrupt

    taken: list[int] = []
    code: Any = ExitCode.GOOD
    try:
        taken += _take_signals(end)
        yield
    except SystemExit as leaving:
        code = leaving.code
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last door: whatever is left
        _tell_unforeseen(error)
        code = ExitCode.BROKE_OFF
    failed = _give_up(sys.stdout)
    if failed is not None and failed.errno != errno.EPIPE:
        say(
            f"firstgrad: standard output cannot be written ({failed.strerror}): what it has is not whole. What a store "
            "keeps is there all the same"
        )
        code = code if code == ExitCode.INTERRUPTED else ExitCode.BROKE_OFF
    _give_up(sys.stderr)
    for number in taken:
        signal.signal(number, signal.SIG_DFL)
    if caught:
        os.kill(os.getpid(), caught[0])
    sys.exit(code)


def _take_signals(end: Callable[[int, object], None]) -> list[int]:
    """Take the signals that end a program, but one that somebody has ignored already, as nohup does."""
    taken: list[int] = [
        number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL
    ]
    if threading.current_thread() is not threading.main_thread():
        return []
    for number in taken:
        signal.signal(number, end)
    return taken


def _tell_unforeseen(error: Exception) -> None:
    """Tell an error that nobody foresaw; its traceback goes to a file, or where there can be none to standard error."""
    from firstgrad.store import DEFAULT_PATH

    text = "".join(traceback.format_exception(error))
    for folder in (Path(DEFAULT_PATH).parent, None):  # none: TMPDIR
        try:
            with tempfile.NamedTemporaryFile(
                "w", prefix="error-", suffix=".txt", dir=folder, delete=False, encoding="utf-8", errors="replace"
            ) as file:
                file.write(text)
        except OSError:
            continue
        where = f"its traceback is in {Path(file.name).absolute()}"
        break
    else:
        say(text)
        where = "its traceback is above"
    first = str(error).strip().partition("\n")[0]
    what = f"{type(error).__name__}: {first}" if first else type(error).__name__
    say(f"firstgrad: {what}. This is an error of firstgrad's own: please report it; {where}")


# --- what is said -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Call:
    """How this process was called."""

    is_quiet: bool = False
    from_file: tuple[str, ...] = ()  # options that a project's file gives, as they would be typed


_CALL = _Call()
_HANDLER = "firstgrad.cli"


def begin(*, quiet: bool, verbose: bool, from_file: tuple[str, ...] = ()) -> None:
    """Take ``--quiet`` and ``--verbose``, and show what the library logs; raises SpecError where both were given."""
    import logging

    if quiet and verbose:
        raise SpecError("--quiet, --verbose", "give one of them")
    _CALL.is_quiet, _CALL.from_file = quiet, from_file
    log = logging.getLogger("firstgrad")
    log.setLevel(logging.INFO if verbose else logging.WARNING)
    if logging.getHandlerByName(_HANDLER) is None:
        handler = logging.StreamHandler(_Said())
        handler.set_name(_HANDLER)
        log.addHandler(handler)


class _Said:
    """The stream of log lines: standard error, as it is when a line comes."""

    def write(self, text: str) -> None:
        if text.strip():
            say(f"firstgrad: {text.rstrip()}")

    def flush(self) -> None:
        """Do nothing: `say` has."""


def is_quiet() -> bool:
    """Whether ``--quiet`` leaves out all but results and errors."""
    return _CALL.is_quiet


def command_line() -> list[str]:
    """Return the command as it would be typed where no project's file gives options."""
    return ["firstgrad", *sys.argv[1:], *_CALL.from_file]


def say(text: object, *, out: bool = False) -> None:
    """Write a line for people to standard error, or to standard output."""
    stream = sys.stdout if out else sys.stderr
    if stream is not None:  # closed: then nobody listens
        stream.write(f"{clean(str(text))}\n")
        stream.flush()


def say_notes(error: BaseException) -> None:
    """Write what an error says in its notes, such as how to go on after an interrupt."""
    for line in getattr(error, "__notes__", ()):
        say(f"firstgrad: {line}")


def note(text: object) -> None:
    """Write a line that ``--quiet`` leaves out."""
    if not _CALL.is_quiet:
        say(text)


def shown(display: AbstractContextManager[Callable[[Any], None]]) -> AbstractContextManager[Callable[[Any], None]]:
    """Return a display of what runs; with ``--quiet`` one that shows warnings alone."""
    if not _CALL.is_quiet:
        return display
    from firstgrad.sweep.rounds import Notice

    return nullcontext(lambda event: say(f"firstgrad: {event.message}") if isinstance(event, Notice) else None)


# --- what verbs share ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """In which form a verb writes what it found out."""

    json: Annotated[bool, typer.Option("--json", help="For a program: JSON on standard output.")] = False
    markdown: Annotated[bool, typer.Option("--markdown", help="For a pull request or a summary of CI.")] = False

    def refuse_both(self) -> None:
        """Raise a `SpecError` where both were asked for: before anything is measured."""
        if self.json and self.markdown:
            raise SpecError("--json, --markdown", "give one of them")


def show(result: Result, output: OutputOptions) -> None:
    """Print a result in the form that was asked for."""
    from firstgrad.show.result import Form, make_console, print_parts, render

    if output.json or output.markdown:
        if sys.stdout is not None:
            sys.stdout.write(render(result, Form.JSON if output.json else Form.MARKDOWN))
    else:
        print_parts(make_console(stderr=result.is_failure), result.parts)


def finish(result: Result, output: OutputOptions) -> NoReturn:
    """Print a result and end with its exit code."""
    show(result, output)
    raise typer.Exit(result.exit_code)


@contextmanager
def open_source(store: str | None, export: str | None) -> Iterator[Source]:
    """Open a store, or an export where one is given, to read from.

    Raises
    ------
    SpecError
        Where both are given.
    StoreError
        Where there is none.
    """
    from firstgrad.store.jsonl import ExportSource

    if store is not None and export is not None:
        raise SpecError("--store, --from", "give one of them")
    if export is not None:
        yield ExportSource(export)
        return
    with open_store(store) as opened:
        yield opened


def open_store(place: str | None) -> Store:
    """Open a store to read from.

    Raises
    ------
    StoreError
        Where there is none: opening would make an empty one.
    """
    from firstgrad.store import Store, StoreAddress

    address = StoreAddress.of(place)
    is_file_there = False
    with suppress(OSError):  # a name that no file can have
        is_file_there = address.path is not None and address.path.exists()
    if address.path is not None and not is_file_there:
        raise StoreError(f"{address}: there is no store here. Give --store or --from, or measure first")
    return Store.open(address)
