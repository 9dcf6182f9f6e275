"""The connection to a Dask scheduler, with errors that say what to do."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.errors import FirstgradError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Files for TLS: who may be trusted, and who this side is. None of them, or all."""

    ca_file: Path
    certificate: Path
    key: Path

    @classmethod
    def of_options(cls, *, ca_file: Path | None, certificate: Path | None, key: Path | None) -> Certificates | None:
        """Check what was given.

        Returns
        -------
        Certificates, optional
            None where nothing was given: Dask's own configuration then decides.

        Raises
        ------
        SpecError
            Where one is missing, or is no file.
        """
        given = {"--tls-ca-file": ca_file, "--tls-cert": certificate, "--tls-key": key}
        if ca_file is None or certificate is None or key is None:
            for name, path in given.items():
                if path is None and any(given.values()):
                    raise SpecError(name, "--tls-ca-file, --tls-cert and --tls-key belong together: give all three")
            return None
        for name, path in given.items():
            if path is not None and not path.is_file():
                raise SpecError(name, f"{path}: no such file")
        return cls(ca_file=ca_file, certificate=certificate, key=key)


@contextmanager
def connect(address: str, *, certificates: Certificates | None, timeout_seconds: float) -> Iterator[Any]:
    """Connect to a scheduler while the block runs.

    Parameters
    ----------
    address : str
        ``tcp://HOST:PORT``, ``tls://HOST:PORT``, or ``HOST:PORT``.
    certificates : Certificates, optional
        For TLS. None leaves it to Dask's configuration.
    timeout_seconds : float
        How long to try.

    Yields
    ------
    distributed.Client

    Raises
    ------
    FirstgradError
        Where `distributed` isn't installed, or nobody answers at that address.
    """
    try:
        from distributed import Client, Security
    except ImportError as error:
        raise FirstgradError(
            f"sweeps on many machines need {error.name!r}, which is not here. Install it: pip install 'firstgrad[dask]'"
        ) from error
    security = None
    if certificates is not None:
        address = address if "://" in address else f"tls://{address}"
        security = Security(
            tls_ca_file=str(certificates.ca_file),
            tls_client_cert=str(certificates.certificate),
            tls_client_key=str(certificates.key),
            require_encryption=True,
        )
    try:
        client = Client(
            address, security=security, timeout=timeout_seconds, set_as_default=False, name="firstgrad-sweep"
        )
    # What Dask raises: OSError when nobody answers, the others for addresses and certificates that it can't use.
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise FirstgradError(
            f"{address}: no Dask scheduler can be reached there ({_first_line(error)}). Is it running "
            "(dask scheduler), can this machine reach it, and do both sides use TLS, or neither?"
        ) from error
    try:
        yield client
    finally:
        client.close()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
