"""The Dask workers of a sweep: who is there, who is fit, who is free."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.codec import DecodeError, from_json
from firstgrad.measure.environment import installed_version
from firstgrad.record import SCHEMA_VERSION, Environment
from firstgrad.sweep.remote import Card

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(slots=True, kw_only=True)
class Member:
    """One Dask worker.

    Attributes
    ----------
    address : str
        Where Dask finds it.
    has_firstgrad : bool
        Whether it is known to have one; only then may it be asked to run anything of it.
    card : Card, optional
        None until it has said what it is.
    environment : Environment, optional
        Of the card.
    refused : str
        Why it gets no work; '' where it may.
    is_busy : bool
        Whether it has been asked for something and hasn't answered.
    failures : int
        How often in a row it could not measure what it was asked to.
    """

    address: str
    has_firstgrad: bool = False
    card: Card | None = None
    environment: Environment | None = None
    refused: str = ""
    is_busy: bool = False
    failures: int = 0

    @property
    def is_fit(self) -> bool:
        """Whether it may measure."""
        return self.card is not None and not self.refused

    @property
    def place(self) -> str:
        """Name it for people."""
        return f"{self.card.machine} ({self.address})" if self.card else self.address

    def take_card(self, text: str) -> None:
        """Take what `firstgrad.sweep.remote.introduce` said, and refuse the worker where it isn't fit."""
        try:
            self.card = from_json(text, Card)
            self.refused = why_unfit(self.card)
            if not self.refused:
                self.environment = from_json(self.card.environment, Environment)
        except DecodeError as error:
            self.refused = f"has another firstgrad, which can't be understood: {error}"


class Crew:
    """All workers that were there when they were last looked for."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._has_lost_fit = False
        self._crowded: set[str] = set()

    def __iter__(self) -> Iterator[Member]:
        return iter(tuple(self._members.values()))

    def update(self, addresses: Iterable[str]) -> tuple[list[Member], list[Member]]:
        """Take the list of those who are there.

        Returns
        -------
        joined, left : list of Member
        """
        there = dict.fromkeys(addresses)
        left = [member for member in self if member.address not in there]
        for member in left:
            self.dismiss(member)
        joined = [Member(address=address) for address in there if address not in self._members]
        self._members |= {member.address: member for member in joined}
        return joined, left

    def dismiss(self, member: Member) -> None:
        """Strike a worker off the list; where it is still there, the next look finds it as a new one."""
        if self._members.get(member.address) is member:
            del self._members[member.address]
            self._has_lost_fit |= member.is_fit

    @property
    def free(self) -> list[Member]:
        """Fit ones that have nothing to do."""
        return [member for member in self if member.is_fit and not member.is_busy]

    @property
    def has_fit(self) -> bool:
        """Whether one may measure, now or when it has said what it is."""
        return any(not member.refused for member in self)

    @property
    def is_hopeless(self) -> bool:
        """Whether there are workers, none of them is fit, and none that was fit has left and might come back."""
        return bool(self._members) and not self.has_fit and not self._has_lost_fit

    def refusals(self) -> str:
        """Say who was refused and why."""
        return "; ".join(f"{member.place} {member.refused}" for member in self if member.refused)

    def newly_crowded(self, *, threads: int) -> list[str]:
        """Say of each machine, once, that its workers are more than it has cores for."""
        cards = [member.card for member in self if member.is_fit and member.card is not None]
        counts = Counter(card.machine for card in cards)
        found = []
        for machine, cores in {card.machine: card.cores for card in cards}.items():
            if counts[machine] * threads > cores and machine not in self._crowded:
                self._crowded.add(machine)
                found.append(
                    f"{counts[machine]} workers with {threads} threads each are on {machine}, which has {cores} cores: "
                    "they will measure each other. Start fewer there"
                )
        return found


def why_failed(error: BaseException) -> str:
    """Say why a worker that raised this gets no work."""
    why = f"{type(error).__name__}: {error}".partition("\n")[0]
    if isinstance(error, ImportError):
        return f"has no firstgrad that can be used ({why}): install firstgrad {installed_version('firstgrad')} there"
    if isinstance(error, RuntimeError) and "deserialization of the task graph" in str(error):
        return (
            f"can't be asked, since the scheduler has no such firstgrad: install {installed_version('firstgrad')} there"
        )
    return f"can't measure ({why})"


def why_unfit(card: Card) -> str:
    """Say why a worker's measurements couldn't be put together with this side's.

    Returns
    -------
    str
        '' where they can.
    """
    here = installed_version("firstgrad")
    if card.firstgrad != here:
        return f"has firstgrad {card.firstgrad or 'of no version'}, and here is {here}: install the same on both"
    if card.schema_version != SCHEMA_VERSION:
        return f"writes records of schema {card.schema_version}, and here is {SCHEMA_VERSION}: install the same on both"
    return ""
