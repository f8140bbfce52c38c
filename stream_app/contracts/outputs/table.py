"""All outputs: which contract each topic has."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from stream_app.contracts.outputs.dead_letter import DeadLetter
from stream_app.contracts.outputs.figures import SegmentFigures
from stream_app.contracts.outputs.handovers import IdentityHandover
from stream_app.contracts.outputs.migrations import SegmentMembership, SegmentMigration
from stream_app.contracts.outputs.models import SegmentModel
from stream_app.contracts.outputs.receipts import PrivacyReceipt
from stream_app.contracts.outputs.samples import PopulationRecord
from stream_app.contracts.outputs.upcoming import UpcomingMove

OUTPUT_MODELS: Final[dict[str, type[BaseModel]]] = {
    "segment-migrations": SegmentMigration,
    "segment-memberships": SegmentMembership,
    "segment-upcoming": UpcomingMove,
    "segment-figures": SegmentFigures,
    "segment-models": SegmentModel,
    "population-samples": PopulationRecord,
    "dead-letters": DeadLetter,
    "privacy-receipts": PrivacyReceipt,
    "identity-handovers": IdentityHandover,
}
"""Contract by topic."""
