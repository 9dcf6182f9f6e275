"""What a span is called in a trace viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.profile import SpanKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.profile import Profile, Span


def make_namer(profile: Profile) -> Callable[[Span], str]:
    """Make the function that names a profile's spans: phases plainly, the rest with what they are.

    Returns
    -------
    callable
        Takes a span; ``fusion [pass]``, or with its operation ``kernel_3 [unit] Elemwise``.
    """
    operations = {unit.name: unit.op for unit in profile.attribution.units if unit.op}

    def name(span: Span) -> str:
        if span.kind is SpanKind.PHASE:
            return span.name
        operation = operations.get(span.name, "") if span.kind is SpanKind.UNIT else ""
        return f"{span.name} [{span.kind}] {operation}".rstrip()

    return name
