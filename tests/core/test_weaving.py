"""Statements among events: what stands in their place, and under which id events are taken in."""

from __future__ import annotations

import numpy as np
import pytest

from stream_app.core.events import ENGAGEMENT, MERGE, Event, Events, pack_events
from stream_app.core.identities import IdentityRules
from stream_app.core.partition import Reached, Sweeps
from stream_app.core.trust import Trust
from stream_app.core.weaving import Weaver, statement_of


def visit(customer_id: str, at_ms: int) -> Event:
    return Event(ENGAGEMENT, customer_id, f"{customer_id} {at_ms}", at_ms, "view", kept=b"kept")


def said(alias: str, customer_id: str, at_ms: int, kind: str = "link", namespace: bytes = b"device") -> Event:
    return Event(MERGE, customer_id, alias, at_ms, kind, kept=namespace)


def chunk(*events: Event) -> Events:
    return pack_events(events, np.arange(len(events)), 0)


def told(events: Events) -> list[tuple[str, str]]:
    return [(event.customer_id, event.event_id) for event in map(events.event, range(len(events)))]


def test_chunk_without_statements_is_not_looked_at() -> None:
    assert Weaver().weave(chunk(visit("a", 1))) is None


def test_events_count_for_whom_their_customer_is_when_they_come() -> None:
    woven = Weaver().weave(chunk(visit("a", 1), said("a", "b", 2), visit("a", 3), visit("b", 4)))
    assert woven is not None
    assert told(woven.events) == [("a", "a 1"), ("b", "a"), ("b", "a 3"), ("b", "b 4")]
    renamed = woven.events.event(2)
    assert (renamed.type, renamed.kept, renamed.at_ms) == ("view", b"kept", 3)
    assert woven.sources.tolist() == [0, 1, 2, 3]


def test_ids_that_are_known_are_found_in_later_chunks() -> None:
    weaver = Weaver()
    weaver.weave(chunk(said("a", "b", 1)))
    assert weaver.weave(chunk(visit("c", 2))) is None
    assert weaver.weave(chunk(visit("b", 2))) is None
    woven = weaver.weave(chunk(visit("c", 3), visit("a", 3)))
    assert woven is not None
    assert told(woven.events) == [("c", "c 3"), ("b", "a 3")]


def test_statement_that_says_nothing_new_leaves_and_one_of_two_merges_is_two() -> None:
    weaver = Weaver()
    weaver.weave(chunk(said("a", "b", 5, "merge"), said("c", "d", 5, "merge")))
    woven = weaver.weave(chunk(said("a", "b", 6, "merge"), said("d", "a", 1, "merge"), visit("c", 7)))
    assert woven is not None
    assert woven.sources.tolist() == [1, 2]
    assert told(woven.events) == [("b", "d"), ("b", "c 7")]


def test_refused_statement_is_named_with_its_place() -> None:
    woven = Weaver().weave(chunk(visit("a", 1), said("a", "a", 2)))
    assert woven is not None
    assert [(index, refused.reason) for index, refused in woven.refused] == [(1, "identity_cycle")]
    assert len(woven.events) == 1


def test_sweeps_and_watermarks_stay_where_they_were() -> None:
    woven = Weaver().weave(chunk(visit("a", 1), said("a", "a", 2), visit("a", 3), said("a", "b", 4)))
    assert woven is not None
    assert woven.sweeps(Sweeps(np.array([1, 2, 3]), np.array([0, 2, 4]))).before.tolist() == [0, 1, 3]
    reached = woven.reached(Reached(np.array([10, 20, 30, 40]), Trust()))
    assert reached is not None
    assert reached.watermarks_ms.tolist() == [10, 30, 40]
    assert woven.reached(None) is None


def test_statement_is_left_out_on_demand() -> None:
    weaver = Weaver(without=frozenset({("a", "b")}))
    woven = weaver.weave(chunk(said("a", "b", 1), said("c", "b", 1), visit("a", 2), visit("c", 2)))
    assert woven is not None
    assert told(woven.events)[1:] == [("a", "a 2"), ("b", "c 2")]


def test_events_of_the_past_are_read_under_the_ids_of_now() -> None:
    weaver = Weaver()
    past = chunk(visit("a", 1), said("a", "b", 2), visit("b", 3))
    assert told(weaver.rewrite(past)) == [("a", "a 1"), ("b", "b 3")]
    weaver.weave(past)
    assert told(weaver.rewrite(past)) == [("b", "a 1"), ("b", "b 3")]


@pytest.mark.parametrize("aliases", [10, 5_000])
def test_any_number_of_aliases_is_found(aliases: int) -> None:
    weaver = Weaver(IdentityRules(merges_max=10**6, namespaces={}))
    for number in range(aliases):
        weaver.take(statement_of(chunk(said(f"a{number}", f"c{number}", 1)).event(0)))
    woven = weaver.weave(chunk(*(visit(f"a{number}", 2) for number in range(aliases))))
    assert woven is not None
    assert told(woven.events) == [(f"c{number}", f"a{number} 2") for number in range(aliases)]


def test_state_is_gone_on_from() -> None:
    weaver, other = Weaver(), Weaver()
    weaver.weave(chunk(said("a", "b", 1)))
    other.load_state(weaver.identities.state())
    woven = other.weave(chunk(visit("a", 2)))
    assert woven is not None
    assert told(woven.events) == [("b", "a 2")]


def test_some_events_are_renamed_on_demand() -> None:
    weaver = Weaver()
    weaver.weave(chunk(said("a", "b", 1)))
    events = chunk(visit("a", 2), visit("a", 3), visit("c", 4))
    assert told(weaver.rename(events, np.array([1, 2]))) == [("a", "a 2"), ("b", "a 3"), ("c", "c 4")]
    assert told(weaver.rename(events, np.array([], np.intp))) == told(events)
