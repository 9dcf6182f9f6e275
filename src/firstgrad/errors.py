"""Every error that firstgrad raises on purpose.

::

    FirstgradError
    ├── SpecError            a field of a spec or of the data is wrong
    ├── ModelError           the user's model reference or factory is wrong
    │   └── UnknownModelError   there is no such file, function or parameter
    ├── BackendUnavailable   a package or compiler is missing
    ├── SamplerUnavailable   a sampler's package is missing
    ├── UnavailableError     an installed release lacks what is read of it
    ├── PythonEnvironmentError  a Python environment cannot be made or used
    ├── WorkerError          a worker said something that cannot be understood
    ├── ComparisonError      two sides cannot be compared
    │   ├── UnknownSideError   no record has this label or commit
    │   └── UnlikeSidesError   host, versions, threads or flags differ
    └── StoreError           a store cannot be opened, read or written
        ├── SchemaTooNewError    the store was written by a newer firstgrad
        ├── RecordExistsError    a record of this record_id is there already
        └── StoreUnreachableError  the store's server is away

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


class UnknownModelError(ModelError):
    """There is no such file, module, function or parameter: nothing is said of the model that was meant."""


class UnavailableError(FirstgradError):
    """An installed release lacks what firstgrad reads of it; the message says what can't be had for that."""


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
        super().__init__(f"backend {str(backend)!r} needs {missing}, which is not here. Install it: {install}")
        self.backend = backend
        self.missing = missing
        self.install = install


class SamplerUnavailable(FirstgradError):  # noqa: N818 - as BackendUnavailable
    """A sampler's package is missing.

    Parameters
    ----------
    sampler : str
        Its name, which is its package's.
    """

    def __init__(self, sampler: str) -> None:
        super().__init__(
            f"sampler {str(sampler)!r} needs the package {sampler}, which is not here. "
            f'Install it: pip install "firstgrad[{sampler}]"'
        )


MISSING_KINDS = frozenset({BackendUnavailable.__name__, SamplerUnavailable.__name__})
"""Kinds of failure that say what isn't installed: nothing is wrong with the case."""


class PythonEnvironmentError(FirstgradError):
    """A Python environment, or a checkout to measure in, cannot be made or used."""


class WorkerError(FirstgradError):
    """A worker broke the protocol of its pipe."""


class ComparisonError(FirstgradError):
    """Two sides cannot be compared."""


class UnknownSideError(ComparisonError):
    """A label or commit stands for no records, or for more than one thing.

    Parameters
    ----------
    name : str
        As the user wrote it.
    problem : str
        What is wrong with it, and what is there.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name!r}: {problem}")
        self.name = name


class UnlikeSidesError(ComparisonError):
    """The sides differ in what must be equal before numbers may be compared.

    Parameters
    ----------
    differences : tuple of (str, str, str)
        The field, and its values on BASE and HEAD.
    """

    def __init__(self, differences: tuple[tuple[str, str, str], ...]) -> None:
        listed = "; ".join(f"{field} is {base} on BASE and {head} on HEAD" for field, base, head in differences)
        super().__init__(
            f"the sides are not alike: {listed}. Measure both under the same conditions; or say what is the "
            "compared thing (--across pymc); or compare all the same (--force)"
        )
        self.differences = differences


class StoreError(FirstgradError):
    """A store cannot be opened, read or written."""


class SchemaTooNewError(StoreError):
    """A store was written by a newer firstgrad than this one."""


class RecordExistsError(StoreError):
    """A record of this `record_id` is in the store already."""


class StoreUnreachableError(StoreError):
    """A store's server refuses connections or lost one: it is stopped, starts, or the network is cut."""
