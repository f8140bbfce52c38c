"""The models by themselves, as a producer in Python would use them: without rules, time of reading or key."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from stream_app.contracts.inputs.engagements import EngagementRecord
from stream_app.contracts.inputs.purchases import PurchaseRecord
from tests.contracts.records import AT_MS, ENGAGEMENT, PURCHASE


@pytest.mark.parametrize("total", ["19.99", 19.99, Decimal("19.99")])
def test_total_of_any_number_type_is_exact(total: object) -> None:
    assert PurchaseRecord.model_validate(PURCHASE | {"total": total}).total == 1999


@pytest.mark.parametrize("total", [float("nan"), float("inf"), Decimal("NaN")])
def test_total_must_be_finite(total: object) -> None:
    with pytest.raises(ValidationError, match="an amount from 0"):
        PurchaseRecord.model_validate(PURCHASE | {"total": total})


def test_total_stays_in_the_record_s_own_currency() -> None:
    assert PurchaseRecord.model_validate(PURCHASE | {"currency": "CHF"}).total == 1999


def test_time_may_be_an_aware_datetime() -> None:
    at = datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert EngagementRecord.model_validate(ENGAGEMENT | {"occurred_at": at}).occurred_at == AT_MS
    with pytest.raises(ValidationError, match="RFC 3339"):
        EngagementRecord.model_validate(ENGAGEMENT | {"occurred_at": at.replace(tzinfo=None)})


def test_time_without_a_time_of_reading_may_lie_ahead() -> None:
    assert EngagementRecord.model_validate(ENGAGEMENT | {"occurred_at": "2999-01-01T00:00:00Z"}).occurred_at > AT_MS


@pytest.mark.parametrize("model", [PurchaseRecord, EngagementRecord])
def test_contract_starts_with_identity_customer_and_time(model: Any) -> None:
    assert list(model.model_fields)[:4] == ["event_id", "customer_id", "occurred_at", "type"]


def test_record_cannot_be_changed() -> None:
    record = EngagementRecord.model_validate(ENGAGEMENT)
    with pytest.raises(ValidationError, match="frozen"):
        record.type = "search"
