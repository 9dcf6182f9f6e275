"""``firstgrad.nutpie_model`` and ``firstgrad.sample``: nutpie draws with the soonest gradient."""

from __future__ import annotations

import copy
import itertools
import logging
import multiprocessing
import time
import warnings
from contextlib import nullcontext
from hashlib import sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.case import Sampler
from firstgrad.errors import ModelError, SamplerUnavailable, SpecError, UnavailableError
from firstgrad.fast.digest import Digest, of_model
from firstgrad.fast.freezing import close_graph
from firstgrad.fast.function import GradientNote, Layout, Way
from firstgrad.fast.gradient import NotByJaxError, begin_gradient, tell_notes
from firstgrad.fast.kept import Entry, Made
from firstgrad.fast.starts import StartPoints
from firstgrad.fast.ways import rewritten, undisturbed
from firstgrad.fast.xla import Effort, compile_lowered, require_jax, write_function
from firstgrad.grouping import grouped
from firstgrad.linting.refusals import explain_refusal, first_line
from firstgrad.linting.values import NodeEvaluator
from firstgrad.observe import probes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from firstgrad.fast.function import FastGradient

    type Draw = dict[str, NDArray[np.float64]]

_OTHERS = {
    "step": "steps of your own are for PyMC's own sampler: pm.sample(step=...)",
    "init": "nutpie has its own start: leave it out, or use pm.sample(nuts_sampler='pymc', init=...)",
    "trace": "leave it out, or use pm.sample(nuts_sampler='pymc', trace=...)",
    "callback": "nutpie calls back with all chains at once: nuts={'progress_callback': ...}",
    "nuts_sampler": "it is nutpie: leave it out, or use pm.sample(nuts_sampler=...)",
    "nuts_sampler_kwargs": "write nuts={...}",
    "backend": "firstgrad compiles by itself: leave it out, or use pm.sample(backend=...)",
    "compile_kwargs": "firstgrad compiles by itself: leave it out, or use pm.sample(compile_kwargs=...)",
    "return_inferencedata": "draws always come so: leave it out",
    "max_treedepth": "write nuts={'max_treedepth': ...}",
    "blas_cores": "leave it out, or sample within threadpoolctl.threadpool_limits(...)",
}
"""What else ``pm.sample`` takes, and what to do instead."""
_NOT_NEEDED = frozenset({"jitter_max_retries", "n_init", "keep_warning_stat", "mp_ctx"})
"""What ``pm.sample`` takes and nutpie never looks at."""
_UNCONSTRAINED = "unconstrained_parameter"  # nutpie's dimension of the flat vector
_LOG = logging.getLogger("pymc.sampling.mcmc")  # who silences pm.sample means this, too


def nutpie_model(
    model: Any,
    *,
    var_names: Iterable[str] | None = None,
    initvals: Mapping[Any, Any] | None = None,
    effort: Effort | str = Effort.NORMAL,
) -> Any:
    """Compile a model for nutpie, with the least time to the first draw that firstgrad knows of.

    It gives what ``nutpie.compile_pymc_model`` gives, through nutpie's interface for functions of your own: the
    gradient is that of `firstgrad.fast_gradient`, start points need no compiler, and all other variables come from one
    JAX function.

    Parameters
    ----------
    model : pymc.Model
        With continuous variables only.
    var_names : iterable of str, optional
        Which transformed variables and deterministics are computed; all where left out.
    initvals : mapping, optional
        Start values by variable or name, as ``pm.sample`` takes them; instead of the model's own.
    effort : Effort or str
        How hard XLA tries.

    Returns
    -------
    nutpie.compiled_pyfunc.PyFuncModel
        For ``nutpie.sample``. Names, dims, coords, and (for most models) a seed's start points are those of nutpie's
        own compile.

    Raises
    ------
    SamplerUnavailable
        Where nutpie isn't installed.
    ModelError
        Where the model has discrete variables; and what `firstgrad.fast_gradient` raises.
    """
    return _compile(model, var_names, initvals, Effort(effort))[0]


def _compile(
    model: Any, var_names: Iterable[str] | None, initvals: Mapping[Any, Any] | None, effort: Effort
) -> tuple[Any, str]:
    """Compile for nutpie; say whose gradient it is."""
    if find_spec("nutpie") is None:
        raise SamplerUnavailable(Sampler.NUTPIE)
    if discrete := [variable.name for variable in model.discrete_value_vars]:
        raise ModelError(
            f"nutpie samples continuous variables only, and the model has discrete ones ({', '.join(discrete)}). Take "
            "pm.sample, or marginalise them out (pymc_extras.marginalize)"
        )
    require_jax()  # a digest covers its settings
    values = model.continuous_value_vars
    is_open = any(None in value.type.shape for value in values)
    if is_open:  # a shape that the start tells
        starts = StartPoints(model, initvals)
    known = starts.plain() if is_open else None
    digest = of_model(model, known)
    finish = begin_gradient(model, known, effort=effort, digest=digest, by_jax=True)
    if not is_open:  # while XLA compiles
        starts = StartPoints(model, initvals)
    start = starts.plain()
    shapes_of_values = tuple(start[value.name].shape for value in values)
    layout = Layout(names=tuple(value.name for value in values), shapes=shapes_of_values)
    try:
        expand = _Expand(model, layout, var_names, effort, digest)
        gradient = finish(start)
    except (NotImplementedError, NotByJaxError) as error:
        reason, _ = explain_refusal(error, model)
        note = f"{reason or first_line(error)}: nutpie compiles by Numba"
        warnings.warn(note, GradientNote, stacklevel=4)
        return _compile_by_nutpie(model, var_names, initvals), str(Way.NUMBA)
    tell_notes(gradient, stacklevel=4)
    names, shapes = [*layout.names, *expand.shapes], [*layout.shapes, *expand.shapes.values()]
    transformed = [
        model.rvs_to_values[variable].name
        for variable in model.free_RVs
        if model.rvs_to_transforms.get(variable) is not None
    ]
    compiled = probes.NUTPIE_FROM_PYFUNC.find()(
        ndim=layout.size,
        make_logp_fn=lambda: _density(gradient),
        make_expand_fn=lambda _seed, _other, _chain: expand,
        make_initial_point_fn=lambda seed: layout.flatten(starts.jittered(seed)),
        expanded_dtypes=[np.dtype(np.float64)] * len(names),
        expanded_shapes=shapes,
        expanded_names=names,
        coords=_coords(model, layout),
        dims=_dims(model, dict(zip(names, shapes, strict=True))),
        reparameterized_names=transformed,
    )
    return compiled, str(gradient.way)


def _compile_by_nutpie(model: Any, var_names: Iterable[str] | None, initvals: Mapping[Any, Any] | None) -> Any:
    import nutpie

    given = {} if initvals is None else {"initial_points": dict(initvals)}
    return nutpie.compile_pymc_model(model, var_names=var_names, **given)


def sample(
    model: Any = None,
    *,
    draws: int = 1000,
    tune: int | None = None,
    chains: int | None = None,
    cores: int | None = None,
    random_seed: Any = None,
    progressbar: Any = True,
    progressbar_theme: Any = None,
    quiet: bool = False,
    var_names: Iterable[str] | None = None,
    initvals: Mapping[Any, Any] | None = None,
    target_accept: float | None = None,
    discard_tuned_samples: bool = True,
    compute_convergence_checks: bool = True,
    idata_kwargs: Mapping[str, Any] | None = None,
    nuts: Mapping[str, Any] | None = None,
    effort: Effort | str = Effort.NORMAL,
    **others: Any,
) -> Any:
    """Sample a model's posterior as ``pm.sample`` does by nutpie, with the least time to the first draw.

    Arguments and result are those of ``pm.sample``. An argument that this function does not take is refused by name,
    with what to do. A model with discrete variables goes to ``pm.sample``, with a note.

    Parameters
    ----------
    model : pymc.Model, optional
        That of the context where left out.
    draws, tune, chains, cores : int, optional
        As ``pm.sample`` takes them.
    random_seed : int, sequence of int or Generator, optional
        As ``pm.sample`` takes it.
    progressbar, progressbar_theme, quiet : bool, optional
        As ``pm.sample`` takes them.
    var_names, initvals : optional
        As ``pm.sample`` takes them.
    target_accept : float, optional
        As ``pm.sample`` takes it.
    discard_tuned_samples : bool
        As ``pm.sample`` takes it.
    compute_convergence_checks : bool
        Whether PyMC's checks of the draws are made and logged. ``pm.sample`` makes none of them for nutpie's draws.
    idata_kwargs, nuts : mapping, optional
        As ``pm.sample`` takes them; `nuts` holds arguments for ``nutpie.sample``.
    effort : Effort or str
        How hard XLA tries, as in `firstgrad.fast_gradient`.
    **others
        Refused: they are taken only to say what to do instead.

    Returns
    -------
    xarray.DataTree
        As ``pm.sample`` gives it. The posterior's attribute ``firstgrad_gradient`` is the way of `fast_gradient`.

    Raises
    ------
    SpecError
        Where an argument isn't one of these.
    SamplerUnavailable
        Where nutpie isn't installed.
    ModelError
        Where the model has no free variables; and what `firstgrad.fast_gradient` raises.
    """
    import pymc as pm

    _refuse(model, initvals, others)
    model = pm.modelcontext(model)
    if not model.free_RVs:
        raise ModelError("the model has no free variables, so there is nothing to sample")
    cores = min(4, max(multiprocessing.cpu_count() // 2, 1)) if cores is None else cores
    chains = max(2, cores) if chains is None else chains
    options, extra = dict(nuts or {}), dict(idata_kwargs or {})
    if target_accept is not None:
        options["target_accept"] = target_accept
    if discrete := [variable.name for variable in model.discrete_value_vars]:
        names = ", ".join(discrete)
        warnings.warn(f"pm.sample draws, since the model has discrete variables ({names})", GradientNote, stacklevel=2)
        return pm.sample(
            draws,
            tune=tune,
            chains=chains,
            cores=cores,
            random_seed=random_seed,
            progressbar=progressbar,
            progressbar_theme=progressbar_theme,
            quiet=quiet,
            var_names=var_names,
            initvals=initvals,
            discard_tuned_samples=discard_tuned_samples,
            compute_convergence_checks=compute_convergence_checks,
            idata_kwargs=extra,
            model=model,
            nuts=options,
        )
    if not quiet:
        _LOG.info("NUTS[nutpie]: %s", model.free_RVs)
    compiled, way = _compile(model, var_names, initvals, Effort(effort))
    if "max_treedepth" in options:
        options["maxdepth"] = options.pop("max_treedepth")
    seed = np.random.default_rng(copy.deepcopy(random_seed)).spawn(chains)[0].integers(2**30)  # as pm.sample makes it
    began = time.time()
    with _progress(chains, draws, False if quiet else progressbar, progressbar_theme, options):
        import nutpie

        trace = nutpie.sample(
            compiled,
            draws=draws,
            tune=1 if tune == 0 else tune,  # nutpie panics where it is 0
            chains=chains,
            cores=min(cores, chains),
            seed=int(seed),
            save_warmup=not discard_tuned_samples,
            store_unconstrained=extra.pop("include_transformed", False),
            **options,
        )
    seconds = time.time() - began
    _complete(trace, model, seconds)
    trace.posterior.attrs["firstgrad_gradient"] = way
    if extra.pop("log_likelihood", False):
        trace = pm.compute_log_likelihood(trace, model=model, progressbar=False)
    if extra:
        warnings.warn(f"idata_kwargs: nutpie ignores {', '.join(sorted(extra))}", UserWarning, stacklevel=2)
    if compute_convergence_checks:
        _check_convergence(trace, model, quiet=quiet)
    return trace


def _refuse(model: Any, initvals: Any, others: Mapping[str, Any]) -> None:
    """Raise SpecError for what ``pm.sample`` takes and this function doesn't, with what to do."""
    if isinstance(model, int):
        raise SpecError("model", f"the model comes first here: firstgrad.sample(model, draws={model})")
    if initvals is not None and not hasattr(initvals, "keys"):
        raise SpecError(
            "initvals", "nutpie takes one mapping for all chains; for one each: pm.sample(nuts_sampler='pymc')"
        )
    for name in others:
        if name not in _NOT_NEEDED:
            raise SpecError(
                name, _OTHERS.get(name, "firstgrad.sample has no such argument; nutpie's go into nuts={...}")
            )


def _progress(
    chains: int, draws: int, progressbar: Any, theme: Any, options: MutableMapping[str, Any]
) -> AbstractContextManager[Any]:
    """Make PyMC's bar for nutpie, or take nutpie's own where this PyMC has none; write it into nutpie's options."""
    options.setdefault("progress_bar", False)
    if not progressbar:
        return nullcontext()
    try:
        bar = probes.NUTPIE_BAR.find()(chains=chains, draws=draws, progressbar=progressbar, progressbar_theme=theme)
    except UnavailableError:
        options["progress_bar"] = True
        return nullcontext()
    heard = options.get("progress_callback")

    def update(progress: Any) -> None:
        bar.update(progress)
        if heard is not None:
            heard(progress)

    options["progress_callback"] = update
    return bar  # type: ignore[no-any-return]  # PyMC's own, untyped for us


def _complete(trace: Any, model: Any, seconds: float) -> None:
    """Put beside the draws what ``pm.sample`` does: data, and how long it took."""
    try:
        probes.NUTPIE_RESULT.find()(trace, model, sampling_time=seconds)
    except UnavailableError:
        trace.posterior.attrs["sampling_time"] = seconds


def _check_convergence(trace: Any, model: Any, *, quiet: bool) -> None:
    try:
        check, log = probes.CONVERGENCE_CHECKS.find(), probes.CONVERGENCE_LOG.find()
    except UnavailableError:
        return
    doubts = check(trace, model)
    if not quiet:
        log(doubts)


def _density(gradient: FastGradient) -> Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]:
    """Make what nutpie calls at each leapfrog step: the executable, and no more."""
    function = gradient.function

    def density(vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logp, flat = function(vector)
        return np.asarray(logp).item(), np.asarray(flat)

    return density


class _Expand:
    """Makes a draw, name to array, of a flat vector: its values, and what is computed of them."""

    def __init__(
        self, model: Any, layout: Layout, var_names: Iterable[str] | None, effort: Effort, digest: Digest
    ) -> None:
        wanted = "" if var_names is None else sha256(repr(sorted(set(var_names))).encode()).hexdigest()[:16]
        entry = Entry(
            digest if digest.is_whole else Digest(reason="it hangs on code of the user's own"),
            "-".join(("draw", effort, *filter(None, [wanted]))),
        )
        function = entry.load()
        if function is None:
            function = entry.keep(self._make(model, layout, var_names, effort))
        self._layout, self._function = layout, function.call
        self._places = [(name, begin, end, tuple(shape)) for name, begin, end, shape in function.facts["places"]]
        self.shapes = {name: shape for name, _, _, shape in self._places}

    def _make(self, model: Any, layout: Layout, var_names: Iterable[str] | None, effort: Effort) -> Made:
        """Compile what computes them, from a flat vector to one; and tell where they are in it."""
        import jax
        import jax.numpy as jnp
        import pytensor.tensor as pt

        wanted = None if var_names is None else set(var_names)
        outputs = [
            variable
            for variable in model.unobserved_value_vars
            if variable.name not in layout.names and (wanted is None or variable.name in wanted)
        ]
        if not outputs:
            return Made(compiled=None, facts={"places": []})
        with undisturbed():
            groups = grouped(((_made_by(variable), variable.type), variable) for variable in outputs).values()
            given = dict(zip(model.continuous_value_vars, layout.shapes, strict=True))
            stacked = [
                pt.stack([one.values if hasattr(one.type, "dims") else one for one in group]) for group in groups
            ]
            graph = close_graph(stacked, given)
            write, cut = write_function(rewritten(model, graph.sources, graph.outputs)), layout.cutter(graph.places)

        shapes: dict[str, tuple[int, ...]] = {}

        def compute(vector: Any) -> Any:
            stacks = write(*cut(vector))
            for group, stack in zip(groups, stacks, strict=True):
                shapes.update({variable.name: stack.shape[1:] for variable in group})
            return (jnp.concatenate([jnp.ravel(stack).astype(np.float64) for stack in stacks]),)

        vector = np.zeros(layout.size)
        compiled = compile_lowered(jax.jit(compute, keep_unused=True).lower(vector), effort)
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()]).tolist()
        places = dict(zip(shapes, zip([0, *ends], ends, strict=False), strict=True))
        # nutpie wants them in the order of their names.
        facts = {"places": [(one.name, *places[one.name], shapes[one.name]) for one in outputs]}
        reason = "another process draws something else" if graph.is_drawn else ""
        return Made(compiled=compiled, arguments=(vector,), facts=facts, reason=reason)

    def __call__(self, vector: NDArray[np.float64]) -> Draw:
        """Make it."""
        draw = self._layout.unflatten(vector)
        if self._places:
            flat = np.asarray(self._function(vector)[0])
            for name, begin, end, shape in self._places:
                draw[name] = flat[begin:end].reshape(shape)
        return draw


def _made_by(variable: Any) -> Any:
    """Tell by what it is made; of an open shape it is alike to none."""
    return variable.owner.op if variable.owner is not None and None not in variable.type.shape else variable


def _coords(model: Any, layout: Layout) -> dict[str, Any]:
    """List the model's, and the names of the flat vector's entries."""
    import pandas as pd

    if _UNCONSTRAINED in model.coords:
        raise ModelError(f"nutpie has the dimension {_UNCONSTRAINED} for itself: rename the model's")
    coords = {
        name: pd.Index(values) if values is not None else pd.RangeIndex(_length(model.dim_lengths[name]))
        for name, values in model.coords.items()
    }
    entries = [
        f"{name}_{'.'.join(map(str, index))}" if index else name
        for name, shape in zip(layout.names, layout.shapes, strict=True)
        for index in itertools.product(*map(range, shape))
    ]
    return coords | {_UNCONSTRAINED: pd.Index(entries)}


def _length(length: Any) -> int:
    return int(NodeEvaluator((), [length], is_stabilised=False).at({})[length])


def _dims(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[str, ...]]:
    """Give values the dims of their variables where their transforms keep the shape."""
    dims = dict(model.named_vars_to_dims)
    for variable in model.free_RVs:
        value = model.rvs_to_values[variable]
        if variable.name in dims and shapes.get(variable.name) == shapes[value.name]:
            dims[value.name] = dims[variable.name]
    return dims
