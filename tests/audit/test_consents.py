"""The audit knows who does not agree to be known: what a worker makes of consents, and what it would make wrongly."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator

from stream_app.audit.verification import Verification
from stream_app.core.clock import DAY_MS, format_instant
from stream_app.segmentations.rules.definition import AudienceConfiguration
from stream_app.segmentations.rules.segmentation import AudienceSegmentation
from tests.audit.stories import VALUE, Append, Story, audited, drawn_inputs, partition_of, record_of, told
from tests.support.events import START_MS

MAILED = AudienceSegmentation(
    AudienceConfiguration.model_validate(
        {"kind": "audience", "name": "mailed", "when": {"trait": "consent.email", "equals": True}}
    )
)


def consent(customer_id: str, day: float, purpose: str, decision: str) -> Append:
    at_ms = START_MS + round(day * DAY_MS)
    record = {
        "customer_id": customer_id,
        "purpose": purpose,
        "decision": decision,
        "observed_at": format_instant(at_ms),
    }
    value = json.dumps(record).encode()
    return Append("consents", partition_of(customer_id.encode()), customer_id.encode(), value, at_ms)


def with_consents(seed: int = 0) -> Iterator[Append]:
    drawn = random.Random(seed)
    for record in drawn_inputs(12, 200, seed):
        yield record
        if drawn.random() < 0.2:
            day = (record.timestamp_ms - START_MS) / DAY_MS
            purpose = drawn.choice(["segmentation", "segmentation", "email"])
            yield consent(f"c{drawn.randrange(12)}", day, purpose, drawn.choice(["granted", "withdrawn"]))


def findings(found: Verification) -> set[tuple[str, str]]:
    return {(each.check, each.message) for examples in found.tally.examples.values() for each in examples}


def one_that_withdrew(*last: Append) -> Story:
    return told(
        [
            record_of("purchases", 1, "c1", 0),
            record_of("engagements", 2, "c1", 1),
            consent("c1", 2, "segmentation", "withdrawn"),
            *last,
        ],
        segmentations=[VALUE, MAILED],
        chunk=1,
    )


def test_what_a_worker_makes_of_consents_is_right() -> None:
    found = asyncio.run(audited(told(with_consents(), segmentations=[VALUE, MAILED])))
    assert findings(found) == set()
    assert found.figures["of customers who were without consent"] > 0
    assert found.figures["places by rules checked"] > 0


def test_customer_that_is_known_in_spite_of_a_withdrawal_is_found() -> None:
    story = one_that_withdrew()
    rows = [each for each in story.written(story.names.changelog) if each.key == b"c1"]
    story.change(rows[-1], rows[-2])
    found = findings(asyncio.run(audited(story)))
    assert ("consents", "not barred for lack of consent") in found
    assert ("consents", "consent.segmentation: differs from what was said last") in found


def test_customer_that_is_barred_in_spite_of_its_consent_is_found() -> None:
    story = one_that_withdrew()
    said = next(each for each in story.inputs if each.topic.endswith("consents"))
    story.change(said, said.with_json(decision="granted"))
    found = findings(asyncio.run(audited(story)))
    assert ("consents", "barred in spite of consent") in found


def test_statement_without_a_row_is_found() -> None:
    story = one_that_withdrew()
    story.change_all(story.names.changelog, lambda each: each if each.key != b"c1" else Append(*_emptied(each)))
    assert ("consents", "no row for a consent") in findings(asyncio.run(audited(story)))


def _emptied(append: Append) -> tuple[str, int, bytes | None, None]:
    return append.topic, append.partition, append.key, None


def test_more_counted_than_has_happened_since_the_consent_is_found() -> None:
    story = one_that_withdrew(consent("c1", 3, "segmentation", "granted"), record_of("purchases", 3, "c1", 4))
    bought = next(each for each in story.inputs if b"purchases 3" in (each.value or b""))
    story.change(bought, bought.with_json(occurred_at=format_instant(START_MS)))
    assert ("consents", "1 records are counted, expected at most 0 since the consent") in findings(
        asyncio.run(audited(story))
    )
