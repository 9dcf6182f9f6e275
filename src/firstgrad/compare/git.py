"""What git knows of names and commits, in the folder one is in."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress

from firstgrad.growth.series import Commit

_LONGEST_SECONDS = 60


def resolve_commit(name: str) -> str:
    """Find the whole commit that ``main``, ``HEAD~1`` or a tag stands for; '' where git knows none, or isn't there."""
    if not name or name.startswith("-") or "\0" in name:  # git would take it for an option
        return ""
    return _ask_git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()


def list_commits() -> tuple[Commit, ...]:
    """List all commits with their subject lines, oldest first; empty outside of a repository and without git."""
    lines = _ask_git("rev-list", "--topo-order", "--reverse", "--all", "--format=%H%x09%s").split("\n")
    # rev-list writes a line `commit DIGEST` before each of ours
    pairs = (line.partition("\t") for line in lines if "\t" in line)
    return tuple(Commit(digest, subject) for digest, _, subject in pairs)


def _ask_git(*words: str) -> str:
    git = shutil.which("git")
    if git:
        with suppress(OSError, ValueError, subprocess.TimeoutExpired):
            done = subprocess.run([git, *words], capture_output=True, timeout=_LONGEST_SECONDS, check=False)
            if done.returncode == 0:
                return done.stdout.decode(errors="replace")
    return ""
