from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest

from stream_app.contracts.readers import SegmentReference
from stream_app.core.clock import DAY_MS, format_instant
from stream_app.report import newest
from stream_app.report.newest import RECENT_DAYS, NewestMoves
from stream_app.report.reading import Cause, Explanation, Migration

END_MS = 20_000 * DAY_MS + 3_600_000
LAST_DAY = 20_000
PLACES = {"s1": 0, "s2": 1}


def migration(customer_id: str, at_ms: int, **changes: Any) -> Migration:
    origin, target = SegmentReference("s1", "Champions"), SegmentReference("s2", "Loyal")
    own = {
        "segmentation": "value",
        "from_segment": origin,
        "to_segment": target,
        "change": "moved",
        "cause": Cause("lapse"),
        "model_version": 7,
        "explanation": Explanation("Silent for 30 days; Champions → Loyal."),
    }
    return Migration(customer_id=customer_id, effective_at=format_instant(at_ms), **own | changes)


def told(moves: list[Migration], timezone: str = "UTC") -> dict[str, Any]:
    taken = NewestMoves({"value": 7}, END_MS, timezone)
    for move in moves:
        taken.add(move)
    return taken.document("value", PLACES)


def test_the_moves_of_the_last_days_are_told_of_everybody() -> None:
    first_ms = (LAST_DAY - RECENT_DAYS + 1) * DAY_MS
    moves = [migration(f"c{number}", at_ms) for number, at_ms in enumerate((0, first_ms - 1, first_ms, END_MS))]
    moves.append(migration("c9", END_MS, from_segment=None, change="entered"))
    recent = told(moves)["recent"]
    assert recent["firstDay"] == LAST_DAY - RECENT_DAYS + 1
    assert recent["id"] == ["c2", "c3", "c9"]
    assert list(accumulate(recent["at"])) == [first_ms // 1_000, END_MS // 1_000, END_MS // 1_000]
    assert (recent["from"], recent["to"]) == ([0, 0, -1], [1, 1, 1])


def test_the_last_days_are_those_of_the_shop() -> None:
    recent = told([migration("c1", END_MS)], "America/New_York")["recent"]
    assert recent["firstDay"] == LAST_DAY - RECENT_DAYS, "an hour past midnight of UTC is the evening before"


def test_of_too_many_only_whole_days_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "RECENT_MAX", 4)
    days = (19_990, 19_991, 19_991, 19_995, 19_996, 19_997)
    recent = told([migration(f"c{number}", day * DAY_MS) for number, day in enumerate(days)])["recent"]
    assert recent["firstDay"] == 19_992
    assert recent["id"] == ["c3", "c4", "c5"], "of the 11th day one has been dropped, so none is told"


def test_moves_of_the_newest_version_are_told_with_their_sentences() -> None:
    by_model = {"cause": Cause("model")}
    moves = [
        migration("c1", 0, **by_model),
        migration("c2", 0, **by_model, model_version=6),
        migration("c3", 0),
        migration("c4", 0, **by_model, to_segment=None),
    ]
    document = told(moves)
    assert document["version"] == 7
    assert [(move["id"], move["from"], move["to"]) for move in document["moves"]] == [
        ("c1", "s1", "s2"),
        ("c4", "s1", None),
    ]
    assert document["moves"][0]["sentence"] == "Silent for 30 days."


def test_no_more_of_a_version_are_told_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "VERSION_MAX", 2)
    moves = [migration(f"c{number}", 0, cause=Cause("model")) for number in range(5)]
    assert [move["id"] for move in told(moves)["moves"]] == ["c0", "c1"]
