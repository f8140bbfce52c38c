"""A third kind of segmentation: this file, and a line in the registry and one in the file's models, which tests add.

Customers are divided by how many purchases they have made; time has no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from pydantic import Field

from stream_app.core.arrays import Instants
from stream_app.core.columns import CustomerColumns
from stream_app.core.foreign import Foreign
from stream_app.core.moves import DEFINITION, MigrationContext, Moves, describe_path
from stream_app.core.segmentation import NEVER_MS, Decision, Due, Held, Segmentation
from stream_app.core.segments import NOWHERE, Roster, Segment
from stream_app.segmentations.configuration import SegmentationConfiguration


class TiersConfiguration(SegmentationConfiguration):
    """Tiers by the number of purchases."""

    kind: Literal["tiers"]
    purchases: Annotated[list[int], Field(min_length=1)]
    """From how many purchases each tier begins after the first one, ascending."""


class TierReason(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="tiers"):
    """Why a customer moved."""

    purchases: int
    sentence: str

    @property
    def is_specific(self) -> bool:
        return True


class TiersSegmentation(Foreign):
    """Tiers, asked as the core asks."""

    kind: Final = "tiers"
    weighs_sessions: Final = False
    revised_by: Final = DEFINITION

    def __init__(self, name: str, purchases: Sequence[int], version: int = 1) -> None:
        self.name: Final = name
        self.version: Final = version
        self.purchases: Final = tuple(purchases)
        self.roster: Final = Roster(
            tuple(Segment(tier + 1, f"Tier {tier}", f"tier-{tier}") for tier in range(len(purchases) + 1))
        )

    def acts(self, customers: CustomerColumns, held: Held) -> Decision:
        tier = np.searchsorted(np.array(self.purchases), customers.activity["purchases"], side="right")
        return Decision(tier, self.roster.codes[tier] != held.segment)

    revise = acts

    def silence(
        self,
        customers: CustomerColumns,
        held: Held,  # noqa: ARG002
        after_ms: Instants,  # noqa: ARG002
        by_ms: Instants,  # noqa: ARG002
    ) -> Due:
        return Due(np.full(len(customers), NEVER_MS), np.full(len(customers), NOWHERE))

    def explain(self, moves: Moves, context: MigrationContext) -> Sequence[TierReason]:  # noqa: ARG002
        references = self.roster.references
        after = moves.columns.activity["purchases"][len(moves.customer_ids) :].tolist()
        targets = [references.get(code) for code in self.roster.codes.tolist()]
        return [
            TierReason(purchases, f"{purchases} purchases; {describe_path(references.get(code), targets[target])}.")
            for purchases, code, target in zip(after, moves.from_code.tolist(), moves.target.tolist(), strict=True)
        ]


class TiersKind:
    """Segments by the number of purchases, for the registry."""

    configuration: Final = TiersConfiguration

    def build(
        self,
        configuration: TiersConfiguration,
        defaults: Mapping[str, Any],  # noqa: ARG002
        earlier: Segmentation | None,
    ) -> Segmentation:
        if isinstance(earlier, TiersSegmentation) and earlier.purchases == tuple(configuration.purchases):
            return earlier
        return TiersSegmentation(configuration.name, configuration.purchases, earlier.version + 1 if earlier else 1)

    def encode(self, segmentation: TiersSegmentation) -> dict[str, Any]:
        return {
            "kind": segmentation.kind,
            "segmentation": segmentation.name,
            "version": segmentation.version,
            "status": "published",
            "purchases": list(segmentation.purchases),
        }

    def decode(self, document: Mapping[str, Any]) -> Segmentation:
        return TiersSegmentation(document["segmentation"], document["purchases"], document["version"])


TIERS: Final = TiersKind()
