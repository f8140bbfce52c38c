"""The audit finds whose a return is that names its order alone, and what was made of it wrongly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from stream_app.audit.inputs import PartitionInputs
from stream_app.audit.records import Letter, LogRecord
from stream_app.core.clock import format_instant
from tests.audit.stories import DECODERS, partition_of
from tests.contracts.records import PURCHASE
from tests.support.events import START_MS

PARTITION = partition_of(b"c1")
OTHERS = [f"c{number}" for number in range(2, 40) if partition_of(f"c{number}".encode()) == PARTITION]
STRANGER = next(f"c{number}" for number in range(40) if partition_of(f"c{number}".encode()) != PARTITION)


def record(offset: int, key: str | None, **changes: Any) -> LogRecord:
    fields = PURCHASE | {"event_id": f"e{offset}", "occurred_at": format_instant(START_MS + offset)} | changes
    value = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
    return LogRecord(offset, START_MS + offset, key and key.encode(), value, ())


def bought(offset: int, customer_id: str, order_id: str) -> LogRecord:
    return record(offset, customer_id, customer_id=customer_id, order_id=order_id)


def returned(offset: int, order_id: str, key: str | None = None) -> LogRecord:
    return record(offset, key, customer_id=None, order_id=order_id, type="order_refunded")


def letter_of(refused: LogRecord) -> Letter:
    return Letter(
        offset=0,
        key=refused.key,
        reason="unknown_order",
        field="order_id",
        source=("purchases", PARTITION, refused.offset),
        source_timestamp=format_instant(refused.timestamp_ms),
        payload_sha256=hashlib.sha256(refused.value or b"").hexdigest(),
    )


def judged(records: Sequence[LogRecord], *refused: LogRecord, batch: int = 2) -> PartitionInputs:
    """Judge the records of a topic, which all were folded but for those that were refused."""
    ends = {"purchases": len(records)}
    letters = [letter_of(each) for each in refused]
    inputs = PartitionInputs(PARTITION, partition_of, ends, ends, letters, [], START_MS + 10**9)
    for start in range(0, len(records), batch):
        inputs.take("purchases", 0, DECODERS["purchases"], records[start : start + batch])
    inputs.finish()
    return inputs


def customers(inputs: PartitionInputs) -> dict[str, list[int]]:
    return {customer_id: [entry.offset for entry in entries] for customer_id, entries in inputs.entries.items()}


def test_return_counts_for_the_customer_who_has_its_order_and_says_nothing_of_time() -> None:
    log = [bought(0, "c1", "o1"), bought(1, OTHERS[0], "o2"), returned(2, "o2"), returned(3, "o1", "c1")]
    inputs = judged(log)
    assert customers(inputs) == {"c1": [0, 3], OTHERS[0]: [1, 2]}
    assert inputs.entries["c1"][1].watermark_ms == START_MS + 1
    assert inputs.findings == []


def test_return_that_came_before_its_order_or_is_of_two_customers_has_to_be_refused() -> None:
    early, both = returned(0, "o1"), returned(4, "o2")
    log = [early, bought(1, "c1", "o1"), bought(2, "c1", "o2"), bought(3, OTHERS[0], "o2"), both]
    inputs = judged(log, early, both)
    assert (inputs.findings, inputs.refused) == ([], {"unknown_order": 2})
    told = [finding.message for finding in judged(log).findings]
    assert told == ["0 dead letters, expected 1 (unknown_order)"] * 2


def test_return_that_was_refused_though_its_order_was_known_is_a_breach() -> None:
    log = [bought(0, "c1", "o1"), returned(1, "o1")]
    (finding,) = judged(log, log[1]).findings
    assert finding.message == "a valid record has 1 dead letters, expected none"


def test_order_beyond_all_that_is_remembered_is_known_no_more() -> None:
    log = [bought(offset, "c1", f"o{offset}") for offset in range(258)]
    log += [returned(258, "o1"), returned(259, "o2")]
    assert customers(judged(log, log[258], batch=100)) == {"c1": [*range(258), 259]}


def test_return_with_the_key_of_another_partition_is_misplaced() -> None:
    log = [bought(0, "c1", "o1"), returned(1, "o1", STRANGER)]
    inputs = judged(log)
    assert customers(inputs) == {"c1": [0]}
    assert [(each.offset, each.to_partition) for each in inputs.misplaced] == [(1, 1 - PARTITION)]
