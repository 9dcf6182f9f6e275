"""One array a quantity, where there is one variable a bone, a group, a year."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.analysis.remedies.base import Finding, RemedyName
from firstgrad.analysis.remedies.estimate import estimate_savings, measured_saving
from firstgrad.pose.spec import Formulation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firstgrad.analysis.remedies.base import Saving, Situation
    from firstgrad.record import GroupFiniteness

_FEWEST = 3
_HOW = (
    "Write one variable with a leading axis instead: raw_u = pm.Normal('raw_u', shape=(K, T, 3)) for "
    "raw_u_1 ... raw_u_K, and index or reduce along that axis without a Python loop. The density stays the same; "
    "firstgrad's own: --formulation vectorised (src/firstgrad/models/vectorised.py)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedGroups:
    """Groups that differ in a number within their names only: how many, and how many values each has."""

    pattern: str
    groups: int
    values: int


def numbered_groups(groups: Iterable[GroupFiniteness]) -> tuple[NumberedGroups, ...]:
    """Find variables that were written in a loop: ``raw_u_1``, ``raw_u_2``, ``raw_u_3``, of one size.

    Returns
    -------
    tuple of NumberedGroups
        With at least three members each, those with most first. ``#`` stands for the number.
    """
    counts = Counter((re.sub(r"\d+", "#", each.group), each.values) for each in groups if re.search(r"\d", each.group))
    return tuple(
        NumberedGroups(pattern=pattern, groups=count, values=values)
        for (pattern, values), count in counts.most_common()
        if count >= _FEWEST
    )


class Vectorise:
    """Recognised by numbered groups of one size; measured where the model has another formulation."""

    name = RemedyName.VECTORISE

    def find(self, situation: Situation) -> Finding | None:
        """See `firstgrad.analysis.remedies.base.Remedy`."""
        records = situation.samples_of_model()
        found = next((each for record in records if (each := numbered_groups(record.check.finiteness))), ())
        pose = situation.model.pose
        if not found or (pose is not None and pose.formulation is Formulation.VECTORISED):
            return None
        listed = ", ".join(f"{each.groups} called {each.pattern} of {each.values} values" for each in found[:3])
        return Finding(
            remedy=self.name,
            because=f"variables differ in a number only: {listed}",
            how=_HOW,
            savings=tuple(_measured(situation)) or estimate_savings(situation, self.name),
        )


def _measured(situation: Situation) -> Iterator[Saving]:
    """Compare the two formulations on the backend that is best for the given one, in each scenario."""
    if situation.model.pose is None:
        return
    for advice in situation.advice.scenarios:
        given, other = (
            [each for each in advice.offers if each.choice.formulation == formulation]
            for formulation in (Formulation.PER_JOINT, Formulation.VECTORISED)
        )
        pair = [(one, two) for one in given for two in other if one.choice.backend == two.choice.backend]
        if pair:
            yield measured_saving(*pair[0])
