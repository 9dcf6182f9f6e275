"""Where a store is: an address, parsed once, that is only ever printed without its secrets."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote_plus

from firstgrad.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import URL

DEFAULT_PATH = ".firstgrad/results.sqlite"
"""The store of a project, seen from the project's root."""

FORMS = "sqlite:///PATH or postgresql://USER@HOST/DATABASE"
_HIDDEN = "***"
_SHOWN = frozenset(
    (
        *("host", "hostaddr", "port", "dbname", "user", "service", "application_name", "client_encoding"),
        *("sslmode", "sslrootcert", "sslcert", "channel_binding", "gssencmode", "target_session_attrs"),
        *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
        *("tcp_user_timeout", "timeout", "mode", "cache", "uri"),
    )
)
"""Options of a URL whose values are no secrets. All others are hidden: ``password``, ``sslpassword``, ``passfile``, and
what a driver may make of a word that nobody here knows."""
_SCHEME = re.compile(r"[A-Za-z][\w+.-]*")
_TYPO = re.compile(r"(?:sqlite|postgres(?:ql)?)(?:\+\w+)?:|[^/]*:[^/]*@", re.IGNORECASE)
"""How what was meant for a URL begins: a slash is missing, or all that is before the user."""
_LONG = 6


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A SQLite file, or a database's URL. What prints, formats or represents it shows no secret.

    Make one by `StoreAddress.of`.
    """

    shown: str  # an absolute path, or the URL with its secrets hidden
    path: Path | None  # of the SQLite file; none where it is a server's or in memory
    url: URL = field(repr=False, compare=False)  # for connecting, and for nothing else
    option: str
    """Option of a command that names this store, after a space; '' for the project's own. A password is to fill in."""
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)  # that may be in what a driver says

    def __str__(self) -> str:
        return self.shown

    @classmethod
    def of(cls, given: str | Path | Self | None) -> Self:
        """Parse a path, ``sqlite:///PATH`` or ``postgresql://USER@HOST/DATABASE``; none is the project's own store.

        Raises
        ------
        StoreError
            Where it is nothing of these; without a secret that may be in it.
        """
        from sqlalchemy import URL

        if isinstance(given, cls):
            return given
        text = str(given or DEFAULT_PATH)
        if "://" in text and not isinstance(given, Path):
            return cls._of_url(text)
        if isinstance(given, str) and _TYPO.match(text):
            raise StoreError(f"{_mend(text)}: with a slash or more missing, this is no database URL. Write {FORMS}")
        try:
            path = Path(text).expanduser().absolute()
            option = "" if path == Path(DEFAULT_PATH).absolute() else f" --store {shlex.quote(str(path))}"
        except (OSError, RuntimeError) as error:  # the present folder was removed; there is no such user
            raise StoreError(f"{text}: cannot be found from here ({error}). Give a whole path") from error
        # Made from parts: a path may hold characters that mean something in a URL
        return cls(shown=str(path), path=path, url=URL.create("sqlite", database=str(path)), option=option)

    @classmethod
    def _of_url(cls, text: str) -> Self:
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError

        scheme = text.partition("://")[0]
        unknown = StoreError(f"{scheme if _SCHEME.fullmatch(scheme) else ''}://...: not a database URL. Write {FORMS}")
        try:
            url = make_url(text)
        except (ArgumentError, ValueError) as error:
            raise unknown from error
        name, is_file = url.get_backend_name(), url.get_backend_name() == "sqlite"
        if is_file and (url.host or url.username):
            raise unknown
        if not is_file and "@" in f"{url.host}{url.database}":
            raise StoreError(
                f"{scheme}://...: where do the user's name and password end? Write %40 for an @ in them, %2F for a "
                "slash, %3A for a colon"
            ) from unknown
        hidden = {option: _HIDDEN for option in url.query if option not in _SHOWN}
        shown = url.update_query_dict(hidden).render_as_string().replace(quote_plus(_HIDDEN), _HIDDEN)
        if name not in {"sqlite", "postgresql"}:
            raise StoreError(f"{shown}: {name!r} is no database that firstgrad keeps records in. Write {FORMS}")
        try:
            is_async = url.get_dialect().is_async
        except NoSuchModuleError:
            is_async = None
        if is_async is not False:
            raise StoreError(
                f"{shown}: {url.get_driver_name()!r} is no driver that firstgrad can use. Leave it out, as in {FORMS}"
            )
        if url.drivername == "postgresql":
            # SQLAlchemy 2.0 and 2.1 differ in the driver they take when none is named
            url = url.set(drivername="postgresql+psycopg")
        is_plain_file = is_file and url.database and url.database != ":memory:" and "uri" not in url.query
        path = Path(str(url.database)).absolute() if is_plain_file else None
        values = [url.password, *(value for option in hidden for value in _listed(url.query[option]))]
        secrets = {form for value in values if value for form in (str(value), quote_plus(str(value)))}
        return cls(
            shown=str(url.database) if is_file and url.database else shown,
            path=path,
            url=url,
            option=f" --store {shlex.quote(shown)}",
            secrets=tuple(sorted(secrets, key=len, reverse=True)),
        )

    def scrub(self, text: str) -> str:
        """Hide this address's secrets in a text of somebody else's, such as a driver's error."""
        for secret in self.secrets:
            # A short one may be a part of any word
            pattern = re.escape(secret) if len(secret) >= _LONG else rf"(?<!\w){re.escape(secret)}(?!\w)"
            text = re.sub(pattern, _HIDDEN, text)
        return text


def refuse_address(path: str | Path) -> None:
    """Refuse a database's URL where a file is meant: it would be made as a folder, with its password in the name."""
    if "://" in str(path) or _TYPO.match(str(path)):
        raise StoreError(f"{_mend(str(path))}: is a database's address, and here a file is meant. Give it by --store")


def _mend(text: str) -> str:
    """Write what was meant for a URL as it should be, without secrets; dots where it can't be known."""
    scheme, _, rest = text.partition(":")
    if scheme.lower().partition("+")[0] not in {"sqlite", "postgres", "postgresql"}:
        scheme, rest = "postgresql", text
    try:
        return str(StoreAddress.of(f"{scheme}://{rest.lstrip('/')}"))
    except StoreError:
        return f"{scheme}://..."


def _listed(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
