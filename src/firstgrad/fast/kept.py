"""Compiled functions that outlive their process: XLA's own bytes in a folder that is the user's alone.

One file a function, named by a digest of all that it hangs on (`firstgrad.fast.digest`). Nothing is unpickled: a file
is a checksum, a line of JSON, arrays, and the executable as XLA wrote it. That is machine code, so the folder must
belong to the user and be closed to others; else it isn't used. What is loaded must give, where it was made, what it
gave then.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import UnavailableError
from firstgrad.observe import probes
from firstgrad.observe.disk_cache import user_cache_folder
from firstgrad.units import format_bytes, parse_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from firstgrad.fast.digest import Digest

    type Arrays = Sequence[np.ndarray[Any, Any]]

DEFAULT_SIZE = "512MiB"
LOADED, MADE_AND_KEPT = "loaded", "made and kept"
_OFF = frozenset({"0", "no", "off", "false"})
_FIRST_LINE = b"firstgrad function 1\n"
_ENDING, _HALF = ".xla", ".half"
_ABANDONED_SECONDS = 3600.0
_PRECISION = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A function as it is made where none is kept."""

    compiled: Any  # a ``jax.stages.Compiled`` from flat arrays to a tuple; none: the facts are all there is
    arguments: Arrays = ()  # at which it is checked
    facts: Mapping[str, Any] = field(default_factory=dict)  # what else the next process needs, as JSON has it
    reason: str = ""  # why it mustn't be kept, if so


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A compiled function, loaded or made now."""

    call: Callable[..., Sequence[Any]]  # arrays to arrays of JAX; the facts may say that there is none
    arguments: Arrays  # at which it was checked
    facts: Mapping[str, Any]
    kept: str  # ``loaded``, ``made and kept``, or ``not kept: `` and why; and what was dropped


class _NotKeptError(Exception):
    """Why a function isn't kept, or isn't taken as it was kept."""


class Entry:
    """A model's function: one file.

    Parameters
    ----------
    digest : Digest
        Of the model, by `firstgrad.fast.digest.of_model`.
    part : str
        Which of its functions, with the options that it is compiled with: small letters, digits and hyphens.
    """

    def __init__(self, digest: Digest, part: str) -> None:
        self._name, self._reason, self._dropped = f"{digest.text}-{part}{_ENDING}", digest.reason, ""

    def load(self) -> Function | None:
        """Load the function and try it; none where it isn't there, can't be had, or gives something else than before.

        Raises SpecError where ``FIRSTGRAD_CACHE_SIZE`` is no size.
        """
        limit = _limit()
        if self._reason:
            return None
        try:
            with _open_folder() as folder:
                content = _read(folder, self._name, limit)
        except _NotKeptError as error:
            self._reason = str(error)
            return None
        try:
            return None if content is None else _unpack(self._name, content)
        except (_NotKeptError, UnavailableError) as error:
            self._dropped = f"; what had been kept was dropped: {error}"
            return None

    def keep(self, made: Made) -> Function:
        """Keep a function that was made; its `kept` says why not where that can't be."""
        reason = self._reason or made.reason
        try:
            if not reason:
                content = _pack(self._name, made)
                if made.compiled is not None and (self._dropped or _has_own_cache()):
                    _require_whole(self._name, content)
                with _open_folder() as folder:
                    _write(folder, self._name, content, _limit())
        except (_NotKeptError, UnavailableError) as error:
            reason = str(error)
        return Function(
            call=made.compiled or _no_function,
            arguments=made.arguments,
            facts=json.loads(json.dumps(dict(made.facts))),  # as the next process will have them
            kept=f"{f'not kept: {reason}' if reason else MADE_AND_KEPT}{self._dropped}",
        )


def refusal() -> str:
    """Say why nothing can be kept here, whatever it is; '' where it can."""
    try:
        with _open_folder():
            return ""
    except _NotKeptError as error:
        return str(error)


def _no_function(*_: Any) -> Sequence[Any]:
    raise UnavailableError("there is no function of JAX of this model")


# --- the folder ---------------------------------------------------------------------------------------------------


def _limit() -> int:
    return parse_bytes(os.environ.get("FIRSTGRAD_CACHE_SIZE") or DEFAULT_SIZE)


@contextmanager
def _open_folder() -> Iterator[int]:
    """Open the folder, made where it isn't there; raise _NotKeptError where it isn't the user's alone."""
    if os.environ.get("FIRSTGRAD_CACHE", "").lower() in _OFF:
        raise _NotKeptError("FIRSTGRAD_CACHE switches it off")
    if not hasattr(os, "geteuid") or os.scandir not in os.supports_fd:
        raise _NotKeptError("this system doesn't say whose a folder is")
    given = os.environ.get("FIRSTGRAD_CACHE_DIR")
    try:
        path = Path(given) if given else user_cache_folder() / "functions"
        if not path.is_absolute():
            raise _NotKeptError(f"FIRSTGRAD_CACHE_DIR is no whole path: {given}")
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except RuntimeError as error:
        raise _NotKeptError(f"{error}. Set FIRSTGRAD_CACHE_DIR") from None
    except OSError as error:
        raise _NotKeptError(f"{path}: {error.strerror}. Name a folder of your own by FIRSTGRAD_CACHE_DIR") from None
    try:
        # Of the open folder, so that nobody can put another one in its place meanwhile.
        status = os.fstat(folder)
        if status.st_uid != os.geteuid():
            raise _NotKeptError(f"{path} belongs to another user. Name a folder of your own by FIRSTGRAD_CACHE_DIR")
        if status.st_mode & 0o077:
            raise _NotKeptError(f"{path} is open to others: chmod 700 {path}")
        yield folder
    finally:
        os.close(folder)


def _read(folder: int, name: str, limit: int) -> bytes | None:
    """Read a file, and note that it was used; none where it isn't there, or isn't a file of the user's own."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    try:
        status = os.fstat(file)
        is_own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
        if not is_own or status.st_size > limit:
            return None
        with open(file, "rb", closefd=False) as opened:
            content = opened.read()
        # The least recently used ones go first; the time of writing stays, by which a proof knows that nobody did.
        os.utime(file, ns=(time.time_ns(), status.st_mtime_ns))
    except OSError:
        return None
    else:
        return content
    finally:
        os.close(file)


def _write(folder: int, name: str, content: bytes, limit: int) -> None:
    """Put a file there, whole or not at all; raise _NotKeptError where that can't be."""
    if len(content) > limit:
        raise _NotKeptError(f"it takes {format_bytes(len(content))}, more than FIRSTGRAD_CACHE_SIZE allows")
    half = f".{secrets.token_hex(8)}{_HALF}"
    try:
        try:
            file = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
            with os.fdopen(file, "wb") as opened:
                opened.write(content)
            os.rename(half, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            with suppress(OSError):
                os.unlink(half, dir_fd=folder)
            raise
        _remove_oldest(folder, name, limit)
    except OSError as error:
        raise _NotKeptError(f"{error.strerror or error}") from None


def _remove_oldest(folder: int, newest: str, limit: int) -> None:
    """Remove the files that were used longest ago until all fit, and what killed processes left half written."""
    files = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((_ENDING, _HALF)):
                with suppress(OSError):  # another process removed it
                    status = entry.stat(follow_symlinks=False)
                    files.append((max(status.st_atime, status.st_mtime), status.st_size, entry.name))
    now = max((changed for changed, _, name in files if name == newest), default=0.0)
    left = sum(size for _, size, _ in files)
    for changed, size, name in sorted(files):
        is_half = name.endswith(_HALF)
        if name == newest or (now - changed < _ABANDONED_SECONDS if is_half else left <= limit):
            continue
        with suppress(OSError):
            os.unlink(name, dir_fd=folder)
        left -= size


# --- a file -------------------------------------------------------------------------------------------------------


def _pack(name: str, made: Made) -> bytes:
    """Write a function as a file has it; raise UnavailableError or _NotKeptError where its executable can't be had."""
    arguments = [np.asarray(one) for one in made.arguments]
    executable, outputs, calls = b"", [], list[str]()
    if made.compiled is not None:
        outputs = [np.asarray(one) for one in made.compiled(*arguments)]
        executable, alone = _serialize(made.compiled)
        calls = _calls(made.compiled)
        _require_same(alone, arguments, outputs)
    header = {
        "name": name,
        "facts": dict(made.facts),
        "calls": calls,
        **{
            kind: [(one.dtype.str, one.shape) for one in arrays]
            for kind, arrays in (("arguments", arguments), ("outputs", outputs))
        },
    }
    blobs = [one.tobytes() for one in (*arguments, *outputs)]
    body = b"".join((json.dumps(header).encode(), b"\n", *blobs, executable))
    return _FIRST_LINE + sha256(body).digest() + body


def _unpack(name: str, content: bytes) -> Function:
    """Load what `_pack` wrote; raise _NotKeptError where it is damaged, or gives something else than it gave then."""
    begin = len(_FIRST_LINE) + sha256().digest_size
    body = memoryview(content)[begin:]
    if content[:begin] != _FIRST_LINE + sha256(body).digest():
        raise _NotKeptError("it is damaged")
    end = content.index(b"\n", begin)
    header = json.loads(content[begin:end])
    if header["name"] != name:
        raise _NotKeptError("it is another one's")
    place, arrays = end + 1, dict[str, list[Any]](arguments=[], outputs=[])
    for kind in arrays:
        for dtype, shape in header[kind]:
            count = prod(shape)
            arrays[kind].append(np.frombuffer(content, dtype, count, place).reshape(shape).copy())
            place += count * np.dtype(dtype).itemsize
    call = _no_function
    if arrays["outputs"]:
        if header["calls"]:
            probes.JAX_LAPACK.find()()
        call = _load(content[place:], arrays["arguments"])
        _require_same(call, arrays["arguments"], arrays["outputs"])
    return Function(call=call, arguments=arrays["arguments"], facts=header["facts"], kept=LOADED)


def _require_same(call: Callable[..., Any], arguments: Arrays, expected: Arrays) -> None:
    """Call an executable; raise _NotKeptError where it gives something else than is expected by more than rounding."""
    try:
        outputs = [np.asarray(one) for one in call(*arguments)]
    except Exception as error:  # of another library's code, whatever it raises
        raise _NotKeptError(f"it can't be called ({error})") from error
    if [(one.dtype, one.shape) for one in outputs] != [(one.dtype, one.shape) for one in expected]:
        raise _NotKeptError("it gives other arrays than when it was made")
    for got, wanted in zip(outputs, expected, strict=True):
        allowed = _PRECISION * max(float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)), 1.0)
        if not np.allclose(got, wanted, rtol=0.0, atol=allowed, equal_nan=True):
            raise _NotKeptError("it gives other numbers than when it was made")


# --- an executable -------------------------------------------------------------------------------------------------


def _has_own_cache() -> bool:
    """Whether JAX has a disk cache of its own: what XLA loaded from there it writes without some kernels."""
    import jax

    return bool(jax.config.jax_compilation_cache_dir)


def _require_whole(name: str, content: bytes) -> None:
    try:
        _unpack(name, content)
    except (_NotKeptError, UnavailableError) as error:
        why = "; JAX's own cache had it, and XLA writes such ones without some kernels" * _has_own_cache()
        raise _NotKeptError(f"{error}{why}") from error


def _calls(compiled: Any) -> list[str]:
    """List the functions outside of XLA that a compiled function calls; raise _NotKeptError for others than LAPACK's.

    Another process has them elsewhere, or not at all: Python that is called back, for one.
    """
    targets = sorted(set(re.findall(r'custom_call_target="([^"]+)"', compiled.as_text())))
    outside = [target for target in targets if not target.startswith("__")]  # these are XLA's own
    if others := [target for target in outside if not target.startswith("lapack_")]:
        raise _NotKeptError(f"it calls {', '.join(others)}, which another process has elsewhere")
    return outside


def _serialize(compiled: Any) -> tuple[bytes, Callable[..., Any]]:
    """Return XLA's own bytes of a compiled function of JAX, and its executable as a function.

    Raises UnavailableError where that can't be had.
    """
    try:
        executable = compiled.runtime_executable()
        content = executable.client.serialize_executable(executable)
    except Exception as error:
        raise UnavailableError(f"this JAX can't write it ({error})") from error
    return content, lambda *arguments: _execute(executable, arguments)


def _load(content: bytes, like: Sequence[Any]) -> Callable[..., Any]:
    """Make a function of what `_serialize` wrote, from arrays like these to arrays of JAX."""
    import jax

    device = jax.devices()[0]
    try:
        try:
            executable = device.client.deserialize_executable(content, probes.JAX_DEVICES.find()((device,)))
        except (TypeError, UnavailableError):  # before JAX 0.7
            executable = device.client.deserialize_executable(content, None)
    except Exception as error:
        raise UnavailableError(f"this JAX can't load it ({error})") from error
    kinds = [(one.shape, one.dtype) for one in like]

    def call(*arguments: Any) -> Any:
        if [(np.shape(one), np.result_type(one)) for one in arguments] != kinds:  # XLA looks at their bytes alone
            raise TypeError(f"the function that was kept takes {kinds}")
        return _execute(executable, arguments)

    with suppress(UnavailableError, TypeError):
        return _jitted(executable, call)
    return call


def _execute(executable: Any, arguments: Sequence[Any]) -> Any:
    import jax

    return tuple(executable.execute([jax.device_put(one) for one in arguments]))


def _jitted(executable: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """Have JAX's own C++ call an executable, in a fourth of the time that it takes from Python."""
    import jax

    def first_call(*arguments: Any) -> Any:
        outputs, place = call(*arguments), jax.sharding.SingleDeviceSharding(jax.devices()[0])
        try:
            answer = probes.JAX_JIT_ANSWER.find()(
                executable,
                jax.tree_util.tree_structure(outputs),
                [place] * len(arguments),
                [place] * len(outputs),
                [one.aval for one in outputs],
                [one.committed for one in outputs],
                [True] * len(arguments),
                [None] * len(arguments),
                [],
            )
        except (UnavailableError, TypeError):  # of another JAX: each call is as the first one
            answer = None
        return outputs, answer, False

    trees, argument = probes.JAX_JIT_TREES.find(), probes.JAX_JIT_ARGUMENT.find()
    make, keys = probes.JAX_JIT.find(), probes.JAX_JIT_KEYS.find()
    return make("kept", None, first_call, [], [], keys(), trees, argument)  # type: ignore[no-any-return]  # JAX's own
