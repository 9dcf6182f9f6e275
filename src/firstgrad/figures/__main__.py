"""``python -m firstgrad.figures FOLDER DATA``: redraw the figures of the documentation from its stored records."""

from __future__ import annotations

import sys
from pathlib import Path

from firstgrad.figures.findings import draw_findings
from firstgrad.figures.finiteness import describe_finiteness, draw_finiteness
from firstgrad.figures.phases import describe_phases, draw_phases
from firstgrad.figures.power import describe_power, draw_power, read_power
from firstgrad.figures.profile import describe_profile, draw_profile
from firstgrad.figures.releases import describe_releases, draw_releases
from firstgrad.figures.style import save_figure
from firstgrad.store import import_jsonl
from firstgrad.store.profiles import read_profile


def main(folder: Path, data: Path) -> None:
    """Draw every figure whose data are there: ``first-gradient``, ``releases``, ``growth``, ``trust``, profiles."""
    drawn: list[Path] = []
    if (source := data / "first-gradient.jsonl").exists():
        records = list(import_jsonl(source))
        drawn += save_figure(draw_phases(records), folder, "phases", description=describe_phases(records))
    if (source := data / "releases.jsonl").exists():
        records = list(import_jsonl(source))
        drawn += save_figure(draw_releases(records), folder, "releases", description=describe_releases(records))
    if (source := data / "growth.jsonl").exists():
        for name, figure, description in draw_findings(list(import_jsonl(source))):
            drawn += save_figure(figure, folder, name, description=description)
    if (source := data / "finiteness.jsonl").exists():
        records = list(import_jsonl(source))
        drawn += save_figure(draw_finiteness(records), folder, "finiteness", description=describe_finiteness(records))
    if (source := data / "trust-report.json").exists():
        points = read_power(source)
        drawn += save_figure(draw_power(points), folder, "power", description=describe_power(points))
    for source in sorted(data.glob("profile-*.json")):
        profile = read_profile(source)
        drawn += save_figure(draw_profile(profile), folder, source.stem, description=describe_profile(profile))
    for path in drawn:
        print(path)  # noqa: T201 - a make target says what it made


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
