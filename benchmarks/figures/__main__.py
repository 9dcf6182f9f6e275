"""``python -m benchmarks.figures FOLDER DATA``: redraw the figures of the documentation from its stored records."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from benchmarks.compile_memory.table import read_samples
from benchmarks.figures.batching import batching_picture
from benchmarks.figures.compile_memory import compile_memory_picture
from benchmarks.figures.findings import findings_pictures
from benchmarks.figures.finiteness import finiteness_picture
from benchmarks.figures.headline import headline_picture
from benchmarks.figures.headline import read_samples as read_headline
from benchmarks.figures.power import power_picture, read_power
from firstgrad.profiling.make import PROFILES
from firstgrad.show.bars import phases_picture, profile_picture
from firstgrad.show.series import releases_picture
from firstgrad.show.style import save_picture
from firstgrad.store import import_jsonl

OF_RECORDS = (
    ("first-gradient", phases_picture),
    ("origin", partial(phases_picture, name="phases-origin")),
    ("finiteness", finiteness_picture),
    ("releases", releases_picture),
)
"""Files of records, and the figure that is made of each."""
OF_FILES = (
    ("batching-graph.json", batching_picture),
    ("compile-memory.json", lambda source: compile_memory_picture(read_samples(source))),
    ("trust-report.json", lambda source: power_picture(read_power(source))),
)
"""Other files, and the figure that is made of each."""


def main(folder: Path, data: Path) -> None:
    """Draw every figure whose data are there."""
    drawn: list[Path] = []
    for file, picture_of in OF_RECORDS:
        if (source := data / f"{file}.jsonl").exists():
            drawn += save_picture(picture_of(list(import_jsonl(source))), folder)
    if (source := data / "growth.jsonl").exists():
        for picture in findings_pictures(list(import_jsonl(source))):
            drawn += save_picture(picture, folder)
    if (data / "headline-called.ndjson").exists():
        drawn += save_picture(headline_picture(read_headline(data)), folder)
    for source, picture_of_file in ((data / file, picture) for file, picture in OF_FILES):
        if source.exists():
            drawn += save_picture(picture_of_file(source), folder)
    for source in sorted(data.glob("profile-*.json")):
        drawn += save_picture(profile_picture(PROFILES.read(source), name=source.stem), folder)
    for path in drawn:
        print(path)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
