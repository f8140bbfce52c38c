"""Series of events as bytes: how much is kept, whatever comes, and in rows."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from stream_app.core.clock import DAY_MS, HOUR_MS
from stream_app.native.library import DAMAGED, NO_ROOM, OUT_OF_RANGE, function
from stream_app.native.programs import LEDGER_MAX, NativeProgram, Subject, _Ledger
from stream_app.native.structures import SERIES_MAX, Bytes
from stream_app.segmentations.rules.compiling.program import Compiler, Definition
from tests.native.subjects import Happened, Numbers, audience, lived, means, note, program, segmentation

CONDITIONS: tuple[dict[str, Any], ...] = (
    {"event": "x", "last": "30d", "at_least": 3},
    {"event": "x", "between_ago": ["1d", "2d"]},
    {"event": "x", "sum": "value", "last": "30d", "at_least": 500},
    {"event": "x", "max": "value", "last": "30d", "at_least": 3},
    {"event": "x", "calendar": {"days": 3, "today": False, "timezone": "UTC"}, "at_least": 2},
    {"event": "x"},
    {"event": "x", "average": "value", "at_least": 2},
    {"first_event": "x", "last": "9d"},
    {"event": "x", "decayed_sum": "value", "half_life": "9d", "at_least": 2},
    {"last_event": "x", "has": [{"field": "value", "at_least": 2}]},
)


def everything() -> NativeProgram:
    """Return rules that keep series of all shapes."""
    return program(*(audience(f"a{number}", when) for number, when in enumerate(CONDITIONS)))


def busy(count: int, every_ms: int = HOUR_MS, seed: int = 0) -> list[Happened]:
    draw = random.Random(seed)
    return [Happened(number * every_ms, "x", {"value": float(draw.choice((1, 2, 3)))}) for number in range(count)]


def test_series_takes_two_bytes_beside_its_instants() -> None:
    rules = program(*(audience(name, {"event": name, "last": "30d", "at_least": 3}) for name in ("x", "y", "z")))
    customer = lived(rules, [Happened(number, name) for name in "xyz" for number in range(9)])
    assert len(customer.ledger) == 3 * (2 + 4 * 6)  # of three and more, four are kept


@pytest.mark.parametrize(("times", "kept"), [(1, 3), (3, 10)])
def test_windows_that_end_before_now_need_few_of_many_instants(times: int, kept: int) -> None:
    rules = program({"event": "x", "between_ago": ["30d", "90d"], "at_least": times})
    customer = lived(rules, [Happened(number * DAY_MS // 100, "x") for number in range(12_000)])
    assert (len(customer.ledger) - 4) // 6 <= kept


def test_sums_of_up_to_256_events_are_exact_and_others_within_a_bucket() -> None:
    when = {"event": "x", "sum": "value", "last": "30d", "at_least": 400}
    happened = busy(700, 3 * HOUR_MS)
    customer = lived(program(when), happened)
    last_ms = happened[-1].at_ms
    leaves_ms, _ = customer.silence(0, last_ms, 2**62)
    exact_ms = next(at for at in range(last_ms, last_ms + 30 * DAY_MS, HOUR_MS) if not means(when, happened, at))
    assert 0 <= leaves_ms - exact_ms <= 30 * DAY_MS // 128
    assert len(customer.ledger) < 256 * 14 + 140 * 18


def test_sum_is_the_same_in_whatever_order_a_thousand_events_come() -> None:
    rules = program({"event": "x", "sum": "value", "last": "30d", "at_least": 400})
    happened = busy(1_000, 2 * HOUR_MS)
    ledgers = set()
    for seed in range(4):
        random.Random(seed).shuffle(happened)
        customer = Subject(rules, "c")
        for each in happened:
            note(customer, each, 2_000 * HOUR_MS)
        ledgers.add(customer.ledger)
    assert len(ledgers) == 1


def test_oldest_entries_go_where_a_ledger_is_full() -> None:
    sums = ({"event": "x", "sum": "value", "last": f"{days}d", "at_least": 1} for days in range(1, 30))
    rules = program(*(audience(f"a{number}", when) for number, when in enumerate(sums)))
    customer = Subject(rules, "c")
    statuses = {note(customer, each) for each in busy(2_000, 20_000)}
    assert statuses == {0, NO_ROOM}
    assert LEDGER_MAX - 10_000 < len(customer.ledger) <= LEDGER_MAX
    assert set(customer.evaluate(2_000 * 20_000).targets) == {0}


def test_definition_that_needs_no_more_finds_what_was_counted_and_others_begin_anew() -> None:
    table = Numbers(["a"])
    customer = lived(program({"event": "x", "last": "7d", "at_least": 2}, table=table), busy(9, DAY_MS))
    customer.program = program({"event": "x", "last": "30d", "at_least": 4}, table=table)
    assert customer.evaluate(20 * DAY_MS).targets == [0]
    assert len(table.digests) == 1
    customer.program = program({"event": "x", "last": "30d", "at_least": 5}, table=table)
    assert customer.evaluate(20 * DAY_MS).targets == [-1]
    assert len(table.digests) == 2


def test_series_of_a_definition_are_the_same_whatever_others_there_are() -> None:
    when = {"event": "x", "between_ago": ["3d", "9d"], "at_least": 2}
    alone, among = Numbers(["a"]), Numbers(["a", "b"])
    program(when, table=alone)
    program(audience("a", when), audience("b", when | {"at_least": 9, "between_ago": ["1d", "90d"]}), table=among)
    assert set(alone.digests) < set(among.digests)


# --- in rows ---------------------------------------------------------------------------------------------------------

_NumberOf = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_uint64)


@cache
def _functions() -> tuple[Callable[..., Any], Callable[..., Any]]:
    size, pointer = ctypes.c_int64, ctypes.c_void_p
    to_row = function("seg_ledger_to_row", size, Bytes, pointer, size, pointer, size)
    from_row = function("seg_ledger_from_row", ctypes.c_int32, Bytes, _NumberOf, pointer, ctypes.POINTER(_Ledger))
    return to_row, from_row


def as_bytes(data: bytes) -> tuple[Bytes, Any]:
    buffer = (ctypes.c_uint8 * max(1, len(data))).from_buffer_copy(data or b"\0")
    return Bytes(ctypes.addressof(buffer), len(data)), buffer


def to_row(ledger: bytes, digests: np.ndarray) -> bytes | int:
    form, _kept = as_bytes(ledger)
    room = int(_functions()[0](form, digests.ctypes.data, len(digests), None, 0))
    if room < 0:
        return room
    out = np.zeros(max(1, room), np.uint8)
    assert _functions()[0](form, digests.ctypes.data, len(digests), out.ctypes.data, room) == room
    assert not room or _functions()[0](form, digests.ctypes.data, len(digests), out.ctypes.data, room - 1) == NO_ROOM
    return out[:room].tobytes()


def from_row(row: bytes, numbers: dict[int, int]) -> bytes | int:
    form, _kept = as_bytes(row)
    out = _Ledger()
    status = _functions()[1](form, _NumberOf(lambda _, digest: numbers.get(digest, -4)), None, out)
    return bytes(memoryview(out.data)[: out.size]) if status == 0 else int(status)


def test_row_has_digests_in_their_order_and_comes_back_under_other_numbers() -> None:
    ledger = lived(everything(), busy(40)).ledger
    rng = np.random.default_rng(1)
    digests = rng.integers(0, 2**63, 20, np.uint64)
    row = to_row(ledger, digests)
    assert isinstance(row, bytes)
    there = {int(digest): SERIES_MAX - 1 - number for number, digest in enumerate(digests.tolist())}
    back = from_row(row, there)
    assert isinstance(back, bytes)
    assert back != ledger
    elsewhere = np.zeros(SERIES_MAX, np.uint64)
    elsewhere[list(there.values())] = list(there)
    assert to_row(back, elsewhere) == row
    assert from_row(row, {int(digest): number for number, digest in enumerate(digests.tolist())}) == ledger
    assert from_row(row, {}) == -4
    assert to_row(ledger, digests[:3]) == OUT_OF_RANGE


def test_row_that_says_anything_is_refused_or_well_formed() -> None:
    digests = np.arange(1, 21, dtype=np.uint64)
    numbers = {digest: digest - 1 for digest in range(1, 21)}
    rules = everything()
    row = to_row(lived(rules, busy(400)).ledger, digests)
    assert isinstance(row, bytes)
    draw = random.Random(5)
    refused = 0
    for _ in range(3_000):
        mutant = bytearray(row)
        for _ in range(draw.randint(1, 3)):
            mutant[draw.randrange(len(mutant))] = draw.choice((0, 1, 7, 31, 0xE0, 255, draw.randrange(256)))
        del mutant[draw.choice((len(mutant), draw.randrange(len(mutant)))) :]
        back = from_row(bytes(mutant), numbers)
        if isinstance(back, int):
            refused += back == DAMAGED
            continue
        assert isinstance(to_row(back, digests), bytes)
        customer = Subject(rules, "c")
        ctypes.memmove(customer._ledger.data, back, len(back))
        customer._ledger.size = len(back)
        customer.evaluate(400 * HOUR_MS)
        note(customer, Happened(401 * HOUR_MS, "x", {"value": 1.0}))
        assert isinstance(to_row(customer.ledger, digests), bytes)
    assert refused > 500


# --- forms -----------------------------------------------------------------------------------------------------------


def form_of() -> bytes:
    """Return a form with something of everything."""
    leaves = [
        *CONDITIONS,
        {"sequence": ["x", "y"], "within": "1d", "last": "3d"},
        {"regularly": "x", "each": "1d", "in_at_least": 2, "of_last": 4},
        {"figure": "recency_days", "at_most": 30},
        {"trait": "t", "in": ["a", 1]},
        {"trait": "t", "equals": "a", "held_for": {"at_least": "3d"}},
        {"trait": "b", "anniversary": {"in_next": "3d", "timezone": "Europe/Rome"}},
        {"random": {"salt": "s", "to_percent": 50}},
        {"segmentation": "b", "for_at_least": "3d"},
    ]
    ruled = [segmentation(audience("a", {"any": leaves})), segmentation(audience("b", {"event": "y*", "last": "3d"}))]
    definitions = [Definition(each.name, each.definition, each.roster) for each in ruled]
    numbers = Numbers([])
    return Compiler(definitions, [], {}).compile(numbers.series_number, 100, dated=False).form


def test_damaged_form_is_refused_or_can_be_evaluated() -> None:
    form = form_of()
    happened = busy(20)
    draw = random.Random(7)
    refused = 0
    for _ in range(4_000):
        mutant = bytearray(form)
        at = draw.randrange(len(mutant) // 4) * 4
        number = draw.choice((0, 1, 2, 5, 255, 2**31 - 1, -1, -(2**31), draw.randrange(2**31)))
        mutant[at : at + 4] = number.to_bytes(4, "little", signed=True)
        try:
            rules = NativeProgram(bytes(mutant))
        except ValueError:
            refused += 1
            continue
        customer = lived(rules, happened)
        verdict = customer.evaluate(20 * HOUR_MS)
        customer.may_move(21 * HOUR_MS, verdict.due_ms)
        for rule in range(rules.shape.segmentations):
            customer.silence(rule, 20 * HOUR_MS, 30 * DAY_MS)
            customer.explain(rule, customer, 0, 20 * HOUR_MS)
    assert refused > 500


@pytest.mark.parametrize("size", [0, 79, 80, -1, -8])
def test_form_of_another_length_is_refused(size: int) -> None:
    form = form_of()
    with pytest.raises(ValueError, match="expected a form"):
        NativeProgram(form[:size])
    with pytest.raises(ValueError, match="expected a form"):
        NativeProgram(form + bytes(8))
