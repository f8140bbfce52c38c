"""What `segmenter privacy` says; what it does to a deployment is in `tests/integration/test_privacy.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from stream_app.audit.traces import FEW_IDS, IdFinder
from stream_app.bootstrap.privacy_requests import PlannedRequest, Receipts
from stream_app.cli import segmenter
from stream_app.commands.privacy import IDS_MAX, is_overdue, state_of, status_lines
from stream_app.commands.privacy_page import page_of
from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.privacy_requests import PRIVACY_REQUESTS
from stream_app.contracts.outputs.receipts import PrivacyReceipt, StoreReceipt
from stream_app.contracts.policy import DecodingPolicy
from stream_app.core.events import PRIVACY_REQUEST
from tests.support.events import START_MS


def at(day: int) -> str:
    return f"2024-01-{day:02}T00:00:00.000Z"


RECEIPT = PrivacyReceipt(
    request_id="r1",
    type="erase",
    customer="93f5f5799a932462",
    partition=0,
    jurisdiction=None,
    requested_at=at(1),
    accepted_at=at(2),
    due_at=at(5),
    was_known=True,
    is_suppressed=False,
    stores=[
        StoreReceipt(store="segment-memberships", how="compaction", by=at(4)),
        StoreReceipt(store="segment-migrations", how="retention", by=at(9)),
    ],
    marked_until=at(9),
)


@pytest.mark.parametrize(
    ("day", "state"),
    [(3, "done, waits for compaction"), (5, f"done, until {at(9)} by retention"), (10, "finished")],
)
def test_state_of_a_request_follows_from_its_receipt(day: int, state: str) -> None:
    assert state_of(RECEIPT, at(day)) == state
    assert not is_overdue(RECEIPT, at(day))


def test_request_is_overdue_if_compaction_may_come_after_its_deadline() -> None:
    late = RECEIPT.model_copy(update={"due_at": at(1)})
    assert (state_of(late, at(3)), is_overdue(late, at(3))) == ("overdue", True)


def test_status_names_what_is_left_what_waits_and_how_far_the_view_is() -> None:
    lines = list(status_lines(Receipts({"r1": RECEIPT}, ["r2"], 1), at(5)))
    assert lines[0].startswith(f"r1 erase: done, until {at(9)} by retention; asked {at(1)}, done {at(2)}, due {at(5)}")
    assert lines[1:] == [
        f"    segment-migrations: by {at(9)} at the latest (retention)",
        "r2: waits for a worker",
        "view: 1 record behind",
    ]
    assert list(status_lines(Receipts({}, [], 0), at(5))) == ["view: up to date", "no request is known"]


def test_request_that_is_sent_is_a_valid_one() -> None:
    planned = PlannedRequest("r1", "suppress", "käthe", at(1), None, "US-CA")
    event = Decoder(PRIVACY_REQUESTS, DecodingPolicy()).decode(planned.encode(), START_MS + 10**12, "käthe".encode())
    assert (event.kind, event.event_id, event.type, event.kept) == (PRIVACY_REQUEST, "r1", "suppress", b"US-CA")


def test_too_many_customers_and_none_are_refused(tmp_path: Path) -> None:
    listed = tmp_path / "ids"
    listed.write_text("".join(f"c{number}\n" for number in range(IDS_MAX + 1)), "utf-8")
    many = CliRunner().invoke(segmenter, ["privacy", "erase", "--ids", str(listed)])
    assert (many.exit_code, "5,001 customers, expected at most 5,000 in one call" in many.output) == (2, True)
    none = CliRunner().invoke(segmenter, ["privacy", "suppress"])
    assert (none.exit_code, "name at least one customer" in none.output) == (2, True)


@pytest.mark.parametrize("others", [0, 2 * FEW_IDS])
def test_id_is_found_in_keys_and_values_and_no_other_id_is_taken_for_it(others: int) -> None:
    finder = IdFinder(["c1", "ä/1", *(f"other-{number}" for number in range(others))])
    assert finder.find(b"c1") == finder.find(b"value/c1") == finder.find(b'{"customer_id":"c1"}') == {"c1"}
    assert finder.find(b'{"payload":"{\\"customer_id\\":\\"c1\\"}"}') == {"c1"}
    assert finder.find('{"customer_id":"ä/1"}'.encode()) == finder.find(b'{"customer_id":"\\u00e4/1"}') == {"ä/1"}
    assert finder.find(b'{"customer_id":"c10","event_id":"c1-2"}') == finder.find(None) == set()


def test_page_shows_everything_and_runs_nothing() -> None:
    held = {name: [] for name in ("memberships", "migrations", "notices", "refused_records")}
    page = page_of(
        {"customer_id": "<b>c1", "profile": {"purchases": 3, "traits": {"city": "<i>"}}, "inputs": {}, **held}
    )
    assert "&lt;b&gt;c1" in page
    assert "&lt;i&gt;" in page
    assert "<script" not in page
    assert "'unsafe-inline'" not in page
