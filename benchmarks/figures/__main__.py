"""``python -m benchmarks.figures FOLDER DATA``: redraw the figures of the documentation from its stored records."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.figures.findings import draw_findings
from benchmarks.figures.finiteness import describe_finiteness, draw_finiteness
from benchmarks.figures.headline import describe_headline, draw_headline, read_ways
from benchmarks.figures.power import describe_power, draw_power, read_power
from firstgrad.profile.kept import read_profile
from firstgrad.show.bars import describe_phases, describe_profile, draw_phases, draw_profile
from firstgrad.show.series import describe_releases, draw_releases
from firstgrad.show.style import save_figure
from firstgrad.store import import_jsonl

OF_RECORDS = (
    ("first-gradient", "phases", draw_phases, describe_phases),
    ("origin", "phases-origin", draw_phases, describe_phases),
    ("finiteness", "finiteness", draw_finiteness, describe_finiteness),
    ("releases", "releases", draw_releases, describe_releases),
)
"""Files of records, and the figure that is made of each."""


def main(folder: Path, data: Path) -> None:
    """Draw every figure whose data are there."""
    drawn: list[Path] = []
    for file, name, draw, describe in OF_RECORDS:
        if (source := data / f"{file}.jsonl").exists():
            records = list(import_jsonl(source))
            drawn += save_figure(draw(records), folder, name, description=describe(records))
    if (source := data / "growth.jsonl").exists():
        for name, figure, description in draw_findings(list(import_jsonl(source))):
            drawn += save_figure(figure, folder, name, description=description)
    if (data / "headline.jsonl").exists():
        ways = read_ways(data)
        drawn += save_figure(draw_headline(ways), folder, "headline", description=describe_headline(ways))
    if (source := data / "trust-report.json").exists():
        points = read_power(source)
        drawn += save_figure(draw_power(points), folder, "power", description=describe_power(points))
    for source in sorted(data.glob("profile-*.json")):
        profile = read_profile(source)
        drawn += save_figure(draw_profile(profile), folder, source.stem, description=describe_profile(profile))
    for path in drawn:
        print(path)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
