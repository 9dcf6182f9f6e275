"""``python -m firstgrad.figures RECORDS.jsonl FOLDER``: redraw the README's figures from stored records."""

from __future__ import annotations

import sys
from pathlib import Path

from firstgrad.figures.phases import describe_phases, draw_phases
from firstgrad.figures.style import save_figure
from firstgrad.store import import_jsonl


def main(source: Path, folder: Path) -> None:
    """Draw every figure that the records can give."""
    records = list(import_jsonl(source))
    for path in save_figure(draw_phases(records), folder, "phases", description=describe_phases(records)):
        print(path)  # noqa: T201 - a make target says what it made


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
