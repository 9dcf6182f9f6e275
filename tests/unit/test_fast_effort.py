from __future__ import annotations

import pytest

from firstgrad.fast.xla import Effort, compile_lowered


class Lowered:
    """Refuses options by name, as XLA does; says which it was compiled with."""

    def __init__(self, unknown=(), message="No such compile option: '{}'"):
        self.unknown, self.message = unknown, message

    def as_text(self):
        return "tensor<32769xf64>"  # too large for sums in turn

    def compile(self, compiler_options=None):
        for name in compiler_options or {}:
            if name in self.unknown:
                raise RuntimeError(self.message.format(name))
        return compiler_options


def test_the_least_effort_asks_for_both_options():
    assert set(compile_lowered(Lowered(), Effort.LEAST)) == {
        "xla_backend_optimization_level",
        "xla_disable_hlo_passes",
    }
    assert compile_lowered(Lowered(), Effort.FULL) is None


@pytest.mark.parametrize("message", ["No such compile option: '{}'", "Protocol Buffer reflection usage error: {}"])
def test_an_option_that_this_xla_does_not_know_is_left_out(message):
    older = Lowered(["xla_disable_hlo_passes"], message)
    assert compile_lowered(older, Effort.LEAST) == {"xla_backend_optimization_level": 0}
    oldest = Lowered(["xla_disable_hlo_passes", "xla_backend_optimization_level"], message)
    assert compile_lowered(oldest, Effort.LEAST) is None


def test_other_errors_are_not_swallowed():
    with pytest.raises(RuntimeError, match="out of memory"):
        compile_lowered(Lowered(["xla_backend_optimization_level"], "out of memory {}"), Effort.NORMAL)
