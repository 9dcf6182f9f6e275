"""Who measures a sweep: this machine, or the workers of a Dask cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from firstgrad.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.sweep.connection import Certificates
    from firstgrad.sweep.runner import Executor


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """Where samples are measured.

    Attributes
    ----------
    scheduler : str, optional
        Address of a Dask cluster; none for this machine.
    at_once, threads : int
        Samples side by side on this machine, and the threads of each.
    certificates : Certificates, optional
        For TLS.
    """

    scheduler: str | None
    at_once: int
    threads: int
    certificates: Certificates | None

    @classmethod
    def of_options(
        cls,
        *,
        scheduler: str | None,
        at_once: int,
        threads: int,
        overload: bool,
        ca_file: str | None,
        certificate: str | None,
        key: str | None,
    ) -> Self:
        """Make it of a command line's options.

        Raises
        ------
        SpecError
            Naming the option that doesn't fit.
        """
        from firstgrad.sweep.connection import Certificates
        from firstgrad.sweep.local import check_cores

        files = [Path(each) if each is not None else None for each in (ca_file, certificate, key)]
        certificates = Certificates.of_options(ca_file=files[0], certificate=files[1], key=files[2])
        if scheduler is None:
            if certificates is not None:
                raise SpecError("--tls-ca-file, --tls-cert, --tls-key", "are for --scheduler tls://HOST:PORT")
            check_cores(at_once=at_once, threads=threads, cores=os.cpu_count() or 1, allowed=overload)
        elif at_once != 1:
            raise SpecError("--at-once", "is for this machine; a cluster measures one sample a worker at a time")
        return cls(scheduler=scheduler, at_once=at_once, threads=threads, certificates=certificates)

    def conditions(self) -> str | None:
        """Give the digest of the conditions here; none for a cluster, whose hosts may be of any kind."""
        if self.scheduler is not None:
            return None
        from firstgrad.measure.environment import describe_environment
        from firstgrad.row import conditions_of

        return conditions_of(describe_environment(threads=self.threads))

    def executor(self, *, label: str, warn: Callable[[str], None]) -> Executor:
        """Make what measures."""
        if self.scheduler is not None:
            from firstgrad.sweep.cluster import DaskExecutor

            return DaskExecutor(
                self.scheduler, label=label, threads=self.threads, certificates=self.certificates, warn=warn
            )
        from firstgrad.sweep.local import LocalExecutor

        return LocalExecutor(label=label, threads=self.threads, at_once=self.at_once)
