"""From bytes to an event, or to the one reason why the record is refused.

There is one definition of what is valid: the pydantic models of `stream_app.contracts.inputs`, applied by
`Decoder.decode_reference`. `Decoder.decode` asks the fast path first, which accepts the common form of a record and
leaves everything else to the reference. So only bad and odd records pay for a verdict.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from stream_app.contracts.fast_path import Reader, build_reader
from stream_app.contracts.inputs.contract import InputContract
from stream_app.contracts.json_text import read_object
from stream_app.contracts.kept import kept_paths, with_kept
from stream_app.contracts.policy import Circumstances, DecodingPolicy
from stream_app.contracts.rejections import rejection_of, unnamed
from stream_app.core.events import Event


class Decoder:
    """Decodes the records of one topic.

    Parameters
    ----------
    contract
        The topic's.
    policy
        What the deployment decided.
    """

    def __init__(self, contract: InputContract, policy: DecodingPolicy) -> None:
        self.contract = contract
        self.policy = policy
        self._fields = contract.fields
        self.kept = kept_paths(policy.kept, contract.keeps)
        """What is kept of the topic's records."""
        self.read_fast: Reader = build_reader(contract.fast_form, policy, self.kept)
        """Takes the arguments of `decode` and returns the event, or None where only the models can decide."""

    def decode(self, payload: bytes, now_ms: int, key: bytes | None = None) -> Event:
        """Return the event in a JSON payload.

        Parameters
        ----------
        payload
            UTF-8 JSON.
        now_ms
            The time of reading, milliseconds since the epoch; times further ahead than tolerated are refused.
        key
            The record's key, which must be the customer's id; None only where the carrier has no keys. For a topic's
            record without a key pass `b""`.

        Raises
        ------
        InvalidRecord
            With reason, field and message.
        CustomerUnnamed
            If it is valid but for its customer, who is that of its order: what it says, and why it is refused where
            that is nobody's.
        """
        event = self.read_fast(payload, now_ms, key)
        return self.decode_reference(payload, now_ms, key) if event is None else event

    def decode_reference(self, payload: bytes, now_ms: int, key: bytes | None = None) -> Event:
        """Do as `decode`, by the models alone: slower, and the authority."""
        policy = self.policy
        record = read_object(payload, self._fields, policy.max_payload_bytes, policy.max_depth)
        return self._judge(record, Circumstances(policy, now_ms, key))

    def _judge(self, record: dict[str, Any], circumstances: Circumstances) -> Event:
        try:
            valid = self.contract.model.model_validate(record, context=circumstances)
        except ValidationError as error:
            raise rejection_of(error, record) from None
        event = self.contract.to_event(valid, self.policy)
        event = with_kept(event, valid, self.kept) if self.kept else event
        if not event.customer_id:
            raise unnamed(event)
        return event
