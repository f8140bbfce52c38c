from __future__ import annotations

import numpy as np
from xxhash import xxh3_64_intdigest

from stream_app.core.marks import REFUSED, SALT_BYTES, Mark, Marks, mark_hashes
from stream_app.core.records import NO_RECORDS, TOMBSTONE, batch_of
from tests.support.events import instant, purchase

SALT = bytes(range(SALT_BYTES))


def test_hash_is_siphash_2_4() -> None:
    """By the vector of the paper: key 00 to 0f, message 00 to 07."""
    message = np.array([int.from_bytes(bytes(range(8)), "little")], np.uint64)
    assert mark_hashes(message, SALT).tolist() == [0x93F5F5799A932462]


def marks_of(**marks: Mark) -> Marks:
    made = Marks(SALT)
    for customer_id, mark in marks.items():
        made.put(made.hash_of(xxh3_64_intdigest(customer_id.encode())), mark)
    return made


def test_what_is_before_the_mark_is_refused_and_what_is_behind_it_returns_once() -> None:
    events = [purchase(day, customer_id=customer_id) for day in range(4) for customer_id in ("c1", "c2", "c3")]
    batch = batch_of([*events, TOMBSTONE], 0, range(len(events) + 1), 0)
    marks = marks_of(c1=Mark(instant(2)), c2=Mark(instant(1), is_suppressed=True))
    sifted = marks.sift(batch)
    others = dict(sifted.batch.others_by_index())
    assert sorted(index for index, other in others.items() if other is REFUSED) == [0, 1, 3, 4, 7, 10]
    assert others[12] is TOMBSTONE
    assert sifted.returning.tolist() == [6], "the first of c1 that counts; c3 has no mark"
    assert batch.is_event[0], "the batch itself stays as it is"


def test_batch_without_anybody_who_is_marked_is_the_same() -> None:
    batch = batch_of([purchase(0, customer_id="c3")], 0, [0], 0)
    sifted = marks_of(c1=Mark(instant(2))).sift(batch)
    assert sifted.batch is batch
    assert not len(sifted.returning)
    assert not len(marks_of(c1=Mark(0)).sift(NO_RECORDS).returning)


def test_marks_have_their_time_but_for_those_of_suppressed_customers() -> None:
    marks = marks_of(
        c1=Mark(0, accepted_ms=5), c2=Mark(0, accepted_ms=5, is_suppressed=True), c3=Mark(0, accepted_ms=9)
    )
    (expired,) = marks.expired(9)
    marks.drop(expired)
    marks.drop(expired)
    assert len(marks) == 2
    assert not marks.expired(9)
