"""The command line. Only this package exits; nothing imports it."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line, turning errors that a person can act on into exit codes."""
    # What is behind `signal`, whose own import takes long enough for a Ctrl-C.
    import _signal as signal  # type: ignore[import-not-found]  # a module of the interpreter itself

    taken = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        if taken:  # Ctrl-C amid imports ends it without a word; amid the application as it says
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    except ValueError:  # only the main thread may
        taken = False
    try:
        from firstgrad.cli.app import run
    finally:
        if taken:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
