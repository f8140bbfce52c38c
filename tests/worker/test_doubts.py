"""The log names records that are dated far from all others, and not again and again."""

from __future__ import annotations

import asyncio

import pytest

from stream_app.core.trust import Doubt, Trust
from stream_app.worker.doubts import DoubtLog


def test_record_in_doubt_is_named_by_topic_and_offset_at_most_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        log = DoubtLog(3, ["purchases", "engagements"], Trust(ahead_total=5))
        log.note(Trust(ahead_total=5, events=9))
        assert not caplog.messages
        log.note(Trust(ahead_total=6, listed=(Doubt(0, 1, 77, 4),)))
        log.note(Trust(ahead_total=7, listed=(Doubt(0, 1, 78, 4),)))

    asyncio.run(test())
    (line,) = caplog.messages
    assert line.startswith(
        "partition 3: 1 record is dated far from all others since the last such line; the newest, engagements,"
    )
    assert "offset 77, says 1970-01-01T00:00:00.000Z" in line
