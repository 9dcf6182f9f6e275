"""Defaults of options from a project's file: ``[tool.firstgrad.VERB]`` of pyproject.toml, ``[VERB]`` of firstgrad.toml.

They are read as if they had been typed; what is typed goes before them.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.cli.console import say
from firstgrad.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FILES = {"firstgrad.toml": (), "pyproject.toml": ("tool", "firstgrad")}
"""Each file that is looked for in a folder, and where in it the table is."""
_EVERYWHERE = ("store", "quiet", "verbose")
"""Options that may stand above the verbs' tables: they are of every verb that has them."""


def read_defaults(verbs: Any, context: Any) -> tuple[str, dict[str, Any]]:
    """Read the defaults of every verb's options, as Click's ``default_map`` has them, and which file they are from.

    `verbs` is the application's group. The file is the nearest one that has any, from this folder up to the
    repository's root or the home folder. Raises SpecError naming the file, the table and the key that doesn't fit.
    """
    for file, table in _find_tables():
        from firstgrad.suite import KEYS, choose, where

        place = ".".join(_FILES[file.name])
        options = {key: value for key, value in table.items() if key not in KEYS}
        if not options:
            continue
        file = _seen(file)  # noqa: PLW2901 - as people are shown it
        for key in options:
            if key not in (*verbs.commands, *_EVERYWHERE):
                known = (*verbs.commands, *_EVERYWHERE, *KEYS)
                raise SpecError(where(file, place, key), f"there is no verb and no key {choose(key, known)}")
        common = {key: options[key] for key in _EVERYWHERE if key in options}
        return str(file), _read_verbs(verbs, context, options, common, file, place)
    return "", {}


def _find_tables() -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Find the tables of firstgrad in the files of this folder and those above it, the nearest first."""
    with suppress(OSError):
        here = Path.cwd()
        for folder in _list_folders(here):
            for name, keys in _FILES.items():
                content = _read(folder / name)
                if b"firstgrad" not in content and keys:
                    continue  # most projects' files: nothing is imported for them
                import tomllib

                try:
                    table: Any = tomllib.loads(content.decode())
                except ValueError as error:
                    raise SpecError(str(folder / name), f"is no TOML: {error}") from error
                for key in keys:
                    table = table.get(key, {}) if isinstance(table, dict) else {}
                if isinstance(table, dict) and table and _is_trusted(folder / name):
                    yield folder / name, table


def _list_folders(here: Path) -> list[Path]:
    """List the folders up to the repository's root or the home folder; where neither is above, this one alone."""
    folders = []
    for folder in (here, *here.parents):
        folders.append(folder)
        if (folder / ".git").exists() or folder == Path("~").expanduser():
            return folders
    return [here]


def _read(file: Path) -> bytes:
    with suppress(OSError):
        return file.read_bytes()
    return b""


def _is_trusted(file: Path) -> bool:
    """Whether nobody else can have written a file; one that somebody can is named, and not obeyed."""
    state = file.stat()
    reason = ""
    if state.st_uid not in _owners():
        reason = "it belongs to another user"
    elif state.st_mode & stat.S_IWOTH:
        reason = f"anybody may write to it (chmod o-w {file})"
    if reason:
        say(f"firstgrad: {file} gives no defaults of options here: {reason}")
    return not reason


def _owners() -> set[int]:
    """Name whose files are obeyed: one's own, and the system's."""
    return {os.geteuid(), 0}


def _seen(file: Path) -> Path:
    """Write a file as seen from here."""
    return Path(os.path.relpath(file))


def _read_verbs(
    group: Any, context: Any, tables: Mapping[str, Any], common: Mapping[str, Any], file: Path, place: str
) -> dict[str, Any]:
    """Read the tables of a group's verbs; those of a group within it stand below its own."""
    from firstgrad.suite import require_table

    read: dict[str, Any] = {}
    for name, verb in group.commands.items():
        table = tables.get(name, {})
        require_table(table, file, place, name)
        inner = f"{place}.{name}".lstrip(".")
        if hasattr(verb, "commands"):
            _refuse_unknown(table, verb.commands, file, inner, "verb")
            read[name] = _read_verbs(verb, context, table, common, file, inner)
            continue
        options = {
            spelling.lstrip("-").replace("-", "_"): one
            for one in verb.params
            if one.param_type_name == "option"
            for spelling in one.opts
            if spelling.startswith("--")
        }
        _refuse_unknown(table, options, file, inner, "option")
        read[name] = {}
        for above, given in ((place, common), (inner, table)):
            for key, value in given.items():
                if option := options.get(key.replace("-", "_")):
                    read[name][option.name] = _read_option(option, value, context, file, above, key)
    return read


def _refuse_unknown(table: Mapping[str, Any], known: Mapping[str, Any], file: Path, place: str, what: str) -> None:
    from firstgrad.suite import choose, where

    for key in table:
        if key.replace("-", "_") not in {one.replace("-", "_") for one in known}:
            raise SpecError(where(file, place, key), f"there is no {what} {choose(key, known)}")


def _read_option(option: Any, value: Any, context: Any, file: Path, place: str, key: str) -> Any:
    """Read an option's value as if it had been typed; raises SpecError naming file, table and key."""
    from firstgrad.cli.options import SWITCHES
    from firstgrad.suite import where

    field = where(file, place, key)
    if option.is_flag:
        if not isinstance(value, bool):
            raise SpecError(field, f"expected true or false, got {value!r}")
        return value
    if isinstance(value, bool) and option.name in SWITCHES:
        value = "on" if value else "off"
    several = value if isinstance(value, list) else [value]
    if not several or any(isinstance(one, bool) or not isinstance(one, str | int | float) for one in several):
        raise SpecError(field, f"expected a text or a number, or a list of them, got {value!r}")
    texts = [one if isinstance(one, str) else repr(one) for one in several]
    if option.name == "store":
        texts = [_from_folder(one, file.parent) for one in texts]
    text = texts if option.multiple else ",".join(texts)
    try:
        option.process_value(context, text)
    except Exception as error:
        # What Typer raises for wrong use has this attribute; it has brought its own Click since 0.20.
        problem = getattr(error, "message", None)
        if problem is None:
            raise
        raise SpecError(field, f"{str(problem).rstrip('.')}, got {value!r}") from None
    return text


def _from_folder(store: str, folder: Path) -> str:
    """Write a store's place as seen from here, where the file names it as seen from its own folder."""
    return store if store == "none" or "://" in store else str(folder / store)
