"""The commits of the repository one is in, in git's order."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress

from firstgrad.analysis.axes import Commit

_LONGEST_SECONDS = 60


def list_commits() -> tuple[Commit, ...]:
    """List all commits with their subject lines, oldest first; empty outside of a repository and without git."""
    git = shutil.which("git")
    if not git:
        return ()
    command = [git, "rev-list", "--topo-order", "--reverse", "--all", "--format=%H%x09%s"]
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, timeout=_LONGEST_SECONDS, check=False)
        if done.returncode == 0:
            lines = done.stdout.decode(errors="replace").split("\n")
            # rev-list writes a line `commit DIGEST` before each of ours
            pairs = (line.partition("\t") for line in lines if "\t" in line)
            return tuple(Commit(digest, subject) for digest, _, subject in pairs)
    return ()
