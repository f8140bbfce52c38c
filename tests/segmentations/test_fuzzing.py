"""No document gives a traceback: neither what is close to a definition nor what is far from one."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stream_app.cli import main
from stream_app.segmentations.documents import DocumentInvalid, parse_document
from stream_app.segmentations.file import check_document, shipped_document
from stream_app.segmentations.importing import SYSTEMS, import_document
from stream_app.segmentations.rules.catalogue import FIGURES
from stream_app.segmentations.rules.comparing import COMPARATORS
from stream_app.segmentations.rules.conditions import FORMS, KEYS, canonical
from stream_app.segmentations.rules.definition import AudienceConfiguration
from stream_app.segmentations.rules.sentences import sentence_of

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["30d", "0d", "x", "cart_*", "value", "2026-01-31T00:00:00Z", "UTC", "properties.a", "count"]),
    st.sampled_from(list(FIGURES)),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda parts: st.one_of(st.lists(parts, max_size=3), st.dictionaries(st.text(max_size=6), parts, max_size=3)),
)
WORDS = sorted(
    {field.alias or name for form in FORMS for name, field in form.model_fields.items()}
    | {
        *KEYS,
        *COMPARATORS,
        "kind",
        "name",
        "id",
        "segments",
        "otherwise",
        "when",
        "points",
        "field",
        "days",
        "timezone",
    }
)
"""Every key that a definition may have, and so those that are in the wrong place, too."""
CLOSE = st.recursive(
    SCALARS,
    lambda parts: st.one_of(
        st.lists(parts, max_size=3), st.dictionaries(st.sampled_from(WORDS), parts, min_size=1, max_size=4)
    ),
    max_leaves=12,
)
DURATIONS = st.sampled_from(["1d", "7d", "14d", "30d", "2w", "90d"])
NUMBERS = st.sampled_from([0, 1, 2, 3, 1.5, -1])
COMPARISONS = st.dictionaries(st.sampled_from(list(COMPARATORS)), NUMBERS, min_size=1, max_size=2)
FIELD_TESTS = st.lists(
    st.builds(
        lambda field, test: {"field": field, **test},
        st.sampled_from(["channel", "value", "properties.a"]),
        st.one_of(
            st.builds(lambda v: {"equals": v}, st.sampled_from(["a", "b", 1, True])),
            st.builds(lambda v: {"in": v}, st.lists(st.sampled_from(["a", "b", 1]), min_size=1, max_size=2)),
            st.builds(lambda v: {"exists": v}, st.booleans()),
            st.builds(lambda v: {"at_least": v}, NUMBERS),
        ),
    ),
    max_size=2,
)
EVENTS = st.builds(
    lambda event, last, comparison, where: {"event": event, "last": last, "where": where, **comparison},
    st.sampled_from(["x", "y", "x*", "*"]),
    DURATIONS,
    st.one_of(st.just({}), COMPARISONS),
    FIELD_TESTS,
)
LEAVES = st.one_of(
    EVENTS,
    st.builds(lambda figure, comparison: {"figure": figure, **comparison}, st.sampled_from(list(FIGURES)), COMPARISONS),
    st.builds(lambda last: {"first_event": "x", "last": last}, DURATIONS),
    st.builds(lambda a, b: {"restarted": "x", "last": a, "pause": b}, DURATIONS, DURATIONS),
    st.builds(lambda a, b: {"event": "x", "between_ago": [a, b]}, DURATIONS, DURATIONS),
    st.builds(
        lambda v: {"trait": "a", "in": v}, st.lists(st.sampled_from(["a", "b", 1, True]), min_size=1, max_size=2)
    ),
    st.builds(lambda v: {"trait": "a", "exists": v}, st.booleans()),
    st.builds(lambda v: {"trait": "a", "in_last": v}, DURATIONS),
    st.builds(lambda a: {"since_last": "x", "at_least": a}, DURATIONS),
    st.builds(lambda a: {"random": {"salt": "s", "to_percent": a}}, st.sampled_from([1, 50, 100])),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(lambda p: {"all": p}, st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda p: {"any": p}, st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda p: {"not": p}, parts),
        st.builds(
            lambda p, least: {"score": [{"when": each, "points": 2} for each in p], "at_least": least},
            st.lists(parts, min_size=1, max_size=3),
            st.integers(1, 6),
        ),
    ),
    max_leaves=8,
)


def told(document: Any) -> list[str]:
    """Return what is said of a document, which must be whole lines."""
    checked = check_document(document)
    lines = [str(line) for part in (checked.mistakes, checked.warnings, checked.notes) for line in part]
    assert all("\n" not in line for line in lines)
    assert (checked.file is None) == bool(checked.mistakes)
    return lines


@given(ANYTHING)
def test_any_document_is_checked(document: Any) -> None:
    told(document)
    told({"version": 1, "segmentations": document})
    told({"version": 1, "segmentations": [{"kind": "rules", "name": "a", "segments": document, "otherwise": document}]})


@given(CLOSE)
@example({"all": [{"event": "x", "all": 1}]})
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_condition_is_checked(when: Any) -> None:
    told({"version": 1, "segmentations": [{"kind": "audience", "name": "a", "when": when}]})


@given(st.lists(CONDITIONS, min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_sound_condition_is_checked_said_and_read_back(whens: list[Any]) -> None:
    segments = [{"id": f"s{n}", "name": f"Segment {n}", "when": when} for n, when in enumerate(whens)]
    rules = {"kind": "rules", "name": "r", "segments": segments, "otherwise": {"id": "o", "name": "Other"}}
    audiences = [{"kind": "audience", "name": f"a{n}", "when": when} for n, when in enumerate(whens)]
    checked = check_document({"version": 1, "segmentations": [{"kind": "learned", "name": "v"}, rules, *audiences]})
    for definition in checked.file.ruled if checked.file else ():
        assert sentence_of(definition).endswith(".")
        if isinstance(definition, AudienceConfiguration):
            again = AudienceConfiguration.model_validate_json(definition.model_dump_json(by_alias=True))
            assert again == definition
            assert canonical(again) == canonical(definition)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), ANYTHING), min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_shipped_definitions_with_something_changed_are_checked(changes: list[tuple[int, int, Any]]) -> None:
    document = shipped_document()
    for number, how, value in changes:
        places = list(places_of(document))
        parent, key = places[number % len(places)]
        if how == 0 and isinstance(parent, dict):
            parent[str(value)[:10]] = parent.pop(key)
        elif how == 1:
            del parent[key]
        else:
            parent[key] = value
    told(document)


def places_of(value: Any) -> Any:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places_of(value[key])


@given(
    st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")), st.booleans()
)
@example(b"a: !!timestamp 2026-99-99", False)
@example(b"9" * 5000, True)
@example(b"a: !!int 0x", False)
def test_any_text_is_a_document_or_refused_as_one(data: bytes, is_json: bool) -> None:
    try:
        document = parse_document(data, is_json=is_json)
    except DocumentInvalid:
        return
    told(document)


@given(st.one_of(ANYTHING, CLOSE, st.lists(CONDITIONS, min_size=1, max_size=2)))
@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
def test_the_command_ends_as_documented_whatever_the_file(tmp_path_factory: pytest.TempPathFactory, made: Any) -> None:
    whens = made if isinstance(made, list) else [made]
    audiences = [{"kind": "audience", "name": f"a{n}", "when": when} for n, when in enumerate(whens)]
    learned = {"kind": "learned", "name": "v"}
    path = tmp_path_factory.mktemp("fuzzed") / "segmentations.yaml"
    for document in (made, {"version": 1, "segmentations": [learned, *audiences]}):
        path.write_bytes(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"))
        assert ending_of(["segmentations", "check", str(path)]) in (0, 1, 2)


def ending_of(arguments: list[str]) -> object:
    try:
        main(arguments)
    except SystemExit as ended:
        return ended.code
    return 0


@given(ANYTHING)
def test_what_yaml_writes_is_read_as_it_was(document: Any) -> None:
    try:
        read = parse_document(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"))
    except DocumentInvalid:
        return
    told(read)


@given(st.sampled_from(list(SYSTEMS)), ANYTHING | CLOSE)
@settings(deadline=None)
def test_any_document_of_another_system_is_imported_or_refused(system: str, document: Any) -> None:
    for made in (
        document,
        {"name": "x", "definition": {"condition_groups": [{"conditions": [document]}]}},
        {"name": "x", "filters": {"properties": {"type": "AND", "values": [document]}}},
        {"name": "x", "definition": {"entryNode": document, "nodes": [document]}},
    ):
        imported = import_document(system, made)
        assert bool(imported.text) != bool(imported.mistakes)
