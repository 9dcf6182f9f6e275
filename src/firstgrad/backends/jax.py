"""Four ways through XLA, in float64: PyTensor's, and three of firstgrad's own.

``jax``: PyTensor writes one JAX function and XLA compiles it in the first call. ``jax_fast``: the same in
`firstgrad.fast_mode`. ``jax_direct``: what `firstgrad.fast_gradient` does, the log-density as one JAX function,
differentiated by JAX itself. ``jax_quick``: that with the least effort of XLA.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from firstgrad.backends.base import Answer, BackendFacts, Compiled, DeviceAccess
from firstgrad.backends.pytensor import PyTensorBackend
from firstgrad.case import BackendName, Target
from firstgrad.errors import ModelError, UnavailableError
from firstgrad.observe.disk_cache import CacheEntry
from firstgrad.observe.listeners import describe_device, listen_jax
from firstgrad.observe.probes import JAX_CACHE_HIT
from firstgrad.observe.rewriting import read_passes
from firstgrad.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

    from firstgrad.backends.base import BuiltModel, Hooks
    from firstgrad.fast.digest import Digest
    from firstgrad.fast.function import FastGradient
    from firstgrad.fast.kept import Entry
    from firstgrad.points import Point

    type Call = Callable[[Mapping[str, NDArray[np.float64]]], Answer]


_LATE = ("jax.experimental.multihost_utils", "jaxlib.mlir.dialects.mhlo")
"""What JAX imports within the first constant and the first lowering; other releases have other places for it."""


class JaxBackend(PyTensorBackend):
    """PyTensor's JAX linker, in float64."""

    facts = BackendFacts(
        name=BackendName.JAX,
        compiler=BackendName.JAX,
        colour="#009E73",
        marker="s",
        mode=("JAX",),
        package="jax",
        missing="the package jax",
        install='pip install "firstgrad[jax]"',
        cache_entries=(CacheEntry(name=r".+-[0-9a-f]{64}-cache"),),
        variables={
            "JAX_COMPILATION_CACHE_DIR": "{caches}/jax",
            # By default JAX keeps only what took a second to compile; a proof needs every entry.
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            # Up to 0.10, JAX else makes the folder's path a part of each key: what another folder was filled with is
            # lost.
            "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
            # By default JAX takes three quarters of a GPU's memory at once: nobody would see what is used.
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        },
        options=("XLA_FLAGS", "TF_XLA_FLAGS", "LIBTPU_INIT_ARGS"),
        default_variables={"JAX_PLATFORMS": "cpu"},
        platform_variable="JAX_PLATFORMS",
        keeps="JAX keeps what it compiled only where JAX_COMPILATION_CACHE_DIR is set",
    )

    def __init__(self) -> None:
        super().__init__()
        self._compiled = 0
        self._from_cache = 0

    def import_backend(self) -> None:
        """Import JAX and PyTensor's dispatch for it, switch on float64, listen to JAX's events."""
        import jax
        import pytensor.link.jax.dispatch  # noqa: F401 - imported for its time

        for name in _LATE:
            with suppress(ImportError):
                import_module(name)
        jax.config.update("jax_enable_x64", True)
        with suppress(UnavailableError):
            listen_jax(self._timed, self._told_by_jax, has_end=False)
        jax.devices()  # the client starts here, not within a compile

    def device(self) -> str:
        """Ask JAX for its first device, where it puts all that is told nothing else."""
        import jax

        return describe_device(jax.local_devices()[0].client)

    def access(self) -> DeviceAccess:
        """Ask JAX's first device."""
        import jax

        def size(result: Any) -> int:
            return sum(getattr(leaf, "nbytes", 0) for leaf in jax.tree_util.tree_leaves(result))

        def memory() -> Mapping[str, int]:
            with suppress(Exception):  # some platforms have no such statistics, and say so by various errors
                return dict(jax.local_devices()[0].memory_stats() or {})
            return {}

        return DeviceAccess(
            memory=memory,
            send=lambda inputs: size(jax.block_until_ready(jax.device_put(inputs))),
            fetch=lambda result: size(jax.device_get(result)),
        )

    def _timed(self, step: str, _seconds: float, _function: str) -> None:
        if step == "compile":
            self._compiled += 1
            self.unit_begins()

    def _told_by_jax(self, event: str) -> None:
        if event == JAX_CACHE_HIT:
            self._from_cache += 1

    def compile(self, built: BuiltModel, graph: Any, target: Target, hooks: Hooks) -> Compiled:
        """Compile, and say what to do where PyTensor has no JAX for a part of the graph, or JAX refuses it."""
        try:
            compiled = super().compile(built, graph, target, hooks)
        except NotImplementedError as error:
            _explain(error, built)
        return replace(compiled, call=_explained(compiled.call, built))

    def wait(self, result: Any) -> Any:
        """Wait for the device: JAX returns before it has computed."""
        import jax

        return jax.block_until_ready(result)

    def compiled_units(self) -> int:
        """Count XLA compiles so far, and C modules; JAX also times what its cache answered, so that is taken off."""
        return super().compiled_units() + self._compiled - self._from_cache


class JaxFastBackend(JaxBackend):
    """The JAX backend in `firstgrad.fast_mode`, its gradient graph written by one backward pass as NUTS has it."""

    facts = replace(JaxBackend.facts, name=BackendName.JAX_FAST, colour="#E69F00", marker="D", mode=())

    def mode(self) -> Any:
        """Return the fast mode."""
        from firstgrad.fast.xla import fast_mode

        return fast_mode()

    def grad_graph(self, built: BuiltModel, logp: Any, target: Target) -> Any:
        """Differentiate once for all values."""
        return self.one_pass_gradient(built, logp, target)


class JaxDirectBackend(JaxBackend):
    """What `firstgrad.fast_gradient` does, stage by stage.

    PyTensor rewrites the log-density only; there is no gradient graph. JAX traces, differentiates and compiles within
    ``link``, so nothing is left to the first call but the call.
    """

    facts = replace(
        JaxBackend.facts,
        name=BackendName.JAX_DIRECT,
        colour="#56B4E9",
        marker="v",
        cache_entries=(CacheEntry(name=r"[0-9a-f]{64}-[a-z0-9-]+\.xla"),),
        variables={
            **JaxBackend.facts.variables,
            "FIRSTGRAD_CACHE_DIR": "{caches}/firstgrad",
            "FIRSTGRAD_CACHE": "1",
        },
        keeps="firstgrad keeps what it compiled in your cache folder, unless FIRSTGRAD_CACHE=0",
        keeps_all=False,
    )
    effort = "normal"  # of XLA's, by its name: to import the enumeration takes NumPy

    def __init__(self) -> None:
        super().__init__()
        self._digest: Digest | None = None
        self._entry: Entry | None = None

    def import_backend(self) -> None:
        """Import what the JAX backend imports, and firstgrad's own way."""
        super().import_backend()
        import jax

        # What JAX compiles is kept whole: JAX need not keep it once more.
        jax.config.update("jax_enable_compilation_cache", False)
        import firstgrad.fast.gradient  # noqa: F401 - imported for its time

    def load_kept(
        self, built: BuiltModel, point: Point, target: Target, stage: Callable[[Phase], AbstractContextManager[None]]
    ) -> Compiled | None:
        """Digest the model, and load what was kept under that digest."""
        from firstgrad.fast.digest import of_model
        from firstgrad.fast.function import Way
        from firstgrad.fast.gradient import gradient_entry, loaded_gradient
        from firstgrad.fast.xla import Effort

        effort, with_logp = Effort(self.effort), target is Target.LOGP_DLOGP
        with stage(Phase.LOGP_GRAPH):
            self._digest = of_model(built.model, point)
        with stage(Phase.LINK):
            self._entry = gradient_entry(self._digest, effort, with_logp=with_logp)
            function = self._entry.load()
            if function is None or function.facts["way"] != Way.JAX:
                return None
            gradient = loaded_gradient(built.model, function, point, effort, with_logp=with_logp)
        return self._compiled_of(gradient, built)

    def logp_graph(self, built: BuiltModel) -> Any:
        """Write the log-density, unless the digest needed it."""
        written = self._digest.logp if self._digest is not None else None
        return super().logp_graph(built) if written is None else written

    def grad_graph(self, built: BuiltModel, logp: Any, target: Target) -> Any:  # noqa: ARG002 - the protocol's
        """Return the log-density: JAX differentiates its own function later."""
        return logp

    def compile(self, built: BuiltModel, graph: Any, target: Target, hooks: Hooks) -> Compiled:
        """Rewrite the log-density, trace and compile its value and gradient."""
        from firstgrad.fast.gradient import make_fast_gradient
        from firstgrad.fast.xla import Effort
        from firstgrad.linting.values import with_parameter_checks

        self._has_compiled = True
        mode = with_parameter_checks(self.marked.with_hooks(hooks), built.model)
        seen = SimpleNamespace(rewriter_profile=None, nodes_before=0, nodes=())

        def rewrite(fgraph: Any) -> None:
            seen.nodes_before = len(fgraph.apply_nodes)
            optimizer = mode.optimizer
            seen.rewriter_profile = (optimizer, optimizer.rewrite(fgraph))
            seen.nodes = tuple(fgraph.apply_nodes)

        point = built.initial if built.initial is not None else self.start_point(built)
        options = {"logp": graph, "rewrite": rewrite, "with_logp": target is Target.LOGP_DLOGP, "entry": self._entry}
        try:
            gradient = make_fast_gradient(built.model, point, Effort(self.effort), **options)
        except (NotImplementedError, TypeError, IndexError) as error:  # it traces here, not in the first call
            _explain(error, built)

        passes, unread = read_passes(seen)
        return replace(
            self._compiled_of(gradient, built),
            nodes_before=seen.nodes_before,
            nodes_after=len(seen.nodes),
            nodes=seen.nodes,
            nodes_by_type=tuple(Counter(type(node.op).__name__ for node in seen.nodes).most_common()),
            rewrite_passes=passes,
            stats=seen,
            unavailable=(*self.marked.unavailable, *unread),
        )

    def _compiled_of(self, gradient: FastGradient, built: BuiltModel) -> Compiled:
        def call(at: Mapping[str, NDArray[np.float64]]) -> Answer:
            logp, flat = gradient(gradient.flatten(at), extra_vars=at)
            return Answer(self.to_float64(flat), logp if gradient.with_logp else None)

        def left(at: Mapping[str, NDArray[np.float64]]) -> Any:
            gradient.set_extra_values(at)
            return self.wait(gradient.function(gradient.flatten(at), *gradient.get_extra_values().values()))

        return Compiled(call=_explained(call, built), left=left, inputs=gradient.flatten, kept=gradient.kept)


class JaxQuickBackend(JaxDirectBackend):
    """The same with the least effort of XLA."""

    facts = replace(JaxDirectBackend.facts, name=BackendName.JAX_QUICK, colour="#000000", marker="P")
    effort = "least"


def _explain(error: Exception, built: BuiltModel) -> NoReturn:
    """Say what to do where PyTensor has no JAX for an operation, or JAX must know what depends on values."""
    from firstgrad.linting.refusals import explain_refusal, first_line

    if isinstance(error, NotImplementedError):
        reason, advice = explain_refusal(error, built.model) if built.is_own else ("", "")
        if reason:
            raise ModelError(f"{reason}. {advice}") from error
        way_out = (
            "register one with pytensor.link.jax.dispatch.jax_funcify"
            if built.is_own
            else "the pose model's HMM does without scan with --hmm-algorithm tree"
        )
        raise ModelError(
            f"this PyTensor has no JAX for a part of the graph: {first_line(error)}. Take another backend or a newer "
            f"PyMC; {way_out}"
        ) from error
    if not type(error).__module__.startswith("jax") and "concrete" not in str(error):
        raise error
    variables = getattr(built.model, "data_vars", ())
    data = sorted(var.name for var in variables if None in getattr(var.type, "shape", ()))
    cure = f"The data {', '.join(data)} have no static shape: write pm.Data(name, values, shape=values.shape), or use "
    cure = f"{cure}the array itself. " if data else ""
    raise ModelError(
        f"JAX must know every shape before it compiles, and here one depends on values ({first_line(error)}). {cure}A "
        "boolean mask, or a range whose length is a value: make it with NumPy outside of the graph, or use "
        "pm.math.switch. Other backends can: --backend numba"
    ) from error


def _explained(call: Call, built: BuiltModel) -> Call:
    """Have a call's errors say what to do."""

    def answer(point: Mapping[str, NDArray[np.float64]]) -> Answer:
        try:
            return call(point)
        except (NotImplementedError, TypeError, IndexError) as error:
            _explain(error, built)

    return answer


BACKENDS = (JaxBackend(), JaxFastBackend(), JaxDirectBackend(), JaxQuickBackend())
