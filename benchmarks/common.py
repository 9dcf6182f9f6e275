"""The base of the suite's classes, also on commits that have no `firstgrad.asv` yet: there everything is skipped."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

try:
    from firstgrad.asv import GradientBenchmarks
except ImportError:
    if "discover" in sys.argv:
        raise  # asv tries the next commit

    class _AnyTrack(type):
        def __getattr__(cls, name: str) -> Any:
            """Answer for every benchmark that a newer commit has."""
            if not name.startswith("track_"):
                raise AttributeError(name)

            def track(self: object, *values: object) -> None: ...

            return track

    class GradientBenchmarks(metaclass=_AnyTrack):  # type: ignore[no-redef]
        """Skips: asv shows n/a."""

        parameters: ClassVar[dict] = {}
        backends = scenarios = ()

        def __init_subclass__(cls, *, abstract: bool = False) -> None:
            cls.params = [*map(list, cls.parameters.values()), list(cls.backends), list(cls.scenarios)]
            cls.param_names = [*cls.parameters, "backend", "scenario"]

        def __getattr__(self, name: str) -> Any:
            return getattr(type(self), name).__get__(self)

        def setup(self, *values: object) -> None:
            """Skip."""
            raise NotImplementedError("this commit has no firstgrad.asv")


class PoseBenchmarks(GradientBenchmarks, abstract=True):
    """The pose model on one backend."""

    timeout = 3600.0

    def case(self, **values: Any) -> Any:
        """Describe one cell's measurement."""
        from .tiers import case_of, is_default_backend

        if values["backend"] == "numba" and not is_default_backend("numba"):
            raise NotImplementedError("Numba is not this PyTensor's default backend, and its cache is another one")
        return case_of(**values)
