"""``python -m firstgrad.figures RECORDS.jsonl FOLDER [RELEASES.jsonl]``: redraw the figures from stored records."""

from __future__ import annotations

import sys
from pathlib import Path

from firstgrad.figures.phases import describe_phases, draw_phases
from firstgrad.figures.releases import describe_releases, draw_releases
from firstgrad.figures.style import save_figure
from firstgrad.store import import_jsonl


def main(source: Path, folder: Path, releases: Path | None = None) -> None:
    """Draw every figure that the records can give; the one of the releases only where their file is there."""
    records = list(import_jsonl(source))
    drawn = [*save_figure(draw_phases(records), folder, "phases", description=describe_phases(records))]
    if releases is not None and releases.exists():
        records = list(import_jsonl(releases))
        drawn += save_figure(draw_releases(records), folder, "releases", description=describe_releases(records))
    for path in drawn:
        print(path)  # noqa: T201 - a make target says what it made


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
