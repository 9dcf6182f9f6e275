"""What ``--output`` writes: figures, a trace, the profile itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.report.trace_format import TraceFormat

if TYPE_CHECKING:
    from pathlib import Path

    from firstgrad.analysis.profile_difference import ProfileDifference
    from firstgrad.profile import Profile

PROFILE_FILE = "profile.json"


def write_profile_files(profile: Profile, folder: Path, *, trace_format: TraceFormat, top: int) -> list[Path]:
    """Write a profile's files into a folder; those of an earlier profile there are replaced.

    Returns
    -------
    list of Path
        What was written: figures as PNG and SVG, where there is something to draw.

    Raises
    ------
    SpecError, StoreError
        Where the folder or a file cannot be written.
    """
    from firstgrad.record import FIRST_GRADIENT_PHASES
    from firstgrad.show.bars import describe_profile, draw_profile
    from firstgrad.show.memory import describe_memory, draw_memory
    from firstgrad.show.style import save_figure
    from firstgrad.store.profiles import write_profile

    record = profile.record
    written = [write_profile(profile, folder / PROFILE_FILE)]
    written.append(_write(folder / trace_format.file_name, _trace(profile, trace_format)))
    if any(each.phase in FIRST_GRADIENT_PHASES for each in record.phases):
        words = describe_profile(profile, top=top)
        written += save_figure(draw_profile(profile, top=top), folder, "profile", description=words)
    if record.memory is not None and record.memory.timeline:
        written += save_figure(draw_memory(record), folder, "memory", description=describe_memory(record))
    return written


def write_difference_files(difference: ProfileDifference, folder: Path) -> list[Path]:
    """Write a difference as JSON and, where anything changed by more than noise, as a figure."""
    from firstgrad.codec import to_json
    from firstgrad.show.bars import describe_profile_difference, draw_profile_difference
    from firstgrad.show.style import save_figure

    written = [_write(folder / "difference.json", to_json(difference))]
    try:
        figure = draw_profile_difference(difference)
    except ValueError:  # nothing to draw, which the table says too
        return written
    words = describe_profile_difference(difference)
    return [*written, *save_figure(figure, folder, "difference", description=words)]


def _trace(profile: Profile, trace_format: TraceFormat) -> str:
    from firstgrad.report.chrome_trace import to_chrome_trace
    from firstgrad.report.speedscope import to_speedscope

    return to_speedscope(profile) if trace_format is TraceFormat.SPEEDSCOPE else to_chrome_trace(profile)


def _write(path: Path, text: str) -> Path:
    from firstgrad.errors import SpecError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise SpecError(
            "--output", f"{path} cannot be written ({error.strerror or error}). Give another folder"
        ) from error
    return path
