"""The parent's side of a profile: a case in, one profile out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firstgrad.case import Scenario
from firstgrad.errors import WorkerError
from firstgrad.measure.allocations import require_memray, summarise_allocations
from firstgrad.measure.launch import conclude, fill, make_task
from firstgrad.measure.private import PrivateCaches
from firstgrad.measure.session import Transcript, run_worker
from firstgrad.profile import AllocationSite, Attribution, Profile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from firstgrad.case import Case
    from firstgrad.measure.events import Event


def profile_case(
    case: Case,
    *,
    label: str = "",
    threads: int = 1,
    on_event: Callable[[Event], None] | None = None,
    allocations: Path | None = None,
) -> Profile:
    """Measure one sample with instruments on.

    Parameters
    ----------
    case : Case
        What to profile; for ``warm`` an identical process without instruments fills the caches first.
    label : str
        The user's name for this run.
    threads : int
        Threads of BLAS and OpenMP.
    on_event : callable, optional
        Takes each event as it happens, for a display.
    allocations : Path, optional
        Folder for a flame graph of the allocations, which a further process of the same case makes.

    Returns
    -------
    Profile
        Whose record has the failure where there was one.

    Raises
    ------
    SpecError
        Where allocations are asked for and memray is not there.
    """
    hear = on_event or (lambda _: None)
    if allocations is not None:
        require_memray()
    with PrivateCaches() as private:
        if case.scenario is Scenario.WARM:
            failed = fill(case, private, label=label, threads=threads, on_event=on_event)
            if failed is not None:
                return Profile(record=failed)
        private.restore()
        task = replace(make_task(case, private, label=label, threads=threads), profile=True)
        heard = run_worker(task, private, Transcript(), hear)
        profile = Profile(record=conclude(task, heard), attribution=heard.attribution or Attribution())
        if allocations is None or profile.record.failure is not None:
            return profile
        private.restore()
        sites, problem = _allocation_sites(replace(case, evaluations=0), private, hear, threads, allocations)
        told = replace(
            profile.attribution, unavailable=(*profile.attribution.unavailable, *([problem] if problem else []))
        )
        return replace(profile, attribution=told, allocations=sites)


def _allocation_sites(
    case: Case, private: PrivateCaches, hear: Callable[[Event], None], threads: int, folder: Path
) -> tuple[tuple[AllocationSite, ...], str]:
    """Run the case once more under memray; the second is why there are none."""
    file = private.folder / "allocations.bin"
    file.unlink(missing_ok=True)  # memray refuses to write over a file
    task = replace(make_task(case, private, threads=threads), allocations_file=str(file))
    record = conclude(task, run_worker(task, private, Transcript(), hear))
    if record.failure is not None:
        return (), f"allocations: the run under memray failed: {record.failure.message}"
    try:
        return summarise_allocations(file, folder), ""
    except (WorkerError, OSError, RuntimeError, ValueError) as error:  # the profile that is there must not be lost
        return (), f"allocations: {error}"
