"""Consent: what customers have agreed to, purpose by purpose.

What was said last of each purpose is kept among a customer's traits, under a name that no profile may set:
`consent.email` is true or false, and `consent.jurisdiction` a text. So statements are merged with rows and looked at by
conditions as traits are. Of equal instants a withdrawal stays.

Who has not agreed to `segmentation` is not known at all: `native/barring.c` says what that means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.core.traits import TraitValue

STATEMENTS: Final = "consent."
"""So the names begin of traits that are statements on consent; `SEG_STATEMENTS` of `native/segmenter.h`."""
SEGMENTATION: Final = "segmentation"
"""The purpose without which a customer is not known."""
JURISDICTION: Final = "jurisdiction"
SINCE: Final = "since"
"""From when on a customer may be known who was not to be known before: a trait without a value."""
PURPOSES: Final = (SEGMENTATION, "personalization", "advertising", "email")
PURPOSES_MAX: Final = 8
PURPOSE_PATTERN: Final = r"^[a-z][a-z0-9_]{0,39}$"
RESERVED: Final = (JURISDICTION, SINCE)
"""What no purpose can be called."""
JURISDICTION_PATTERN: Final = r"^[A-Z0-9]{1,8}(-[A-Z0-9]{1,8}){0,3}$"
"""Such as `EU`, `DE` or `US-CA`."""


class EncodedRules(NamedTuple):
    """`ConsentRules` for the library: purposes, what differs by jurisdiction, and bits of purposes that opt in."""

    purposes: npt.NDArray[np.uint8]
    jurisdictions: npt.NDArray[np.uint8]
    opts_in: int


@dataclass(frozen=True, slots=True)
class ConsentRules:
    """What customers agree to who have said nothing.

    Parameters
    ----------
    purposes
        Names, `segmentation` among them.
    opting_in
        Purposes to which nobody has agreed who has not said so.
    jurisdictions
        By jurisdiction, what differs there: whether a purpose opts in. What holds in `US` holds in `US-CA` unless
        that differs.
    """

    purposes: tuple[str, ...] = PURPOSES
    opting_in: frozenset[str] = frozenset()
    jurisdictions: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)

    @property
    def opts_in(self) -> bool:
        """Whether nobody is known who has not agreed to it."""
        return SEGMENTATION in self.opting_in

    def is_opt_in(self, purpose: str, jurisdiction: str = "") -> bool:
        """Return whether a purpose needs consent that was given."""
        for place in _parts(jurisdiction):
            found = self.jurisdictions.get(place, {}).get(purpose)
            if found is not None:
                return found
        return purpose in self.opting_in

    def grants(self, traits: Mapping[str, TraitValue], purpose: str) -> bool:
        """Return whether a customer of these traits agrees to a purpose."""
        said = traits.get(STATEMENTS + purpose)
        if isinstance(said, bool):
            return said
        return not self.is_opt_in(purpose, _jurisdiction_of(traits))

    def stamp(self, traits: Mapping[str, TraitValue]) -> dict[str, bool]:
        """Return what a customer agrees to, of purposes that somebody spoke of or that opt in."""
        jurisdiction = _jurisdiction_of(traits)
        return {
            purpose: self.grants(traits, purpose)
            for purpose in self.purposes
            if STATEMENTS + purpose in traits or self.is_opt_in(purpose, jurisdiction)
        }

    def encoded(self) -> EncodedRules:
        """Return the rules as a step of the library reads them."""
        ordered = self.ordered
        names = [bytes((len(purpose),)) + purpose.encode() for purpose in ordered]
        places = [
            bytes((len(place), _bits(purpose in differs for purpose in ordered), _bits(map(differs.get, ordered))))
            + place.encode()
            for place, differs in self.jurisdictions.items()
        ]
        opting_in = _bits(purpose in self.opting_in for purpose in ordered)
        return EncodedRules(_buffer(names), _buffer(places), opting_in)

    @property
    def ordered(self) -> tuple[str, ...]:
        """The purposes, the segmentation first: numbers of purposes are their places here."""
        return (SEGMENTATION, *(purpose for purpose in self.purposes if purpose != SEGMENTATION))


def _bits(flags: Iterable[object]) -> int:
    return sum(1 << number for number, flag in enumerate(flags) if flag)


def _buffer(entries: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(entries), np.uint8)


def _parts(jurisdiction: str) -> Iterator[str]:
    """Yield a jurisdiction and what it is a part of, the narrowest first."""
    while jurisdiction:
        yield jurisdiction
        jurisdiction = jurisdiction.rpartition("-")[0]


def _jurisdiction_of(traits: Mapping[str, TraitValue]) -> str:
    said = traits.get(STATEMENTS + JURISDICTION)
    return said if isinstance(said, str) else ""


EVERYBODY: Final = ConsentRules()
"""Nobody is asked."""
