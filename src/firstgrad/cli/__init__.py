"""The command line. Only this package exits; nothing imports it."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line, turning errors that a person can act on into exit codes."""
    import signal
    import threading

    taken = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    taken = taken and threading.current_thread() is threading.main_thread()
    if taken:  # Ctrl-C amid imports ends it without a word; amid the application as it says
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from firstgrad.cli.app import run
    finally:
        if taken:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
