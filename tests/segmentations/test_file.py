"""`segmentations.yaml`: every documented mistake has its line here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_app.segmentations.documents import DocumentInvalid, parse_document
from stream_app.segmentations.file import check_document, check_file
from stream_app.segmentations.rules.definition import AudienceConfiguration, EventLeaf

LEAF = "segmentations[0].when"
"""Where the conditions below stand."""

CONDITIONS = [
    # what is no condition, and keys
    ("{events: x}", "", "a mapping with events, expected a condition with one of all, any,"),
    ("{events: x}", "", "did you mean 'event'?"),
    ("{}", "", "an empty mapping, expected a condition with one of"),
    ("5", "", "5, expected a condition: a mapping with one of all, any,"),
    ("{event: x, lasst: 30d}", ".lasst", "there is no such key, expected at_least, "),
    ("{event: x, lasst: 30d}", ".lasst", "did you mean 'last'?"),
    (
        "{event: x, trait: y}",
        ".trait",
        "is beside 'event', and a condition has one of them; join two conditions by",
    ),
    ("{all: []}", ".all", "a list of 0, expected 1 or more"),
    ("{all: {event: x}}", ".all", "a mapping, expected a list"),
    ("{any: [{event: x}, {not: {evnt: x}}]}", ".any[1].not", "a mapping with evnt, expected a condition"),
    ("{score: [{when: {event: x}, points: 0}], at_least: 1}", ".score[0].points", "0, expected 1 or more"),
    ("{score: [{when: {event: x}, points: 1.5}], at_least: 1}", ".score[0].points", "1.5, expected a whole number"),
    ("{score: [{when: {event: x}, points: 1}]}", ".at_least", "missing, must be given"),
    # figures
    ("{figure: purchase, equals: 0}", ".figure", "'purchase', expected recency_days, "),
    ("{figure: purchase, equals: 0}", ".figure", "did you mean 'purchases'?"),
    ("{figure: purchases}", "", "nothing is compared, expected at least one of at_least, at_most, more_than,"),
    ("{figure: purchases, equals: true}", ".equals", "true, expected a number"),
    ('{figure: purchases, equals: "3"}', ".equals", "'3', expected a number"),
    ("{figure: purchases, equals: .inf}", ".equals", "'.inf', expected a number"),
    ("{figure: probability_active, at_least: .5}", ".figure", "is made of a learned model, expected a learned segment"),
    # durations, instants and windows
    ("{event: x, last: }", ".last", "nothing, expected a value, or no such key"),
    ("{event: x, last: 30}", ".last", "30 is not a duration, expected a whole number and one of s, m, h, d, w"),
    ("{event: x, last: 1.5d}", ".last", "'1.5d' is not a duration"),
    ("{event: x, last: 0d}", ".last", "'0d' has no length"),
    ("{event: x, last: 99999999d}", ".last", "'99999999d' is too long, expected 36525d at most"),
    ("{event: x, last: 3d, calendar: {days: 3}}", "", "last and calendar are combined, expected one window"),
    ("{event: x, between_ago: [90d, 30d]}", "", "between_ago: [90d, 30d], expected the shorter duration first"),
    ("{event: x, between_ago: [3d]}", ".between_ago[1]", "missing, must be given"),
    ("{event: x, from: 2026-01-01}", ".from", "'2026-01-01' is not an instant, expected date, time and zone such as"),
    ("{event: x, from: 2026-01-01T00:00:00}", ".from", "is not an instant, expected date, time and zone"),
    ("{event: x, from: 2026-13-01T00:00:00Z}", ".from", "is not an instant"),
    (
        "{event: x, from: 2026-02-01T00:00:00Z, to: 2026-01-01T00:00:00Z}",
        "",
        "from: 2026-02-01T00:00:00Z is not before to: 2026-01-01T00:00:00Z, so nothing lies between them",
    ),
    (
        "{event: x, calendar: {days: 7, timezone: Europe/Roma}}",
        ".calendar.timezone",
        "is not a time zone, expected a name",
    ),
    ("{event: x, calendar: {days: 7, timezone: Europe/Roma}}", ".calendar.timezone", "did you mean 'Europe/Rome'?"),
    ("{event: x, calendar: {days: 0}}", ".calendar.days", "0, expected 1 or more"),
    # events and their fields
    ("{event: c*rt}", ".event", "'c*rt', expected * at the end only, as in 'cart_*'"),
    ("{event: x, last: 30d, at_least: 5000}", "", "more than 4,096 events in a window that moves, expected fewer"),
    ("{event: ''}", ".event", "'', expected text that is not empty"),
    ('{event: "a\\tb"}', ".event", "holds a control character, expected none"),
    ("{event: x, sum: amount}", "", "sum: compared with nothing, expected a comparator such as at_least"),
    ("{event: x, sum: amount, max: amount, at_least: 1}", "", "sum and max are combined, expected one of them"),
    (
        "{event: x, sum: channel, at_least: 1}",
        ".sum",
        "'channel' holds no numbers, expected one of amount, items, value",
    ),
    (
        "{event: x, where: [{field: chanel, equals: a}]}",
        ".where[0].field",
        "'chanel' is not a field, expected one of amount",
    ),
    ("{event: x, where: [{field: chanel, equals: a}]}", ".where[0].field", "did you mean 'channel'?"),
    ("{event: x, where: [{field: channel}]}", ".where[0]", "nothing is asked of the value, expected one of at_least,"),
    (
        "{event: x, where: [{field: channel, equals: a, begins_with: b}]}",
        ".where[0]",
        "equals and begins_with are combined, expected one test",
    ),
    ("{event: x, where: [{field: channel, equals: []}]}", ".where[0].equals", "[] is not a value, expected a text, a "),
    ("{event: x, where: [{field: channel, in: []}]}", ".where[0].in", "a list of 0, expected 1 or more"),
    ("{event: x, decayed_sum: count, at_least: 1}", ".half_life", "missing, must be given"),
    (
        "{regularly: x, each: 7d, in_at_least: 5, of_last: 4}",
        "",
        "in_at_least: 5 of 4 periods, expected of_last at most",
    ),
    ("{sequence: [a], within: 1h, last: 1d}", ".sequence[1]", "missing, must be given"),
    ("{sequence: [a, b, c], within: 1h, last: 1d}", ".sequence", "a list of 3, expected 2 at most"),
    ("{since_last: x}", "", "nothing is compared, expected at_least, at_most, more_than or less_than a"),
    # traits
    ("{trait: country}", "", "nothing is asked of the value, expected one of at_least,"),
    (
        "{trait: plan, exists: true, held_for: {at_least: 3d}}",
        "",
        "held_for is given without equals, expected the value",
    ),
    ("{trait: plan, equals: a, held_for: {}}", ".held_for", "expected either at_least or less_than a duration"),
    (
        "{trait: b, anniversary: {}}",
        ".anniversary",
        "expected either in_next: a number of days, such as 7d, or in_month",
    ),
    ("{trait: b, anniversary: {in_next: 36h}}", ".anniversary", "in_next: 36h, expected whole days, 366d at most"),
    (
        "{trait: religion, equals: x}",
        ".trait",
        "the trait 'religion' seems to say something on religion, which is prot",
    ),
    (
        "{trait: age, begins_with: x}",
        ".begins_with",
        "the trait age is a number by the catalogue, so this never holds;",
    ),
    ("{trait: age, equals: x}", ".equals", "'x', and the trait age is a number by the catalogue; expected one"),
    # other segmentations, lists, chance
    ("{segmentation: valeu}", ".segmentation", "there is no segmentation 'valeu', expected one of a, stage"),
    ("{segmentation: stge, segment: new}", ".segmentation", "did you mean 'stage'?"),
    ("{segmentation: stage}", ".segment", "missing, expected one of new, rest"),
    (
        "{segmentation: stage, segment: nwe}",
        ".segment",
        "stage has no segment 'nwe', expected one of new, rest; did you",
    ),
    ("{segmentation: a}", ".segmentation", "a → a is a cycle, expected segmentations that do not depend on themselves"),
    ("{list: stuff}", ".list", "there is no list 'stuff', expected one of staff; did you mean 'staff'?"),
    ("{random: {salt: a, to_percent: 101}}", ".random.to_percent", "101, expected 100.0 or less"),
    ("{random: {salt: a, from_percent: 9, to_percent: 9}}", ".random", "from_percent: 9 is not below to_percent: 9"),
    # what nobody can be
    (
        "{figure: recency_days, at_least: 3, less_than: 2}",
        "",
        "nobody can be in it: “recency of 3 days or more and of l",
    ),
    ("{event: x, equals: 1.5}", "", "nobody can be in it: “exactly 1.5 x ever” never holds"),
    (
        "{all: [{event: x, last: 7d}, {event: x, last: 7d, equals: 0}]}",
        "",
        "exclude each other, expected the window without events to be the shorter or the later one",
    ),
    (
        "{all: [{event: x, between_ago: [7d, 14d]}, {not: {event: x, last: 14d}}]}",
        "",
        "exclude each other, expected the",
    ),
    (
        "{all: [{trait: a, equals: x}, {trait: a, in: [y, z]}]}",
        "",
        "“the trait a is x” and “the trait a is y or z” excl",
    ),
    ("{score: [{when: {event: x}, points: 2}], at_least: 3}", "", "nobody can be in it"),
]


def document(*segmentations: Any, **head: Any) -> dict[str, Any]:
    return {"version": 1, **head, "segmentations": list(segmentations)}


def audience(when: Any, name: str = "a") -> dict[str, Any]:
    return {"kind": "audience", "name": name, "when": when}


def rules(*whens: Any, name: str = "stage") -> dict[str, Any]:
    segments = [{"id": f"s{n}", "name": f"Segment {n}", "when": when} for n, when in enumerate(whens)]
    return {"kind": "rules", "name": name, "segments": segments, "otherwise": {"id": "rest", "name": "Rest"}}


STAGE = {
    "kind": "rules",
    "name": "stage",
    "segments": [{"id": "new", "name": "New", "when": {"figure": "tenure_days", "less_than": 30}}],
    "otherwise": {"id": "rest", "name": "Rest"},
}


def lines(made: Any, folder: Path | None = None) -> list[str]:
    return [str(mistake) for mistake in check_document(made, folder).mistakes]


@pytest.mark.parametrize(("when", "path", "message"), CONDITIONS)
def test_mistake_in_a_condition_is_one_line_with_its_path(when: str, path: str, message: str) -> None:
    condition = parse_document(when.encode())
    made = document(audience(condition), STAGE, lists={"staff": "staff.csv"}, traits={"age": "number"})
    (line,) = lines(made)
    assert line.startswith(f"{LEAF}{path}: ")
    assert message in line


def test_a_whole_number_too_large_for_a_number_is_a_mistake() -> None:
    (line,) = lines(document(audience({"figure": "purchases", "equals": 10**400})))
    assert line.startswith(f"{LEAF}.equals: 1000")


def test_all_mistakes_are_told_at_once() -> None:
    made = document(audience({"evnt": "x"}), audience({"event": "x", "last": "3"}, name="b"), timezone="Rome", extra=1)
    made["version"] = 2
    assert [line.partition(":")[0] for line in lines(made)] == [
        "extra",
        "version",
        "timezone",
        "segmentations[0].when",
        "segmentations[1].when.last",
    ]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (None, "nothing, expected a mapping with version, timezone, lists, traits, segmentations"),
        ([], "an empty list, expected a mapping with version"),
        ({"version": 1}, "segmentations: missing, expected a list of segmentations"),
        (document(), "segmentations: an empty list, expected a list of segmentations"),
        (document(1), "segmentations[0]: 1, expected a mapping with kind, name and more"),
        (document({"name": "x"}), "segmentations[0].kind: missing, expected learned, rules, audience"),
        (
            document({"kind": "rule"}),
            "segmentations[0].kind: 'rule', expected learned, rules, audience; did you mean 'ru",
        ),
        (
            document(*[audience({"event": "x"}, f"a{n}") for n in range(65)]),
            "segmentations: 65 of them, expected 64 at mo",
        ),
        (
            document(*[{"kind": "learned", "name": f"v{n}"} for n in range(9)]),
            "segmentations: 9 are learned, expected 8 at most",
        ),
        (
            document(audience({"event": "x"}), audience({"event": "y"})),
            "segmentations[1].name: 'a' is the name of segmentations[0] already, expected another",
        ),
        (
            document({**STAGE, "otherwise": {"id": "new", "name": "R"}}),
            "segmentations[0]: segments: the id 'new' occurs tw",
        ),
        (
            document({**STAGE, "otherwise": {"id": "r", "name": "New"}}),
            "segmentations[0]: segments: the name 'New' occurs",
        ),
        (
            document(STAGE, traits={"country": "text"}),
            "traits.country.type: 'text', expected string, number, boolean, da",
        ),
        (
            document(STAGE, traits={"Religion": "string"}),
            "traits.Religion: the trait 'Religion' seems to say something",
        ),
        (document(STAGE, lists={"a b": 1}), 'lists["a b"]: 1, expected text'),
        (document(STAGE, timezone=1), "timezone: 1, expected text"),
        (
            document(STAGE, titel="x"),
            "titel: there is no such key, expected version, timezone, lists, traits, segmentatio",
        ),
        (
            document(audience({"event": "x"}, "Big")),
            "segmentations[0].name: 'Big', expected a small letter, then small l",
        ),
    ],
)
def test_mistake_in_the_file_is_one_line_with_its_path(made: Any, expected: str) -> None:
    found = lines(made)
    assert found[0].startswith(expected), found


def test_cycle_is_told_once_with_the_way_round() -> None:
    made = document(
        audience({"segmentation": "b"}),
        audience({"not": {"segmentation": "c"}}, "b"),
        audience({"any": [{"event": "x"}, {"segmentation": "a"}]}, "c"),
    )
    assert lines(made) == [
        "segmentations[2].when.any[1].segmentation: a → b → c → a is a cycle, expected segmentations that do not "
        "depend on themselves"
    ]


def test_ids_whose_codes_are_equal_cannot_stand_side_by_side() -> None:
    made = rules({"event": "x"})
    made["segments"][0]["id"], made["otherwise"]["id"] = clashing_pair()
    (line,) = lines(document(made))
    assert line.startswith("segmentations[0]: the ids ")
    assert line.endswith("their codes are equal; expected another id for one of them")


def clashing_pair() -> tuple[str, str]:
    from stream_app.segmentations.rules.codes import segment_code

    seen: dict[int, str] = {}
    for number in range(10_000):
        earlier = seen.setdefault(segment_code(f"x{number}"), f"x{number}")
        if earlier != f"x{number}":
            return earlier, f"x{number}"
    raise AssertionError("32,767 codes and no clash among 10,000 ids")


@pytest.mark.parametrize(
    ("whens", "line"),
    [
        (
            [{"figure": "recency_days", "less_than": 60}, {"figure": "recency_days", "less_than": 30}],
            "segmentations[0].segments[1]: nobody can be in 's1': everybody it is for is in 's0' first; expected ",
        ),
        (
            [{"event": "x", "last": "30d"}, {"all": [{"event": "x", "last": "7d"}, {"list": "staff"}]}],
            "segmentations[0].segments[1]: nobody can be in 's1'",
        ),
        ([{"event": "x"}, {"event": "x"}], "segmentations[0].segments[1]: nobody can be in 's1'"),
        (
            [{"event": "x"}, {"event": "y"}, {"any": [{"event": "x"}, {"event": "y"}]}],
            "segmentations[0].segments[2]: nobody can be in 's2': everybody it is for is in one of the segments ",
        ),
        (
            [{"event": "x"}, {"figure": "purchases", "equals": 0}, {"figure": "purchases", "at_least": 1}],
            "segmentations[0].otherwise: nobody can be in 'rest': the segments before take everybody",
        ),
        ([{"event": "x"}, {"not": {"event": "x"}}], "segmentations[0].otherwise: nobody can be in 'rest'"),
    ],
)
def test_segment_that_nobody_can_enter_is_a_mistake(whens: list[Any], line: str) -> None:
    found = lines(document(rules(*whens), lists={"staff": "x"}))
    assert found, whens
    assert found[0].startswith(line)


@pytest.mark.parametrize(
    "whens",
    [
        [{"event": "x", "last": "7d"}, {"event": "x", "last": "30d"}],
        [{"event": "x", "last": "7d"}, {"event": "x", "last": "30d", "at_least": 2}],
        [{"event": "cart_add"}, {"event": "cart_*"}],
        [{"event": "x", "where": [{"field": "channel", "equals": "web"}]}, {"event": "x"}],
        [{"figure": "recency_days", "less_than": 30}, {"figure": "recency_days", "less_than": 60}],
        [{"trait": "a", "equals": 1}, {"trait": "a", "equals": True}],
        [{"trait": "d", "equals": "2026-01-01"}, {"trait": "d", "in_last": "30d"}],
    ],
)
def test_narrower_condition_first_is_no_mistake(whens: list[Any]) -> None:
    assert lines(document(rules(*whens))) == []


def test_stopped_is_no_mistake_where_the_recent_window_is_shorter() -> None:
    stopped = {"all": [{"event": "x", "between_ago": ["7d", "14d"]}, {"event": "x", "last": "7d", "equals": 0}]}
    assert lines(document(audience(stopped))) == []


def test_two_segments_and_nine_are_warned_of() -> None:
    few = check_document(document(rules({"event": "x"})))
    assert [str(warning) for warning in few.warnings] == [
        "segmentations[0].segments: 2 segments with the default, expected 3 to 8: more than people can keep apart, "
        "or fewer than a division is worth"
    ]
    many = check_document(document(rules(*[{"trait": "a", "equals": n} for n in range(8)])))
    assert len(many.warnings) == 1
    fine = check_document(document(rules(*[{"trait": "a", "equals": n} for n in range(7)])))
    assert not fine.warnings


def test_audience_of_everybody_is_warned_of() -> None:
    checked = check_document(document(audience({"event": "x", "at_least": 0})))
    assert [str(warning) for warning in checked.warnings] == ["segmentations[0].when: everybody who is known is in it"]


@pytest.mark.parametrize(
    ("when", "meant"),
    [
        ({"event": "order_complete"}, "order_completed"),
        ({"first_event": "purchase", "last": "1d"}, "order_completed"),
        ({"sequence": ["visit", "Order Completed"], "within": "1d", "last": "1d"}, "order_completed"),
        ({"event": "refund", "decayed_sum": "count", "half_life": "1d", "at_least": 1}, "order_refunded"),
    ],
)
def test_types_that_are_almost_orders_are_warned_of(when: Any, meant: str) -> None:
    (warning,) = check_document(document(audience(when))).warnings
    assert str(warning).endswith(f"counts engagements of that type alone; did you mean '{meant}'?")


@pytest.mark.parametrize("event", ["order_completed", "order_refunded", "order_*", "product_viewed", "order_viewed"])
def test_other_types_are_not_warned_of(event: str) -> None:
    assert not check_document(document(audience({"event": event}))).warnings


def test_sums_are_noted_to_be_exact_up_to_a_bound() -> None:
    checked = check_document(document(audience({"event": "x", "sum": "value", "at_least": 1, "last": "30d"})))
    assert [str(note) for note in checked.notes] == [
        "segmentations[0].when: the sum is exact up to 256 events of a customer in the window; beyond, instants are "
        "rounded to 1/128 of it"
    ]


def test_sensitive_trait_is_accepted_with_its_legal_basis() -> None:
    made = document(
        audience({"trait": "religion", "equals": "x"}),
        traits={"religion": {"type": "string", "legal_basis": "explicit consent, art. 9(2)(a)"}},
    )
    assert lines(made) == []


def test_time_zone_of_the_file_holds_for_conditions_that_name_none() -> None:
    calendars = [{"event": "x", "calendar": {"days": 3}}, {"event": "x", "calendar": {"days": 3, "timezone": "UTC"}}]
    checked = check_document(document(audience({"any": calendars}), timezone="Europe/Rome"))
    assert checked.file is not None
    (parsed,) = checked.file.ruled
    assert isinstance(parsed, AudienceConfiguration)
    leaves = parsed.when.any  # type: ignore[union-attr]
    zones = [leaf.calendar.zone for leaf in leaves if isinstance(leaf, EventLeaf) and leaf.calendar]
    assert zones == ["Europe/Rome", "UTC"]


def test_lists_are_read_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "staff.csv").write_text("\ufeffada\n\n grace \nada\n", encoding="utf-8")
    path = tmp_path / "segmentations.yaml"
    path.write_text(yaml.safe_dump(document(audience({"list": "staff"}), lists={"staff": "staff.csv"})), "utf-8")
    assert check_file(path).lists == {"staff": ("ada", "grace")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"\xff\xfe\n", "not text in UTF-8"),
        (b"a\nb\tc\n", "line 2, expected an id of up to 256 characters"),
    ],
)
def test_list_that_cannot_be_read_is_a_mistake(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "staff.csv").write_bytes(content)
    (line,) = lines(document(audience({"list": "staff"}), lists={"staff": "staff.csv"}), tmp_path)
    assert line.startswith("lists.staff: ")
    assert message in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: 1\na: 2\n", "line 2: the key 'a' occurs twice"),
        (b"a: [1\n", "not YAML"),
        (b"\xff", "byte 0 is not UTF-8"),
        (b"&a [*a]", "nested too deep, expected 64 levels at most"),
        (b"[" * 100_000, "nested too deep"),
        (b"? [a]\n: b\n", "line 1: a key that is not text"),
        (b"a: !!python/object:os.system x\n", "not YAML (could not determine a constructor"),
        (b"a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n" * 1, None),
    ],
)
def test_what_is_no_document_is_refused(text: bytes, message: str | None) -> None:
    if message is None:
        assert parse_document(text)
        return
    with pytest.raises(DocumentInvalid) as caught:
        parse_document(text)
    assert message in str(caught.value)


def test_aliases_of_aliases_are_refused_before_they_fill_the_memory() -> None:
    levels = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    levels += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(DocumentInvalid, match="more than 200,000 values"):
        parse_document("\n".join(levels).encode())


def test_documents_are_yaml_1_2() -> None:
    text = b"{country: NO, at: 12:30, on: yes, day: 2026-01-01, postcode: 01069, number: 1e3, flag: true, none: ~}"
    assert parse_document(text) == {
        "country": "NO",
        "at": "12:30",
        "on": "yes",
        "day": "2026-01-01",
        "postcode": "01069",
        "number": 1000.0,
        "flag": True,
        "none": None,
    }
