"""Write asv.releases.conf.json from pins.toml: the same configuration as asv.conf.json, but for the matrix.

Usage: python benchmarks/releases/configure.py
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PINS = Path(__file__).with_name("pins.toml")
HEADER = """\
// Across PyMC releases: the pose model under each, with a set of packages that fit together.
// Written by benchmarks/releases/configure.py from benchmarks/releases/pins.toml; change those instead.
// FIRSTGRAD_TIER=releases asv run --config asv.releases.conf.json HEAD^!
"""
_NO_REQUIREMENTS = ("python", "default_backend", "nutpie")


def configuration() -> str:
    """Write the configuration."""
    lines = [line for line in (ROOT / "asv.conf.json").read_text().splitlines() if not re.match(r"\s*//", line)]
    settings = json.loads("\n".join(lines))
    rows = tomllib.loads(PINS.read_text())["release"]
    settings |= {
        "env_dir": ".asv/env-releases",
        "results_dir": ".asv/results-releases",
        "html_dir": ".asv/html-releases",
        "pythons": sorted({row["python"] for row in rows}),
        "matrix": {},
        # Only the rows below: asv adds one without packages for each Python otherwise.
        "exclude": [{"python": ".*"}],
        "include": [
            {
                "python": row["python"],
                "req": {name: version for name, version in row.items() if name not in _NO_REQUIREMENTS},
            }
            for row in rows
        ],
    }
    return f"{HEADER}{json.dumps(settings, indent=4)}\n"


def main() -> None:
    """Write it."""
    (ROOT / "asv.releases.conf.json").write_text(configuration())


if __name__ == "__main__":
    main()
