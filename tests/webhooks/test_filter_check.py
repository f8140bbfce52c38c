"""A filter that can match nothing is named in the log, one that is ambiguous is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_app.contracts.readers import read_model
from stream_app.contracts.segment_index import SegmentIndex
from stream_app.errors import ConfigurationError
from stream_app.webhooks.filter_check import names_in_use, unknown_words
from stream_app.webhooks.subscriptions import Subscription
from tests.support.processes import wait_for
from tests.webhooks.deliveries import EXAMPLES, PATIENCE_SECONDS, Deployment, subscription


def model(name: str, **changes: Any) -> dict[str, Any]:
    """Return an example of the contract: `published` has Champions and At risk, `rules` Slipping away and Active."""
    document: dict[str, Any] = json.loads((EXAMPLES / "segment-models" / f"{name}.pass.json").read_text("utf-8"))
    return document | changes


def index_of(*models: dict[str, Any]) -> SegmentIndex:
    index = SegmentIndex()
    for document in models:
        index.add(read_model(msgspec.json.encode(document)))
    return index


BOTH = index_of(model("published"), model("rules"))


def words(index: SegmentIndex, **given: Any) -> list[str]:
    described = Subscription.model_validate(subscription("crm", "https://crm.example/", filter=given))
    return list(unknown_words(described, index))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"to": "At risk"},
        {"to": ["s1", "value/s4", "slipping", "lifecycle/Active", "s9"]},  # s9 and gone are retired
        {"from": "gone", "segmentation": ["lifecycle", "value"]},
        {"segmentation": "value", "to": "s4"},
    ],
)
def test_filter_that_models_know_is_not_mentioned(given: dict[str, Any]) -> None:
    assert words(BOTH, **given) == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"to": "At Risk"}, "filter.to: there is no segment 'At Risk'; did you mean value/s5 (At risk)?"),
        ({"from": "s7"}, "filter.from: there is no segment 's7'; there are lifecycle/slipping (Slipping away), "),
        ({"to": "value/active"}, "filter.to: there is no segment 'value/active'; there are value/s102 (Occasional), "),
        ({"to": "lifecycles/active"}, "filter.to: there is no segmentation 'lifecycles'; did you mean 'lifecycle'?"),
        ({"segmentation": "Value"}, "filter.segmentation: there is no segmentation 'Value'; did you mean 'value'?"),
        ({"segmentation": "value", "to": "active"}, "filter.to: there is no segment 'active'; there are value/s102"),
    ],
)
def test_word_that_no_model_has_is_named_with_a_guess_or_the_known_ones(given: dict[str, Any], sentence: str) -> None:
    (found,) = words(BOTH, **given)
    assert found.startswith(f"subscription crm: {sentence}")


def test_segment_of_several_segmentations_is_refused_unless_it_is_named_with_one() -> None:
    index = index_of(model("published"), model("published", segmentation="taste"))
    with pytest.raises(ConfigurationError, match=r"crm: filter\.to: 's4' is .* name one of taste/s4 "):
        words(index, to="s4")
    assert words(index, to="taste/s4") == []
    assert words(index, to="s4", segmentation="taste") == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"to": "At risk"}, "filter.to: 'At risk' is value/s5 (At risk) at present; name the id, "),
        ({"from": "lifecycle/Active"}, "filter.from: 'Active' is lifecycle/active (Active) at present; name the id, "),
        ({"to": ["value/s4", "slipping"]}, None),
        ({"to": "At Risk"}, None),
    ],
)
def test_segment_that_is_called_by_its_name_is_shown_with_its_id(given: dict[str, Any], sentence: str | None) -> None:
    described = Subscription.model_validate(subscription("crm", "https://crm.example/", filter=given))
    found = list(names_in_use(described, BOTH))
    assert len(found) == (sentence is not None)
    assert all(each.startswith(f"subscription crm: {sentence}") for each in found)


@pytest.fixture
def deployment(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(kafka, topic_prefix, tmp_path)
    yield made
    made.discard()


def test_unknown_word_is_logged_once_as_soon_as_the_models_are_known(deployment: Deployment) -> None:
    deployment.subscribe(
        subscription("crm", "https://crm.example/", filter={"to": "At Risk"}),
        subscription("shop", "https://shop.example/", filter={"to": ["value/s1", "lifecycle/slipping"]}),
    )
    process = deployment.start()
    process.wait_until_ready()
    assert "filter." not in process.log.read_text("utf-8")
    deployment.publish_models(model("published"), model("tick-decided"), model("rules"))
    expected = "subscription crm: filter.to: there is no segment 'At Risk'; did you mean value/s5 (At risk)?"
    wait_for(lambda: expected in process.log.read_text("utf-8"), PATIENCE_SECONDS, "the warning")
    others = [segment for segment in model("published")["segments"] if segment["id"] != "s1"]
    changed = model("published", segments=others, version=8)
    deployment.publish_models(changed)
    wait_for(lambda: "'value/s1'" in process.log.read_text("utf-8"), PATIENCE_SECONDS, "the second warning")
    assert process.server.stop() == 0
    log = process.log.read_text("utf-8")
    assert log.count("filter.") == 2
    assert "skipped" not in log
    assert "subscription shop: filter.to: there is no segment 'value/s1'" in log
    assert '"level": "warning"' in next(line for line in log.splitlines() if expected in line)


def test_start_is_refused_where_a_filter_is_ambiguous(deployment: Deployment) -> None:
    deployment.publish_models(model("published"), model("published", segmentation="taste"))
    deployment.subscribe(subscription("crm", "https://crm.example/", filter={"to": "s4"}))
    process = deployment.start()
    assert process.server.wait(PATIENCE_SECONDS) == 2
    assert "subscription crm: filter.to: " in process.log.read_text("utf-8")
    assert "name one of taste/s4 (Browsers), value/s4 (Browsers)" in process.log.read_text("utf-8")
