"""How long a compile is still going to take, from former runs of the same model."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from firstgrad.progress.snapshot import Expected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firstgrad.progress.history import Run


def expect(
    runs: Iterable[Run],
    *,
    elapsed_seconds: float,
    backend: str = "",
    compiled: int = 0,
    is_cache_first: bool | None = None,
) -> Expected | None:
    """Expect a remaining time.

    Of the former runs those count that lasted longer than what has elapsed, on the same backend, and that agree about
    the cache: they compiled no fewer units than were compiled so far, and their first unit was compiled, or came from a
    cache, as this one's.

    Parameters
    ----------
    runs : iterable of Run
        Of this model.
    elapsed_seconds : float
        So far.
    backend : str
        '' while it is not known.
    compiled : int
        Units so far.
    is_cache_first : bool, optional
        Whether the first unit came from a disk cache; none while there is no unit.

    Returns
    -------
    Expected or None
        The median of the remainders; None where no former run tells.
    """
    left = sorted(
        run.seconds - elapsed_seconds
        for run in runs
        if run.seconds > elapsed_seconds
        and (not backend or not run.backend or run.backend == backend)
        and (run.compiled is None or run.compiled >= compiled)
        and (None in (run.is_cache_first, is_cache_first) or run.is_cache_first == is_cache_first)
    )
    if not left:
        return None
    return Expected(seconds=statistics.median(left), low_seconds=left[0], high_seconds=left[-1], runs=len(left))
