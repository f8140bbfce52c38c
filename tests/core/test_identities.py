"""Which ids are one customer's, whatever the order in which that is said; and what is not believed."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.identities import (
    LINK,
    MERGE_STATEMENT,
    Identities,
    IdentityRules,
    Merge,
    Namespace,
    Refused,
    Statement,
)


def merge(alias: str, customer_id: str, at_ms: int = 0) -> Statement:
    return Statement(at_ms, alias, customer_id, MERGE_STATEMENT)


def link(alias: str, customer_id: str, at_ms: int = 0, namespace: str = "") -> Statement:
    return Statement(at_ms, alias, customer_id, LINK, namespace)


def taken(*said: Statement, rules: IdentityRules | None = None) -> tuple[Identities, list[list[Merge] | Refused]]:
    identities = Identities(rules or IdentityRules())
    return identities, [identities.take(each) for each in said]


def reason(answer: list[Merge] | Refused) -> str:
    assert isinstance(answer, Refused)
    return answer.reason


def test_what_an_id_has_goes_to_the_customer_that_it_is_said_to_be() -> None:
    identities, answers = taken(merge("a", "b"))
    assert answers == [[Merge("a", "b")]]
    assert (identities.end_of("a"), identities.end_of("b"), identities.end_of("c"), len(identities)) == (
        "b",
        "b",
        "c",
        1,
    )


def test_saying_it_again_changes_nothing() -> None:
    _, answers = taken(merge("a", "b", 1), merge("a", "b", 2), merge("a", "b", 0))
    assert answers[1:] == [[], []]


def test_chain_is_followed_to_its_end_whichever_part_comes_first() -> None:
    for said in permutations([merge("a", "b", 1), merge("b", "c", 2), merge("c", "d", 3)]):
        identities, _ = taken(*said)
        assert {each: identities.end_of(each) for each in "abcd"} == dict.fromkeys("abcd", "d")


def test_circle_is_refused() -> None:
    _, answers = taken(
        merge("a", "b", 1), merge("b", "c", 2), merge("c", "a", 3), merge("c", "b", 4), merge("a", "a", 5)
    )
    assert [reason(answer) for answer in answers[2:]] == ["identity_cycle"] * 3


def test_id_that_is_connected_already_is_no_news() -> None:
    identities, answers = taken(merge("a", "b", 1), merge("b", "c", 2), merge("a", "c", 3))
    assert answers[2] == []
    assert identities.end_of("a") == "c"


def test_what_is_earlier_in_time_wins_over_what_came_first() -> None:
    identities, answers = taken(merge("b", "a", 2), merge("a", "b", 1))
    assert identities.end_of("a") == "b"
    assert answers[1] == [Merge("a", "b")]


@given(st.integers(0, 10_000))
@settings(max_examples=300)
def test_ends_and_moved_state_are_free_of_the_order_of_arrival(seed: int) -> None:
    draw = Random(seed)
    ids = "abcdefg"
    said = [merge(*draw.sample(ids, 2), draw.randrange(20)) for _ in range(draw.randrange(1, 10))]
    found = []
    for _ in range(3):
        draw.shuffle(said)
        identities, state = Identities(), {each: {each} for each in ids}
        for each in said:
            answer = identities.take(each)
            for ended, into in answer if isinstance(answer, list) else ():
                state[into] |= state[ended]
                state[ended] = set()
            assert all(identities.end_of(end) == end for end in identities.ends.values())
        assert all(each in state[identities.end_of(each)] for each in ids)
        found.append((identities.ends, state))
    assert found[1:] == found[:1] * 2


def test_alias_of_two_customers_goes_by_neither_from_then_on() -> None:
    said = [link("kiosk", "u1", 1), link("phone", "u1", 1), link("kiosk", "u2", 2), link("kiosk", "u1", 3)]
    identities, answers = taken(*said)
    assert [reason(answer) for answer in answers[2:]] == ["shared_alias"] * 2
    assert [identities.end_of(each) for each in ("kiosk", "phone", "u2")] == ["kiosk", "u1", "u2"]
    assert identities.is_shared("kiosk")
    assert not identities.is_shared("phone")


def test_who_goes_by_a_shared_alias_does_so_still() -> None:
    identities, _ = taken(link("old kiosk", "kiosk", 1), link("kiosk", "u1", 2), link("kiosk", "u2", 3))
    assert identities.end_of("old kiosk") == "kiosk"
    assert identities.group_of("u1") is None


def test_alias_of_two_ids_of_one_customer_is_not_shared() -> None:
    identities, answers = taken(merge("u1", "u2", 1), link("phone", "u1", 2), link("phone", "u2", 3))
    assert answers[2] == []
    assert identities.end_of("phone") == "u2"


def test_shared_alias_that_stood_alone_is_forgotten_without_a_trace_of_others() -> None:
    identities = Identities()
    identities.take(link("phone", "u1", 1))
    identities.take(link("phone", "u2", 2))
    assert identities.ends == {}


@pytest.mark.parametrize("said", [link("0000", "u1"), link("phone", "ANONYMOUS")])
def test_blocked_ids_are_nobodys(said: Statement) -> None:
    rules = IdentityRules(blocked=frozenset({"0000", "anonymous"}))
    assert reason(taken(said, rules=rules)[1][0]) == "blocked_identity"


def test_customer_has_only_so_many_identifiers_of_a_sort() -> None:
    rules = IdentityRules(namespaces={"user_id": Namespace(1, 1), "device": Namespace(2, 2)})
    said = [link(f"d{number}", "u1", number, "device") for number in range(3)]
    said += [link(f"e{number}", "u1", number, "email") for number in range(6)]
    said += [
        link("d0", "u1", 9, "device"),
        link("x1", "u1", 9),
        link("a", "u1", 9, "user_id"),
        link("b", "u1", 9, "user_id"),
    ]
    refused = [reason(answer) if isinstance(answer, Refused) else "" for answer in taken(*said, rules=rules)[1]]
    assert refused == [
        *("", "", "too_many_identifiers"),
        *[""] * 5,
        "too_many_identifiers",
        "",
        "",
        "",
        "too_many_identifiers",
    ]


def test_identifiers_of_both_are_counted_where_two_customers_become_one() -> None:
    rules = IdentityRules(namespaces={"device": Namespace(2, 1)})
    _, answers = taken(link("d1", "u1", 1, "device"), link("d2", "u2", 1, "device"), merge("u1", "u2", 2), rules=rules)
    assert reason(answers[2]) == "too_many_identifiers"


def test_identifier_that_is_known_of_its_own_group_is_not_counted_twice() -> None:
    rules = IdentityRules(namespaces={"device": Namespace(2, 1)})
    _, answers = taken(link("d1", "u1", 1, "device"), merge("u3", "u2", 2), link("d1", "u2", 3, "device"), rules=rules)
    assert reason(answers[2]) == "shared_alias"


def test_only_so_many_ids_go_by_one() -> None:
    said = [merge(f"a{number}", "u1", number) for number in range(4)]
    _, answers = taken(*said, rules=IdentityRules(merges_max=3))
    assert reason(answers[3]) == "too_many_merges"


@pytest.mark.parametrize("allowed", [False, True])
def test_two_who_are_identified_both_are_one_only_if_that_is_allowed(allowed: bool) -> None:
    said = [link("login 1", "u1", 1, "user_id"), link("login 2", "u2", 1, "user_id"), merge("u1", "u2", 2)]
    _, answers = taken(*said, rules=IdentityRules(merge_identified=allowed))
    if allowed:
        assert answers[2] == [Merge("u1", "u2")]
    else:
        assert reason(answers[2]) == "both_identified"


@pytest.mark.parametrize("seed", range(20))
def test_state_is_gone_on_from(seed: int) -> None:
    draw = Random(seed)
    said = []
    for number in range(30):
        alias, customer_id = draw.sample("abcdefghij", 2)
        said.append(draw.choice((merge, link))(alias, customer_id, number))
    whole, cut = Identities(), Identities()
    for number, each in enumerate(said):
        if number == 15:
            state = cut.state()
            cut = Identities()
            cut.load_state(state)
        assert whole.take(each) == cut.take(each)
    assert (whole.ends, whole.state()) == (cut.ends, cut.state())


def test_ids_are_one_from_the_statement_on_that_connects_them() -> None:
    identities, _ = taken(merge("a", "b", 5), merge("c", "d", 3), merge("b", "d", 9), merge("e", "d", 2))
    group = identities.group_of("a")
    assert group is not None
    assert {each: group.joined_ms(each) for each in "abce"} == {"a": 9, "b": 9, "c": 3, "e": 2}
