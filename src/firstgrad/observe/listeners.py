"""What compilers tell by themselves: Numba's and JAX's events, PyTensor's count of C modules, JAX's device."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from firstgrad.observe import probes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    type Undo = Callable[[], None]


def listen_numba(
    began: Callable[[Mapping[str, Any]], object], ended: Callable[[Mapping[str, Any]], object] = lambda _: None
) -> Undo:
    """Hear of each jitted function that Numba compiles; one that comes from a cache sends no event.

    Both get the event's data, one object (`probes.jitted_function` reads it); compiles nest. What is returned ends it.
    Raises `UnavailableError` where this Numba does not tell.
    """
    listener_class = probes.NUMBA_LISTENER.find()

    class Listener(listener_class):  # type: ignore[misc, valid-type]  # Numba has no types
        def on_start(self, event: Any) -> None:
            began(event.data)

        def on_end(self, event: Any) -> None:
            ended(event.data)  # its `is_failed` is always true in Numba 0.68

    listener = Listener()
    register, unregister = probes.NUMBA_REGISTER.find(), probes.NUMBA_UNREGISTER.find()
    register(probes.NUMBA_COMPILE, listener)
    return partial(unregister, probes.NUMBA_COMPILE, listener)


def listen_jax(
    timed: Callable[[str, float, str], object], told: Callable[[str], object], *, has_end: bool = True
) -> Undo:
    """Hear of what JAX traces, lowers, compiles, and takes from its cache. What is returned ends it.

    `timed` gets a step (``trace``, ``lower``, ``compile``) when it is over, its seconds, and the function's name;
    `told` other events, such as `probes.JAX_CACHE_HIT`. With `has_end`, `UnavailableError` is raised where this JAX
    never lets a listener go.
    """

    def on_duration(event: str, seconds: float, **details: Any) -> None:
        step = probes.JAX_STEPS.get(event)
        if step is not None:
            timed(step, seconds, str(details.get("fun_name", "")))

    def on_event(event: str, **_: Any) -> None:
        told(event)

    pairs = (
        (probes.JAX_ON_DURATION.find(), probes.JAX_END_DURATION, on_duration),
        (probes.JAX_ON_EVENT.find(), probes.JAX_END_EVENT, on_event),
    )
    ends = [partial(end.find(), listener) for _, end, listener in pairs] if has_end else []
    for register, _, listener in pairs:
        register(listener)

    def undo() -> None:
        while ends:
            ends.pop()()

    return undo


def jax_device() -> str:
    """Name the device that JAX computes on (``cpu``, ``cuda, NVIDIA H100``); '' where none is started, nor will be."""
    client = probes.JAX_CLIENT.peek()
    return "" if client is None else describe_device(client)


def describe_device(client: Any) -> str:
    """Name the first device of a client of JAX's (``jax.local_devices()[0].client``): its platform and kind."""
    if client.platform == "cpu":
        return "cpu"
    # JAX calls the platforms of all makers "gpu"; their runtimes tell their names in the version.
    version = str(getattr(client, "platform_version", "")).lower()
    platform = next((name for name in ("cuda", "rocm") if name in version), client.platform)
    return f"{platform}, {client.local_devices()[0].device_kind}"
