"""Where asv runs a suite: the configuration's folder, the commit, the environment."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import psutil


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What asv says of a run, and what can be seen where it says nothing (environments of type ``existing``).

    Attributes
    ----------
    folder : Path
        Of the asv configuration.
    environment : str
        asv's name of the environment.
    environment_folder : Path, optional
        Where asv made the environment; none where it didn't.
    """

    folder: Path
    environment: str
    environment_folder: Path | None

    @classmethod
    def of(cls, suite_file: str | None) -> Self:
        """Find the surroundings of a suite from one of its files."""
        given = os.environ.get("ASV_ENV_DIR")
        return cls(
            folder=Path(os.environ.get("ASV_CONF_DIR") or _configuration_above(suite_file)),
            environment=os.environ.get("ASV_ENV_NAME", "existing"),
            environment_folder=Path(given) if given else None,
        )

    @property
    def commit(self) -> str:
        """The commit that is measured; '' where it cannot be known."""
        from firstgrad.measure.environment import git_commit

        return os.environ.get("ASV_COMMIT") or git_commit(self.folder)

    def reference(self, model: str) -> str:
        """Complete a model's reference: files are seen from the folder of the asv configuration."""
        place, _, function = model.rpartition(":")
        return f"{self.folder.absolute() / place}:{function}" if place.endswith(".py") else model

    def folder_for_filled(self, case_id: str) -> Path | None:
        """Find where this run of asv keeps the filled cache of a case: its rounds then fill it once, not each time.

        What earlier runs left is removed: the suite's own files may have changed since.
        """
        if self.environment_folder is None or not self.commit:
            return None
        import shutil

        asv = _asv_process()
        runs = self.environment_folder / "firstgrad-filled"
        this_run = runs / f"{asv.pid}-{asv.create_time():.2f}"
        for old in runs.glob("*"):
            if old != this_run:
                shutil.rmtree(old, ignore_errors=True)
        return this_run / self.commit / case_id


def _configuration_above(suite_file: str | None) -> Path:
    start = Path(suite_file).absolute() if suite_file else Path.cwd() / "suite"
    return next((folder for folder in start.parents if any(folder.glob("asv*.conf.json*"))), Path.cwd())


def _asv_process() -> psutil.Process:
    """Find asv itself, which may have a server between itself and this process: it has no ``ASV_ENV_DIR``."""
    import psutil

    process = psutil.Process()
    while (parent := process.parent()) is not None:
        process = parent
        with suppress(psutil.AccessDenied):
            if "ASV_ENV_DIR" not in process.environ():
                break
    return process
