"""What the library writes of notices is what Python writes of the same records, byte by byte."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
import pytest

from stream_app.adapters.record_blocks import encode_headers
from stream_app.contracts.outputs.upcoming import UpcomingMove
from stream_app.contracts.readers import Cause, Holdout, NextMove, SegmentReference, SourcePosition, UpcomingRecord
from stream_app.core.clock import DAY_MS, HOUR_MS, SECOND_MS, format_instant
from stream_app.core.events import PROFILE, Event, Position
from stream_app.core.moves import CAUSE_KINDS, LAPSE, MigrationContext
from stream_app.core.segmentation import NEVER_MS
from stream_app.core.segments import NOWHERE
from stream_app.native.output_structures import NOTICE_DTYPE
from stream_app.segmentations.describing import Chunk, Described, Describer
from stream_app.segmentations.presentation import Texts
from tests.native.moves import SOURCE, chunk_of
from tests.native.wild_moves import IDS, START_MS, PhrasedSegmentation, draw_event
from tests.reference.migration import holdout_of

SEGMENTATIONS = (
    PhrasedSegmentation("lifecycle", ("Active", 'say "slipping"', "Gone"), ()),
    PhrasedSegmentation("vip", ("VIPs who slip",), (), version=7),
)
CONTEXT = MigrationContext(holdout_percent=40)
LEADS = {"3d": 3 * DAY_MS, "14d": 14 * DAY_MS, "12h": 12 * HOUR_MS, "90m": 5_400 * SECOND_MS, "1s": SECOND_MS}
STATUSES = ("upcoming", "averted")
Causes = list[tuple[Event, Position] | None]


def drawn(seed: int, count: int = 300) -> tuple[np.ndarray, list[str], Causes]:
    """Return notices, their customers, and the event of each, if one was the cause."""
    rng = np.random.default_rng(seed)
    notices = np.zeros(count, NOTICE_DTYPE)
    notices["segmentation"] = number = rng.integers(0, 2, count)
    segments = np.array([len(each.roster.segments) for each in SEGMENTATIONS])[number]
    notices["code"] = 1 + rng.integers(0, segments)
    for name in ("target", "next_target"):
        notices[name] = rng.integers(NOWHERE, segments)
    notices["sequence"], notices["status"] = rng.integers(1, 2**31 - 1, count), rng.integers(0, 2, count)
    notices["cause"] = rng.integers(0, PROFILE + 1, count)
    notices["lead_ms"] = rng.choice(list(LEADS.values()), count)
    for name in ("decided_at_ms", "leaves_at_ms", "next_at_ms"):
        notices[name] = START_MS + rng.integers(-900 * DAY_MS, 900 * DAY_MS, count)
    notices["next_at_ms"] = np.where(rng.random(count) < 0.3, NEVER_MS, notices["next_at_ms"])
    customers = rng.choice(IDS, count).tolist()
    causes: Causes = [
        (draw_event(rng, kind, customer), Position("a/b", 3, int(rng.integers(2**62))))
        if kind < LAPSE or kind == PROFILE
        else None
        for kind, customer in zip(notices["cause"].tolist(), customers, strict=True)
    ]
    notices["event"] = [-1 if cause is None else at for at, cause in enumerate(causes)]
    return notices, customers, causes


def describe(notices: np.ndarray, customers: list[str], chunk: Chunk) -> Described:
    describer = Describer(CONTEXT, SOURCE)
    describer.follow(SEGMENTATIONS)
    return describer.describe_notices(notices, Texts.of(customer.encode() for customer in customers), chunk)


def record_of(notice: np.void, customer: str, cause: tuple[Event, Position] | None) -> UpcomingRecord:
    segmentation = SEGMENTATIONS[notice["segmentation"]]
    codes, references = segmentation.roster.codes, segmentation.roster.references

    def reference(code: int) -> SegmentReference | None:
        found = references.get(int(code))
        return None if found is None else SegmentReference(found.id, found.name)

    segment = reference(notice["code"])
    assert segment is not None
    place = None if cause is None else SourcePosition(cause[1].topic, cause[1].partition, cause[1].offset)
    next_at_ms = int(notice["next_at_ms"])
    is_told = next_at_ms != NEVER_MS
    following = NextMove(format_instant(next_at_ms), reference(codes[notice["next_target"]])) if is_told else None
    holdout = holdout_of(customer, CONTEXT)
    identity = f"{segmentation.name}\0{customer}\0{notice['sequence']}\0upcoming"
    return UpcomingRecord(
        blake2b(identity.encode(), digest_size=16).hexdigest(),
        int(notice["sequence"]),
        customer,
        segmentation.name,
        segment,
        format_instant(int(notice["leaves_at_ms"])),
        reference(codes[notice["target"]]),
        next(text for text, lead_ms in LEADS.items() if lead_ms == notice["lead_ms"]),
        STATUSES[notice["status"]],
        format_instant(int(notice["decided_at_ms"])),
        Cause(CAUSE_KINDS[notice["cause"]], None if cause is None else cause[0].event_id, place),
        segmentation.version,
        following,
        Holdout(holdout.bucket, holdout.held_out),
    )


@pytest.mark.parametrize("seed", range(3))
def test_notices_are_written_as_python_writes_them(seed: int) -> None:
    notices, customers, causes = drawn(seed)
    described = describe(notices, customers, chunk_of(causes))
    expected = [record_of(*each) for each in zip(notices, customers, causes, strict=True)]
    assert described.lines == msgspec.json.Encoder().encode_lines(expected)
    for number, (record, place) in enumerate(zip(expected, described.places, strict=True)):
        assert described.migration(number) == msgspec.json.encode(record)
        assert place["membership_size"] == -1
        key = described.keys[place["key_at"] : place["key_at"] + place["key_size"]]
        assert key[place["key_size"] - place["customer_size"] :] == record.customer_id.encode()
        headers = described.headers[place["headers_at"] : place["headers_at"] + place["headers_size"]]
        assert headers == encode_headers(
            [
                ("ce_specversion", b"1.0"),
                ("ce_id", record.notice_id.encode()),
                ("ce_type", f"com.stream-segmenter.upcoming.{record.status}".encode()),
                ("ce_source", SOURCE.encode()),
                ("ce_subject", record.customer_id.encode()),
                ("ce_time", record.decided_at.encode()),
                ("content-type", b"application/json"),
            ]
        )


def test_notices_conform_to_their_contract() -> None:
    notices, customers, causes = drawn(9)
    described = describe(notices, customers, chunk_of(causes))
    for number in range(len(described)):
        UpcomingMove.model_validate_json(described.migration(number))


def test_no_notices_are_described_by_nothing() -> None:
    notices, _, _ = drawn(0, 0)
    assert describe(notices, [], chunk_of([])).lines == b""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("segmentation", value) for value in (-1, 2)),
        *(("cause", value) for value in (-1, 0, 7)),
        *(("code", value) for value in (-1, 0, 4, 32_768, 2**31 - 1)),
        *(("target", value) for value in (-2, 3)),
        *(("next_target", value) for value in (-2, 3)),
        *(("status", value) for value in (-1, 2)),
        *(("lead_ms", value) for value in (-DAY_MS, 0, 1, 1_500)),
        *(("event", value) for value in (0, 2**62)),
        ("leaves_at_ms", NEVER_MS),
    ],
)
def test_notices_of_what_was_not_handed_over_are_refused(name: str, value: Any) -> None:
    notices = drawn(0, 1)[0]
    notices["cause"], notices["event"], notices["segmentation"] = LAPSE, -1, 0
    assert len(describe(notices, ["c"], chunk_of([None]))) == 1
    notices[name] = value
    with pytest.raises(ValueError, match="the library answers -5"):
        describe(notices, ["c"], chunk_of([None]))
