"""Changes to PyTensor and Numba that might make the cold first call cheaper, tried in a measured process only.

They show what a fix could bring; they are no fixes: they replace private functions of PyTensor 3.3.8 and Numba 0.68.
"""

# ruff: noqa: SLF001 - a trial replaces what a fix would change

from __future__ import annotations

import sys
from typing import Any

WHOLE_GRAPH = "numba_funcified_fgraph"
NOINLINE_INSTRUCTIONS = 40


def cache_own_function() -> None:
    """Cache an operation's own function, where PyTensor caches a wrapper around it, which is one compile more."""
    from numba.core.caching import Cache, FunctionCache
    from pytensor import config
    from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS
    from pytensor.link.numba.dispatch import basic

    own_key, ensure = Cache._index_key, basic.numba_funcify_ensure_cache

    def index_key(self: Any, signature: Any, codegen: Any) -> Any:
        # PyTensor's key says what the function is; Numba would pickle what it closes over, other functions included.
        if self._py_func in CACHED_SRC_FUNCTIONS:
            return signature, codegen.magic_tuple(), ("pytensor", "")
        return own_key(self, signature, codegen)

    def ensure_cached(op: Any, node: Any = None, **options: Any) -> Any:
        function, key = basic.numba_funcify_and_cache_key(op, node=node, **options)
        if key is None or not config.numba__cache:
            return function, key
        if not hasattr(function, "py_func"):  # an overload, such as that of Elemwise: wrapped as ever
            return ensure(op, node=node, **options)
        CACHED_SRC_FUNCTIONS[function.py_func] = f"{key}_fastmath{int(config.numba__fastmath)}"
        if not isinstance(function._cache, FunctionCache):
            function.enable_caching()
        return function, key

    Cache._index_key = index_key
    for module in list(sys.modules.values()):
        if getattr(module, "numba_funcify_ensure_cache", None) is ensure:
            module.numba_funcify_ensure_cache = ensure_cached  # type: ignore[attr-defined]


def no_code_for_inner() -> None:
    """Write no machine code for a function that is only ever linked into others, and not cached."""
    from numba.core.codegen import CPUCodeLibrary

    finish = CPUCodeLibrary._finalize_final_module

    def finish_if_called(self: Any) -> None:
        if self._object_caching_enabled or WHOLE_GRAPH in self.name:
            finish(self)
        else:
            self._finalize_dynamic_globals()
            self._finalized = True

    CPUCodeLibrary._finalize_final_module = finish_if_called


def calls_in_whole_graph() -> None:
    """Let the function of the whole graph call what is large, instead of taking it in and optimising it again."""
    from numba.core.codegen import CPUCodeLibrary

    optimise = CPUCodeLibrary._optimize_final_module

    def optimise_without_inlining(self: Any) -> None:
        if WHOLE_GRAPH in self.name:
            for function in self._final_module.functions:
                size = sum(1 for block in function.blocks for _ in block.instructions)
                if WHOLE_GRAPH not in function.name and size > NOINLINE_INSTRUCTIONS:
                    function.add_function_attribute("noinline")
        optimise(self)

    CPUCodeLibrary._optimize_final_module = optimise_without_inlining


TRIALS = {each.__name__: each for each in (cache_own_function, no_code_for_inner, calls_in_whole_graph)}
