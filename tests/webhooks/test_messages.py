from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

from standardwebhooks import Webhook

from stream_app.webhooks.signing import Signer
from tests.webhooks.deliveries import messages, migration, rules_migration, secret


def test_cloud_event_carries_the_migration_as_its_topic_has_it() -> None:
    record = migration("zoë", field_of_a_later_version=[1, {"ö": None}])
    (message,) = messages("cloudevents", record, "shop-segmenter")
    event = json.loads(message.body)
    assert event.pop("data") == record
    assert event == {
        "specversion": "1.0",
        "id": record["migration_id"],
        "type": "com.stream-segmenter.migration.lapsed",
        "source": "shop-segmenter",
        "subject": "zoë",
        "time": record["effective_at"],
        "datacontenttype": "application/json",
    }
    assert (message.id, message.content_type) == (record["migration_id"], "application/cloudevents+json")


def test_segment_s_form_leaves_one_audience_and_enters_the_next() -> None:
    record = migration("c1")
    left, entered = (json.loads(message.body) for message in messages("segment", record))
    assert [(event["type"], event["event"], event["userId"]) for event in (left, entered)] == [
        ("track", "Audience Exited", "c1"),
        ("track", "Audience Entered", "c1"),
    ]
    assert (left["properties"]["audience_key"], left["properties"]["value_s2"]) == ("value_s2", False)
    assert (entered["properties"]["audience_key"], entered["properties"]["value_s5"]) == ("value_s5", True)
    assert left["messageId"] != entered["messageId"]


def test_first_entry_leaves_no_audience() -> None:
    (entered,) = messages("segment", migration(from_segment=None))
    assert json.loads(entered.body)["event"] == "Audience Entered"


def test_customer_who_left_a_segmentation_enters_no_audience() -> None:
    (left,) = messages("segment", rules_migration(to_segment=None, change="left"))
    event = json.loads(left.body)
    assert (event["event"], event["properties"]["audience_key"]) == ("Audience Exited", "lifecycle_active")


def test_every_key_signs() -> None:
    (message,) = messages("cloudevents", migration("zoë"))
    keys = [base64.b64decode(secret(seed).removeprefix("whsec_")) for seed in ("new", "old")]
    headers = Signer(keys).headers(message, datetime.now(UTC))
    for seed in ("new", "old"):
        assert Webhook(secret(seed)).verify(message.body, headers) == json.loads(message.body)
