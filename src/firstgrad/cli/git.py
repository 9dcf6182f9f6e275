"""What git knows of a name, in the folder one is in."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress

_LONGEST_SECONDS = 10


def resolve_commit(name: str) -> str:
    """Find the whole commit that ``main``, ``HEAD~1`` or a tag stands for; '' where git knows none, or isn't there."""
    git = shutil.which("git")
    if not git or not name or name.startswith("-"):  # git would take it for an option
        return ""
    command = [git, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
    with suppress(OSError, ValueError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_SECONDS, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return ""
