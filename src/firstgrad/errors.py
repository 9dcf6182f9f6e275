"""Every error that firstgrad raises on purpose.

::

    FirstgradError
    ├── SpecError            a field of a spec or of the data is wrong
    ├── ModelError           the user's model reference or factory is wrong
    ├── BackendUnavailable   a package or compiler is missing
    ├── WorkerError          a worker said something that cannot be understood
    └── StoreError           a store cannot be opened, read or written
        └── SchemaTooNewError  the store was written by a newer firstgrad

Each message names the culprit and the next step. Only the CLI turns them into exit codes.
"""

from __future__ import annotations


class FirstgradError(Exception):
    """Base of all errors a user can act on."""


class SpecError(FirstgradError, ValueError):
    """A field of a spec or of given data is wrong.

    Parameters
    ----------
    field : str
        The field's name, as the user wrote it.
    problem : str
        What is wrong with it, and what would be right.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class ModelError(FirstgradError):
    """The user's model cannot be found, built or used."""


class BackendUnavailable(FirstgradError):  # noqa: N818 - the name users meet in the documentation
    """A backend's package or compiler is missing.

    Parameters
    ----------
    backend : str
        The backend's name.
    missing : str
        What is missing.
    install : str
        The command that installs it.
    """

    def __init__(self, backend: str, missing: str, install: str) -> None:
        super().__init__(f"backend {backend!r} needs {missing}, which is not here. Install it: {install}")
        self.backend = backend
        self.missing = missing
        self.install = install


class WorkerError(FirstgradError):
    """A worker broke the protocol of its pipe."""


class StoreError(FirstgradError):
    """A store cannot be opened, read or written."""


class SchemaTooNewError(StoreError):
    """A store was written by a newer firstgrad than this one."""
