"""``pm.sample`` as a stage of a measurement: who draws and why, and when each chain has its first draw. Child side."""

from __future__ import annotations

import inspect
import logging
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from firstgrad.case import TELL_AT_ONCE, BackendName, Sampler, Target
from firstgrad.errors import ModelError, SamplerUnavailable, UnavailableError
from firstgrad.observe import probes
from firstgrad.observe.calls import FunctionEvents
from firstgrad.record import DrawCheck, Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import FrameType

    from firstgrad.backends.base import BuiltModel
    from firstgrad.backends.pytensor import PyTensorBackend
    from firstgrad.case import Case

_IN_ONE_LOOP = (Sampler.NUMPYRO, Sampler.BLACKJAX)
"""Their draws come all at once, so none is asked for that isn't needed."""
_TUNE = 10
"""Of the others: draws after the first one cost it nothing, and show whether the chain moves."""
_MORE = (1, 20, 400)  # times as many draws, until their time can be told
GRADIENT_ATTRIBUTE = "firstgrad_gradient"
"""Where ``firstgrad.sample`` writes who differentiated, and who compiled it."""
_LOOK_MILLISECONDS = 1
"""How often nutpie tells how far its chains are; it tells the end of the last one at once."""


class NoNutsError(ModelError):
    """PyMC draws without NUTS."""


def require_sampler(sampler: Sampler) -> None:
    """Import a sampler's package, and what PyMC would import with it; raises SamplerUnavailable where it is missing."""
    if sampler in (Sampler.AUTO, Sampler.PYMC):
        return
    if find_spec(sampler.package) is None:
        raise SamplerUnavailable(sampler.package)
    if sampler in _IN_ONE_LOOP:
        import_module("pymc.sampling.jax")  # first: it says how many devices JAX is to see
    import_module(sampler.package)
    if sampler is Sampler.FIRSTGRAD:
        import_module("firstgrad.fast.draws")


def choose_sampler(model: Any, case: Case) -> tuple[Sampler, str]:
    """Say whom ``pm.sample`` takes for a model where nobody is named, and why; its own rules (PyMC 6)."""
    sampler, reason = _choose(model, case.backend)
    if case.gradient_backend is not None and sampler is not Sampler.NUTPIE:
        raise ModelError(f"--gradient-backend is nutpie's, and pm.sample takes {sampler} here: {reason}")
    return sampler, reason


def _choose(model: Any, backend: BackendName) -> tuple[Sampler, str]:
    import pymc as pm

    if not _takes_nutpie_by_itself():
        return Sampler.PYMC, f"PyMC {pm.__version__} takes its own sampler unless another one is named"
    if find_spec("nutpie") is None:
        return Sampler.PYMC, "nutpie is not installed"
    release = version("nutpie")
    try:
        if not probes.NUTPIE_IS_NEW.find()():
            return Sampler.PYMC, f"nutpie {release} is older than PyMC {pm.__version__} asks for"
    except UnavailableError:  # a release that asks for none
        pass
    if model.discrete_value_vars:
        names = ", ".join(var.name for var in model.discrete_value_vars)
        return Sampler.PYMC, f"nutpie samples continuous variables only, and the model has discrete ones ({names})"
    if backend not in (BackendName.NUMBA, BackendName.JAX):
        return Sampler.PYMC, f"nutpie compiles to numba or jax, not to {backend}"
    return Sampler.NUTPIE, f"nutpie {release} is installed and takes {backend}, and all variables are continuous"


def _takes_nutpie_by_itself() -> bool:
    """Whether this PyMC chooses a sampler where none is named."""
    import pymc as pm

    named = inspect.signature(pm.sample).parameters.get("nuts_sampler")
    return named is not None and named.default is None


def draw_once(
    backend: PyTensorBackend, built: BuiltModel, case: Case, sampler: Sampler, drew: Callable[[int], None]
) -> tuple[DrawCheck, tuple[str, ...]]:
    """Run ``pm.sample``, or ``firstgrad.sample``, for a few draws, as a user calls it.

    `drew` is told each chain's number when its first draw was made, from whatever thread. Returned is what the draws
    are worth, and what this release doesn't tell.

    Raises ModelError where the sampler refuses the model.
    """
    tune = 1 if sampler in _IN_ONE_LOOP else _TUNE
    trace, unavailable = _sample(backend, built, case, sampler, lambda chain, _: drew(chain), tune=tune, draws=1)
    for chain in range(case.chains):
        drew(chain)  # where nobody told earlier
    check = check_draws(trace)
    if sampler is Sampler.FIRSTGRAD:
        check = replace(check, gradient=str(trace["posterior"].attrs[GRADIENT_ATTRIBUTE]))
    return check, tuple(unavailable)


def time_draws(backend: PyTensorBackend, built: BuiltModel, case: Case, sampler: Sampler) -> Pace | None:
    """Run ``pm.sample`` for as many draws as the case asks for, half of them tuning, and time those after the first.

    For more of them where so few were made before anybody looked. None where the sampler tells of all at once.
    """
    if sampler in TELL_AT_ONCE:
        return None
    paces = (_time_draws(backend, built, case, sampler, more * case.timed_draws) for more in _MORE)
    return next((pace for pace in paces if pace is not None), None)


def _time_draws(backend: PyTensorBackend, built: BuiltModel, case: Case, sampler: Sampler, timed: int) -> Pace | None:
    import numpy as np

    looks: dict[int, list[tuple[float, int]]] = {chain: [] for chain in range(case.chains)}

    def drew(chain: int, made: int) -> None:
        looks[chain][1:] = [(time.monotonic(), made)]  # the first look, and the last

    tune = max(timed // 2, 1)
    trace, _ = _sample(backend, built, case, sampler, drew, tune=tune, draws=max(timed - tune, 1))
    paces = [
        (ended - began) / (last - first)
        for (began, first), (ended, last) in (chain for chain in looks.values() if len(chain) > 1)
        if last > first
    ]
    if len(paces) < case.chains:
        return None
    stats = [trace[name] for name in ("warmup_sample_stats", "sample_stats") if _has(trace, name)]
    steps = [np.asarray(part[name]) for part in stats for name in ("n_steps", "tree_size") if name in part.data_vars]
    return Pace(
        draws=timed,
        seconds_a_draw=max(paces),
        steps_a_draw=float(np.mean(np.concatenate(steps, axis=1))) if steps else None,
    )


def _sample(
    backend: PyTensorBackend,
    built: BuiltModel,
    case: Case,
    sampler: Sampler,
    drew: Callable[[int, int], None],
    *,
    tune: int,
    draws: int,
) -> tuple[Any, list[str]]:
    """Run it; `drew` is told of each chain how many draws it has made, from whatever thread."""
    import pymc as pm

    model, unavailable = built.model, list[str]()
    refuse_discrete(model, sampler)
    common = {
        "draws": draws,
        "tune": tune,
        "chains": case.chains,
        "random_seed": 0,
        "progressbar": False,
        "initvals": built.initial,
        "compute_convergence_checks": False,
        "discard_tuned_samples": False,
        "model": model,
    }
    if sampler is Sampler.FIRSTGRAD:
        from firstgrad.fast import draws as own

        nuts = {"progress_rate": _LOOK_MILLISECONDS, "progress_callback": _told_by_nutpie(case.chains, drew)}
        with _silent(), _explained(backend, built, sampler):
            return own.sample(**common, nuts=nuts), unavailable
    options, flags = mode_options(backend)
    with flags, _silent(), ExitStack() as around:
        match sampler:
            case Sampler.PYMC:
                options["callback"] = _tell_pymc(drew)
            case Sampler.NUTPIE:
                gradient = {"gradient_backend": str(case.gradient_backend)} if case.gradient_backend else {}
                if _takes_nutpie_by_itself():
                    options["compile_kwargs"] |= gradient
                    options["nuts"] = {"progress_rate": _LOOK_MILLISECONDS}
                else:
                    options["nuts_sampler_kwargs"] = {"backend": str(backend.facts.name)} | gradient
                around.enter_context(_hear_nutpie(case.chains, drew, unavailable))
            case _:
                around.enter_context(_hear_jax(case.chains, drew, unavailable))
        with _explained(backend, built, sampler):
            trace = pm.sample(**common, nuts_sampler=str(sampler), **options)
    return trace, unavailable


def mode_options(backend: PyTensorBackend) -> tuple[dict[str, Any], AbstractContextManager[Any]]:
    """Return what ``pm.sample`` is told of a backend: keywords, and before PyMC 5.19 flags around it."""
    import pymc as pm

    if "compile_kwargs" in inspect.signature(pm.sample).parameters:
        return {"compile_kwargs": {"mode": backend.mode()}}, nullcontext()
    import pytensor

    return {}, pytensor.config.change_flags(mode=backend.mode())


def check_draws(trace: Any) -> DrawCheck:
    """Look whether draws and their log-densities are finite, and whether chains moved from one to the next."""
    import numpy as np

    parts = [trace[name] for name in ("warmup_posterior", "posterior") if _has(trace, name)]
    stats = [trace[name] for name in ("warmup_sample_stats", "sample_stats") if _has(trace, name)]
    names = sorted({name for part in parts for name in part.data_vars})
    values = {name: [np.asarray(part[name]) for part in parts] for name in names}
    draws = {name: np.concatenate(several, axis=1) for name, several in values.items()}
    numbers = {name: value for name, value in draws.items() if value.dtype.kind in "fc"}
    apart = [(value != value[:, :1]).reshape(len(value), -1).any(axis=1) for value in numbers.values()]
    moved = int(np.any(apart, axis=0).sum()) if apart and next(iter(numbers.values())).shape[1] > 1 else None
    densities = [np.asarray(part[name]) for part in stats for name in ("lp", "logp") if name in part.data_vars]
    not_finite = [name for name, value in numbers.items() if not np.isfinite(value).all()]
    not_finite += ["log-density"] * any(not np.isfinite(value).all() for value in densities)
    diverging = [np.asarray(part["diverging"]).any(axis=1) for part in stats if "diverging" in part.data_vars]
    return DrawCheck(
        not_finite=tuple(not_finite),
        draws=next((value.shape[1] for value in draws.values()), 0),
        moved=moved,
        diverging=int(np.any(diverging, axis=0).sum()) if diverging else 0,
    )


def _has(trace: Any, group: str) -> bool:
    groups = trace.groups() if callable(getattr(trace, "groups", None)) else trace.groups
    return any(str(name).strip("/") == group for name in groups)


def refuse_discrete(model: Any, sampler: Sampler) -> None:
    """Raise ModelError where a model has discrete variables and a sampler has no steps for them."""
    discrete = [var.name for var in model.discrete_value_vars]
    if discrete and sampler is not Sampler.PYMC:
        raise ModelError(
            f"{sampler} samples continuous variables only, and the model has discrete ones ({', '.join(discrete)}). "
            "Take --sampler pymc, or marginalise them out (pymc_extras.marginalize)"
        )


def require_nuts(stats: Any) -> dict[str, Any]:
    """Put together what PyMC tells of a draw; raises ModelError where no variable was drawn by NUTS."""
    known: dict[str, Any] = {name: value for step in stats for name, value in step.items()}
    if "diverging" not in known:
        raise NoNutsError(
            "PyMC gave no variable to NUTS, so there is no gradient to sample with: an operation without one is in the "
            "model. Give it one (`pullback`, `L_op` before PyTensor 3), or write it in PyTensor"
        )
    return known


def _tell_pymc(drew: Callable[[int, int], None]) -> Callable[..., None]:
    seen: set[int] = set()

    def callback(*, trace: Any, draw: Any) -> None:  # noqa: ARG001 - PyMC's signature
        drew(draw.chain, draw.draw_idx + 1)
        if draw.chain not in seen:
            seen.add(draw.chain)
            require_nuts(draw.stats)

    return callback


@contextmanager
def _hear_nutpie(chains: int, drew: Callable[[int, int], None], unavailable: list[str]) -> Iterator[None]:
    """Hear what nutpie tells PyMC's progress bar of its chains."""
    told = _told_by_nutpie(chains, drew)

    def looked(frame: FrameType) -> None:
        told(probes.nutpie_chains(frame))

    with _hearing(probes.NUTPIE_PROGRESS, unavailable, started=looked):
        yield


def _told_by_nutpie(chains: int, drew: Callable[[int, int], None]) -> Callable[[Sequence[Any]], None]:
    known = [0] * chains

    def told(progresses: Sequence[Any]) -> None:
        for chain, progress in enumerate(progresses):
            if progress.finished_draws > known[chain]:
                known[chain] = progress.finished_draws
                drew(chain, known[chain])

    return told


@contextmanager
def _hear_jax(chains: int, drew: Callable[[int, int], None], unavailable: list[str]) -> Iterator[None]:
    """Hear the end of the jitted loop's draws: brought to the model's variables, which is when PyMC has them."""

    def computed(_frame: FrameType, samples: Any) -> None:
        import jax

        jax.block_until_ready(samples)
        for chain in range(chains):
            drew(chain, 1)

    with _hearing(probes.JAX_DRAWS, unavailable, returned=computed):
        yield


@contextmanager
def _hearing(probe: probes.Probe, unavailable: list[str], **listeners: Any) -> Iterator[None]:
    events = FunctionEvents()
    try:
        events.watch(probe.find(), **listeners)
    except UnavailableError as error:
        unavailable.append(str(error))
    with events:
        yield
    unavailable += events.problems


@contextmanager
def _explained(backend: PyTensorBackend, built: BuiltModel, sampler: Sampler) -> Iterator[None]:
    """Say why a sampler refused, in its own words, and what to do."""
    try:
        yield
    except NoNutsError:
        backend.grad_graph(built, built.model.logp(), Target.LOGP_DLOGP)  # it names the Op that has none
        raise
    except RuntimeError as error:
        if sampler is not Sampler.NUTPIE:
            raise
        raise ModelError(f"nutpie cannot start: {nutpie_reason(error)}") from error
    except TypeError as error:
        if sampler not in _IN_ONE_LOOP or "unexpected keyword" not in str(error):
            raise
        releases = f"PyMC {version('pymc')} and {sampler} {version(sampler)}"
        raise ModelError(
            f"{releases} don't fit each other: {error}. Take another release of {sampler}, or another --sampler"
        ) from error
    except ValueError as error:
        if "to be differentiable" not in str(error):
            raise
        backend.grad_graph(built, built.model.logp(), Target.LOGP_DLOGP)  # it names the Op that has none
        raise ModelError(
            f"{sampler} needs the gradient of every variable, and PyMC would give some to another step method: an "
            "operation without a gradient is in the model. Give it one (`pullback`, `L_op` before PyTensor 3), or take "
            "--sampler pymc"
        ) from error


def nutpie_reason(error: RuntimeError) -> str:
    """Take the words out of an error that has a stack of nameless addresses behind it."""
    words = str(error).partition("Stack backtrace")[0]
    return " ".join(words.split()).replace(" Caused by:", ", caused by:")


@contextmanager
def _silent() -> Iterator[None]:
    """Let PyMC not tell what everybody knows of a run of one draw."""
    log = logging.getLogger("pymc")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
