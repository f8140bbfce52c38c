"""What customers did, as the opening of a sentence."""

from __future__ import annotations

import pytest

from stream_app.core.events import CONSENT, MERGE, Event
from stream_app.core.moves import ENTERED, MOVED, MigrationContext, describe_event
from tests.support.events import engagement, instant, profile, purchase, refund


@pytest.mark.parametrize(
    ("currency", "minor_per_major", "words"),
    [("EUR", 100, "12.34 EUR"), ("JPY", 1, "1234 JPY"), ("KWD", 1_000, "1.234 KWD")],
)
def test_amounts_have_as_many_decimals_as_their_currency(currency: str, minor_per_major: int, words: str) -> None:
    context = MigrationContext(currency, minor_per_major)
    assert describe_event(purchase(0, 1_234), MOVED, context) == f"Purchase of {words}"
    assert describe_event(refund(0, 1_234, "o1"), MOVED, context) == f"Refund of {words}"


def test_first_event_is_called_that() -> None:
    assert describe_event(purchase(0, 500), ENTERED, MigrationContext()) == "Purchase of 5.00 EUR, the first event"
    assert describe_event(engagement(0), MOVED, MigrationContext()) == "Engagement (product_viewed)"


def test_profile_is_no_act_and_is_called_an_update() -> None:
    assert describe_event(profile(0, country="IT"), ENTERED, MigrationContext()) == "Profile update"


def test_merge_is_no_act_and_says_that_there_was_another_id() -> None:
    merge = Event(MERGE, "c1", "device-7", instant(0), "link")
    assert describe_event(merge, ENTERED, MigrationContext()) == "Merge with another id"


def test_consent_is_no_act_and_is_called_a_statement() -> None:
    said = Event(CONSENT, "c1", "", instant(0), "consent")
    assert describe_event(said, ENTERED, MigrationContext()) == "Statement on consent"
