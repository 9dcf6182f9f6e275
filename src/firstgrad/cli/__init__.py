"""The command line. Only this package exits; nothing imports it."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line, turning errors that a person can act on into exit codes."""
    from firstgrad.cli.app import run

    run()
