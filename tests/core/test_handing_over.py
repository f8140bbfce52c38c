"""Customers of many ids over several partitions: the same rows and members as in one table, whenever rows arrive."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from stream_app.core.clock import DAY_MS
from stream_app.core.events import CONSENT, ENGAGEMENT, PURCHASE, Event, pack_events
from stream_app.core.handing_over import Ended, Going, Handed, end_ids, event_of, take_over
from stream_app.core.identities import MERGE_STATEMENT, Identities, Merge, Statement
from stream_app.core.kept import encode_kept
from stream_app.core.partition import Partition
from stream_app.core.processor import Outcome, process_events, sweep
from stream_app.errors import SegmenterError
from stream_app.segmentations.file import MODELS
from stream_app.segmentations.registry import build_segmentation
from stream_app.segmentations.rules.zones import in_zone
from tests.reference.ids import ENGAGEMENTS_LEAST, unpack_ids
from tests.reference.row import decode_row
from tests.segmentations.examples import COLD_START
from tests.support.events import START_MS, profile

PARTITIONS = 4
IDS = [f"id{number}" for number in range(12)]
AUDIENCES: tuple[dict[str, Any], ...] = (
    {"event": "view", "last": "9d", "at_least": 2},
    {"event": "view", "at_most": 3},
    {"trait": "plan", "equals": "pro"},
    {"event": "order_completed", "sum": "amount", "last": "30d", "at_least": 50},
)


def partition() -> Partition:
    entries = [{"kind": "audience", "name": f"a{number}", "when": when} for number, when in enumerate(AUDIENCES)]
    rules = [build_segmentation(in_zone(MODELS["audience"].model_validate(each), "UTC"), {}, None) for each in entries]
    return Partition([COLD_START, *rules])


def hand_over(of: Partition, ended: str, into: str, at_ms: int) -> Ended | None:
    """Let an id end whose customer is in another partition; None if nothing is known of it."""
    number = of.table.find(ended)
    if number < 0 or of.table.has_ended(number):
        return None
    return end_ids(of, [Going(ended, into, at_ms, 0, stays=False)])


def bring(into: Partition, *handed: Handed) -> Outcome:
    events = pack_events([event_of(each) for each in handed], [0] * len(handed), 0)
    return take_over(into, events, [each.row for each in handed])


def home(customer_id: str) -> int:
    return IDS.index(customer_id) % PARTITIONS


class Spread:
    """Partitions whose statements and rows arrive whenever chance lets them."""

    def __init__(self, count: int, draw: Random) -> None:
        self.partitions = [partition() for _ in range(count)]
        self.sequences: dict[tuple[str, int], list[int]] = {}
        self._draw = draw
        self._identities = Identities()
        self._open: list[list[tuple[Merge, int]]] = [[] for _ in range(count)]
        self._arriving: list[list[Handed]] = [[] for _ in range(count)]

    def place(self, customer_id: str) -> int:
        return home(customer_id) % len(self.partitions)

    def take(self, happened: Event | Statement) -> None:
        if isinstance(happened, Statement):
            answer = self._identities.take(happened)
            for merge in answer if isinstance(answer, list) else ():
                for waiting in self._open:
                    waiting.append((merge, happened.at_ms))
        else:
            event = msgspec.structs.replace(happened, customer_id=self._identities.end_of(happened.customer_id))
            number = self.place(event.customer_id)
            self._note(number, process_events(self.partitions[number], pack_events([event], [0], 0)))
        for number in range(len(self.partitions)):
            if self._draw.random() < 0.3:
                self.catch_up(number, 1)

    def catch_up(self, number: int, limit: int = 10**9) -> None:
        for _ in range(min(limit, len(self._open[number]))):
            merge, at_ms = self._open[number].pop(0)
            if self.place(merge.ended) == number:
                ended = self._end(number, merge, at_ms)
                if ended is not None:
                    self._note(number, ended.outcome)
                    for each in ended.handed:
                        self._arriving[self.place(each.into)].append(each)
        for _ in range(min(limit, len(self._arriving[number]))):
            handed = self._arriving[number].pop(self._draw.randrange(len(self._arriving[number])))
            end = self._identities.end_of(handed.into)
            if self.place(end) != number:  # it goes by another id by now: passed on, like an event
                self._arriving[self.place(end)].append(handed._replace(into=end))
                continue
            self._note(number, bring(self.partitions[number], handed._replace(into=end)))

    def _end(self, number: int, merge: Merge, at_ms: int) -> Ended | None:
        if self.place(merge.into) != number or self._draw.random() < 0.3:  # it may go to itself, too
            return hand_over(self.partitions[number], *merge, at_ms)
        table = self.partitions[number].table
        row = table.find(merge.ended)
        if row < 0 or table.has_ended(row):
            return None
        return end_ids(self.partitions[number], [Going(*merge, at_ms, 0, stays=True)])

    def finish(self) -> None:
        while any(map(len, (*self._open, *self._arriving))):
            for number in range(len(self.partitions)):
                self.catch_up(number)
        for number, each in enumerate(self.partitions):
            self._note(number, sweep(each, START_MS + 400 * DAY_MS))

    def _note(self, number: int, outcome: Outcome) -> None:
        table = self.partitions[number].table
        for move in outcome.moves:
            key = table.customer_ids[int(move["row"])], int(move["segmentation"])
            assert key[0].isprintable()
            self.sequences.setdefault(key, []).append(int(move["sequence"]))

    def state(self) -> dict[str, tuple[Any, ...]]:
        found = {}
        for each in self.partitions:
            table = each.table
            for number, customer_id in enumerate(table.customer_ids):
                if table.has_ended(number):
                    assert not table.places["segment"][: len(AUDIENCES), number].any()
                    continue
                row = decode_row(table.encode(number))[0]
                counts = (row.purchases, row.refunds, row.engagements, row.revenue_minor, row.first_at_ms)
                days = (row.active_day_bits, row.engaged_day_bits, row.gaps, row.orders)
                known = unpack_ids(row.recent_events).engagements if row.engagements <= ENGAGEMENTS_LEAST else ()
                ids = tuple(sorted(each[:4] for each in known))
                members = tuple(table.places["segment"][: len(AUDIENCES), number].tolist())
                found[customer_id] = (counts, days, ids, members, table.traits_of(customer_id))
        return found


def world(draw: Random) -> list[Event | Statement]:
    happened: list[Event | Statement] = []
    for number in range(draw.randrange(5, 60)):
        at_ms, customer_id = START_MS + draw.randrange(60) * DAY_MS + number, draw.choice(IDS)
        kind = draw.choice(("view", "view", "order", "profile", "merge"))
        if kind == "merge":
            ended, into = draw.sample(IDS, 2)
            happened.append(Statement(at_ms, ended, into, MERGE_STATEMENT))
        elif kind == "profile":
            happened.append(profile((at_ms - START_MS) / DAY_MS, customer_id, plan=draw.choice(("pro", "free"))))
        elif kind == "order":
            happened.append(
                Event(
                    PURCHASE, customer_id, f"p{number}", at_ms, "order_completed", draw.randrange(9_000), f"o{number}"
                )
            )
        else:
            happened.append(Event(ENGAGEMENT, customer_id, f"e{number}", at_ms, "view"))
    return happened


@pytest.mark.parametrize("seed", range(150))
def test_partitions_end_in_the_state_of_one_table_in_whatever_order_all_arrives(seed: int) -> None:
    draw = Random(seed)
    happened = world(draw)
    states = []
    for count in (1, PARTITIONS, PARTITIONS):
        spread = Spread(count, draw)
        for each in happened:
            spread.take(each)
        spread.finish()
        states.append(spread.state())
        assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in spread.sequences.values())
        draw.shuffle(happened)
    assert states[1] == states[0]
    assert states[2] == states[0]


def test_row_that_arrives_keeps_sums_over_members_as_a_recount_has_them() -> None:
    here, there = partition(), partition()
    process_events(there, pack_events([Event(PURCHASE, "id1", "p", START_MS, "order_completed", 900, "o")], [0], 0))
    process_events(here, pack_events([Event(ENGAGEMENT, "id0", "e", START_MS, "view")], [0], 0))
    kept = [here.table.members(number) for number in range(1 + len(AUDIENCES))]
    ended = hand_over(there, "id1", "id0", START_MS)
    assert ended is not None
    assert kept
    outcome = bring(here, *ended.handed)
    assert list(here.table.customer_ids) == ["id0"]
    assert outcome.changed.tolist() == [here.table.find("id0")]
    kept = [here.table.members(number) for number in range(1 + len(AUDIENCES))]
    here.table._member_sums = None
    assert kept == [here.table.members(number) for number in range(1 + len(AUDIENCES))]


def consent(day: int, customer_id: str, *, is_granted: bool) -> Event:
    kept = encode_kept([(b"consent.segmentation", is_granted)])
    return Event(CONSENT, customer_id, "", START_MS + day * DAY_MS, "consent", kept=kept)


@pytest.mark.parametrize("stays", [False, True])
def test_withdrawal_under_an_id_holds_for_the_customer_that_it_goes_by(stays: bool) -> None:
    there = partition()
    here = there if stays else partition()
    views = [Event(ENGAGEMENT, "id0", f"e{number}", START_MS + number * DAY_MS, "view") for number in range(3)]
    process_events(here, pack_events(views, [0] * 3, 0))
    acts = [Event(ENGAGEMENT, "id1", "e", START_MS, "view"), consent(3, "id1", is_granted=False)]
    process_events(there, pack_events(acts, [0, 0], 0))
    assert here.table.places["segment"][: len(AUDIENCES), here.table.find("id0")].any()
    assert not there.table.has_ended(there.table.find("id1")), "what it has said of consent is not lost"
    ended = end_ids(there, [Going("id1", "id0", START_MS + 4 * DAY_MS, 0, stays=stays)])
    if not stays:
        bring(here, *ended.handed)
    assert there.table.has_ended(there.table.find("id1"))
    number = here.table.find("id0")
    assert here.table.is_barred(number)
    assert not here.table.places["segment"][: len(AUDIENCES), number].any()
    assert here.table.traits_of("id0") == {"consent.segmentation": False}
    late = Event(ENGAGEMENT, "id0", "late", START_MS + 5 * DAY_MS, "view")
    assert process_events(here, pack_events([late], [0], 0)).not_profiled == 1


def test_id_that_arrives_at_a_customer_who_has_withdrawn_brings_nothing_back() -> None:
    here, there = partition(), partition()
    process_events(here, pack_events([consent(1, "id0", is_granted=False)], [0], 0))
    process_events(there, pack_events([Event(PURCHASE, "id1", "p", START_MS, "order_completed", 900, "o")], [0], 0))
    ended = hand_over(there, "id1", "id0", START_MS + 2 * DAY_MS)
    assert ended is not None
    outcome = bring(here, *ended.handed)
    number = here.table.find("id0")
    assert here.table.is_barred(number)
    assert int(here.table.activity["purchases"][number]) == 0
    assert not len(outcome.moves)


def test_id_that_nobody_knows_has_nothing_to_hand_over() -> None:
    there = partition()
    assert hand_over(there, "id1", "id0", START_MS) is None
    process_events(there, pack_events([Event(ENGAGEMENT, "id1", "e", START_MS, "view")], [0], 0))
    assert hand_over(there, "id1", "id0", START_MS) is not None
    assert hand_over(there, "id1", "id0", START_MS) is None
    assert np.count_nonzero(there.table.places["segment"]) == 0


def test_rows_that_arrive_together_are_all_taken_in_and_name_the_ids_that_ended() -> None:
    there, here = partition(), partition()
    for number in range(1, 4):
        event = Event(PURCHASE, f"id{number}", f"p{number}", START_MS, "order_completed", 900, f"o{number}")
        process_events(there, pack_events([event], [0], 0))
    ended = end_ids(there, [Going(f"id{number}", "id0", START_MS, number, stays=False) for number in range(1, 4)])
    assert [int(each) for each in ended.events.records["offset"]] == [1, 2, 3]
    bring(here, *ended.handed)
    assert list(here.table.customer_ids) == ["id0"]
    assert int(here.table.activity["purchases"][0]) == 3


def test_time_does_not_pass_with_what_is_said_of_ids() -> None:
    there = partition()
    process_events(there, pack_events([Event(ENGAGEMENT, "id1", "e", START_MS, "view")], [0], 0))
    end_ids(there, [Going("id1", "id0", START_MS + DAY_MS, 0, stays=True)])
    assert there.clock.watermark_ms == START_MS


def test_row_that_cannot_be_read_leaves_nothing_behind() -> None:
    here = partition()
    handed = Handed("id1", "id0", START_MS, b"\xff\xff\xff")
    with pytest.raises(SegmenterError):
        bring(here, handed)
    assert list(here.table.customer_ids) == ["id0"]
