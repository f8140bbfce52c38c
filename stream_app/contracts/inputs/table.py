"""The input topics. A further one is a module beside this one and an entry here."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from typing import Final

from stream_app.contracts.inputs.consents import CONSENTS
from stream_app.contracts.inputs.contract import InputContract
from stream_app.contracts.inputs.engagements import ENGAGEMENTS
from stream_app.contracts.inputs.identities import IDENTITIES
from stream_app.contracts.inputs.privacy_requests import PRIVACY_REQUESTS
from stream_app.contracts.inputs.profiles import PROFILES
from stream_app.contracts.inputs.purchases import PURCHASES

INPUT_CONTRACTS: Final[dict[str, InputContract]] = {
    contract.topic: contract for contract in (PURCHASES, ENGAGEMENTS, PROFILES, CONSENTS, PRIVACY_REQUESTS)
}
"""By topic. Their order is that of records with the same watermark: a topic's number is its place here."""
STATEMENT_CONTRACTS: Final[dict[str, InputContract]] = {IDENTITIES.topic: IDENTITIES}
"""Of statements about ids, which are not events of one customer."""
FILE_CONTRACTS: Final[Mapping[str, InputContract]] = ChainMap(STATEMENT_CONTRACTS, INPUT_CONTRACTS)
"""All that files may hold, in the order of their numbers: those of `INPUT_CONTRACTS` first."""
