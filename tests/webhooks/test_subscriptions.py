from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from stream_app.contracts.readers import read_upcoming
from stream_app.errors import SubscriptionsInvalid
from stream_app.webhooks.subscriptions import FilterSettings, Subscription, load_subscriptions
from tests.webhooks.deliveries import EXAMPLES, as_read, migration, rules_migration, secret, with_margin

PLANTED = secret("planted")
ONE = {"name": "crm", "url": "https://crm.example/hook", "secret": PLANTED}


def load(folder: Path, *subscriptions: object) -> tuple[Subscription, ...]:
    path = folder / "webhooks.yaml"
    path.write_text(yaml.safe_dump({"subscriptions": list(subscriptions)}), "utf-8")
    return load_subscriptions(path)


def refusal(folder: Path, *subscriptions: object) -> str:
    with pytest.raises(SubscriptionsInvalid) as caught:
        load(folder, *subscriptions)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.__cause__ is None
    return message.removeprefix(f"{folder / 'webhooks.yaml'}: ")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"url": "ftp://x/"}, "subscriptions.0.url (subscription crm): expected https://host/path"),
        ({"url": "https://user:pass@x/"}, "subscriptions.0.url (subscription crm): expected https://host/path"),
        ({"url": "https://x:99999/"}, "subscriptions.0.url (subscription crm): expected https://host/path"),
        ({"secret": "whsec_c2hvcnQ="}, "subscriptions.0.secret (subscription crm): expected whsec_ and 24 to 64 bytes"),
        ({"secret": PLANTED[6:]}, "subscriptions.0.secret (subscription crm): expected whsec_"),
        ({"secret_file": "x"}, "subscriptions.0 (subscription crm): expected secret or secret_file, not both"),
        ({"sceret": "x"}, "subscriptions.0.sceret (subscription crm): no setting has this name; correct it"),
        ({"name": "CRM"}, "subscriptions.0.name: String should match pattern"),
        ({"body": "xml"}, "subscriptions.0.body (subscription crm): Input should be 'cloudevents' or 'segment'"),
        (
            {"filter": {"cause": "luck"}},
            "subscriptions.0.filter.cause.0 (subscription crm): Input should be 'purchase'",
        ),
        ({"filter": {"too": "s1"}}, "subscriptions.0.filter.too (subscription crm): no setting has this name"),
        ({"filter": {"to": []}}, "subscriptions.0.filter.to (subscription crm): "),
        (
            {"topic": "memberships"},
            "subscriptions.0.topic (subscription crm): Input should be 'migrations' or ",
        ),
        ({"filter": {"status": "averted"}}, "subscriptions.0 (subscription crm): records of migrations have no status"),
        (
            {"topic": "upcoming", "filter": {"direction": "down"}},
            "subscriptions.0 (subscription crm): records of upcoming have no direction; remove it",
        ),
        (
            {"filter": {"where": {"all": [{"trait": "plan", "equals": "pro"}]}}},
            "subscriptions.0.filter.where (subscription crm): all[0]: 'trait' cannot be evaluated on a migration",
        ),
        (
            {"topic": "upcoming", "filter": {"where": {"random": {"salt": "a", "to_percent": 50}}}},
            "subscriptions.0 (subscription crm): records of upcoming have no where; remove it",
        ),
        ({"topic": "upcoming", "body": "segment"}, "subscriptions.0 (subscription crm): expected body: cloudevents"),
    ],
)
def test_mistake_is_one_line_that_names_its_place(wrong: dict[str, Any], message: str, tmp_path: Path) -> None:
    shown = refusal(tmp_path, ONE | wrong)
    assert shown.startswith(message)
    assert PLANTED not in shown


def test_file_as_a_whole_may_be_wrong(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith("subscriptions: Tuple should have at least 1 item")
    assert refusal(tmp_path, ONE, ONE) == "two subscriptions are named crm; their names must differ"
    path = tmp_path / "webhooks.yaml"
    for text, message in {
        f"a: [\nsecret: {PLANTED}": "not YAML, line 2",
        "\x00": "not YAML",
        "subscriptions:\n- name: crm\n  filter: {to: A, to: B}": "line 3: key 'to' is given twice",
        f"subscriptions:\n- secret: {PLANTED}\n  'secret': x": "line 3: key 'secret' is given twice",
        "just words": "the file: Input should be",
        "subscriptions:\n  crm: 1": "subscriptions: Input should be a valid tuple",
    }.items():
        path.write_text(text, "utf-8")
        with pytest.raises(SubscriptionsInvalid) as caught:
            load_subscriptions(path)
        assert str(caught.value).startswith(f"{path}: {message}")
        assert PLANTED not in str(caught.value)
    with pytest.raises(SubscriptionsInvalid, match=r"nowhere: cannot be read \(No such file"):
        load_subscriptions(tmp_path / "nowhere")


def test_what_subscriptions_have_in_common_may_be_merged_and_overridden(tmp_path: Path) -> None:
    path = tmp_path / "webhooks.yaml"
    common = f"&common {{name: crm, url: 'https://crm.example/', secret: {PLANTED}}}"
    path.write_text(f"subscriptions:\n- {common}\n- <<: *common\n  name: shop\n", "utf-8")
    assert [each.name for each in load_subscriptions(path)] == ["crm", "shop"]


def test_secret_may_stand_in_a_file_and_be_several(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{secret('new')}\n{secret('old')}\n", "utf-8")
    (found,) = load(tmp_path, {"name": "crm", "url": "https://crm.example/", "secret_file": str(file)})
    assert len(found.keys) == 2
    assert all(len(key) == 32 for key in found.keys)
    unreadable = {"name": "crm", "url": "https://crm.example/", "secret_file": str(tmp_path)}
    assert "secret_file cannot be read; name a readable text file" in refusal(tmp_path, unreadable)


def test_neither_secret_nor_address_is_in_any_representation(tmp_path: Path) -> None:
    (found,) = load(tmp_path, ONE | {"url": "https://crm.example/token-in-path"})
    for text in (repr(found), str(found), str(found.model_dump()), found.model_dump_json()):
        assert PLANTED not in text
        assert "token-in-path" not in text


@pytest.mark.parametrize(
    ("given", "is_selected"),
    [
        ({}, True),
        ({"segmentation": "value"}, True),
        ({"segmentation": ["other"]}, False),
        ({"from": "Loyal"}, True),
        ({"from": ["s9", "s2"]}, True),
        ({"from": "value/s2"}, True),
        ({"from": "other/s2"}, False),
        ({"from": "s4"}, False),
        ({"to": ["s5"]}, True),
        ({"to": "Champions"}, False),
        ({"change": ["lapsed", "returned"]}, True),
        ({"change": "entered"}, False),
        ({"direction": "down"}, True),
        ({"direction": ["up", "sideways"]}, False),
        ({"cause": "lapse"}, True),
        ({"cause": "model"}, False),
        ({"min_margin": 0.6}, True),
        ({"min_margin": 0.61}, False),
        ({"holdout": "only"}, False),
        ({"where": {"figure": "recency_days", "at_least": 0}}, True),
        ({"where": {"figure": "recency_days", "at_least": 10_000}}, False),
        ({"from": "s2", "to": "s5", "change": "lapsed", "cause": "lapse", "min_margin": 0.5}, True),
    ],
)
def test_filter_selects_by_every_field_given(given: dict[str, Any], is_selected: bool) -> None:
    assert selects(given, migration(explanation=with_margin(0.6))) is is_selected


def selects(given: dict[str, Any], record: dict[str, Any]) -> bool:
    return FilterSettings.model_validate(given).migration_filter().selects(as_read(record))


@pytest.mark.parametrize(("holdout", "is_selected"), [("exclude", False), ("only", True), ("include", True)])
def test_customers_held_out_are_left_alone_unless_asked_for(holdout: str, is_selected: bool) -> None:
    held_out = migration(holdout={"bucket": 1, "held_out": True})
    assert selects({"holdout": holdout}, held_out) is is_selected
    assert not selects({}, held_out)


@pytest.mark.parametrize(
    ("consents", "is_selected"),
    [(None, True), ({"email": True}, True), ({"email": False}, False), ({"advertising": False}, True)],
)
def test_purpose_selects_customers_who_agree_to_it(consents: dict[str, bool] | None, is_selected: bool) -> None:
    record = migration() if consents is None else migration(consents=consents)
    assert selects({"purpose": "email"}, record) is is_selected
    assert selects({}, record)


def test_first_entry_comes_from_no_segment_and_has_no_margin_to_fall_short_of() -> None:
    explanation = migration()["explanation"] | {"margin": None}
    entry = migration(from_segment=None, change="entered", explanation=explanation)
    assert not selects({"from": "s1"}, entry)
    assert selects({"min_margin": 5.0}, entry)
    assert not selects({"min_margin": 5.0, "change": ["moved", "lapsed"]}, entry)


@pytest.mark.parametrize(
    ("given", "is_selected"),
    [
        ({"to": "slipping"}, True),
        ({"to": "lifecycle/slipping"}, True),
        ({"to": "lifecycle/Slipping away"}, True),
        ({"to": "value/slipping"}, False),
        ({"to": ["value/s4", "lifecycle/slipping"]}, True),
        ({"segmentation": "value"}, False),
        ({"min_margin": 5.0}, True),
        ({"from": "value/Active"}, False),
    ],
)
def test_segment_is_read_together_with_its_segmentation(given: dict[str, Any], is_selected: bool) -> None:
    assert selects(given, rules_migration()) is is_selected


def test_customer_who_left_is_in_no_segment() -> None:
    left = rules_migration(to_segment=None, change="left")
    assert selects({"change": "left", "from": "active"}, left)
    assert not selects({"to": "slipping"}, left)


NOTICE = (EXAMPLES / "segment-upcoming" / "averted.pass.json").read_bytes()


@pytest.mark.parametrize(
    ("given", "is_selected"),
    [
        ({}, True),
        ({"segmentation": "lifecycle"}, True),
        ({"segmentation": "value"}, False),
        ({"from": "Active"}, True),
        ({"from": "Slipping away"}, False),
        ({"to": "lifecycle/slipping"}, True),
        ({"to": "Active"}, False),
        ({"status": "averted"}, True),
        ({"status": "upcoming"}, False),
        ({"cause": "purchase"}, True),
        ({"cause": "lapse"}, False),
        ({"holdout": "only"}, False),
    ],
)
def test_filter_selects_notices_by_every_field_given(given: dict[str, Any], is_selected: bool) -> None:
    chosen = FilterSettings.model_validate(given).migration_filter()
    assert chosen.selects_notice(read_upcoming(NOTICE)) is is_selected


@pytest.mark.parametrize("kind", ["model", "definition"])
def test_moves_by_new_versions_are_left_out_unless_asked_for(kind: str) -> None:
    moved = migration(cause={"kind": kind, "event_id": None, "position": None})
    assert not selects({}, moved)
    assert selects({"cause": ["lapse", kind]}, moved)
    averted = msgspec.json.decode(NOTICE) | {"cause": moved["cause"]}
    notice = read_upcoming(msgspec.json.encode(averted))
    assert FilterSettings().migration_filter().selects_notice(notice), "who was warned is told"
