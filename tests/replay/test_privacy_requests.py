"""`segmenter replay --privacy-requests`: files go through the same core as a worker's records."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from stream_app.cli import segmenter
from stream_app.core.clock import format_instant
from tests.support.events import instant


def test_erased_customer_leaves_and_begins_anew_and_suppressed_one_does_not(tmp_path: Path) -> None:
    orders = [
        {
            "event_id": f"e{day}-{customer_id}",
            "order_id": f"o{day}-{customer_id}",
            "customer_id": customer_id,
            "occurred_at": format_instant(instant(day)),
            "total": "20.00",
            "currency": "EUR",
        }
        for day in (0, 4)
        for customer_id in ("c1", "c2", "c3")
    ]
    requests = [
        {"request_id": type_, "type": type_, "customer_id": customer_id, "requested_at": format_instant(instant(2))}
        for type_, customer_id in (("erase", "c1"), ("suppress", "c2"))
    ]
    for name, lines in (("orders", orders), ("requests", requests)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    out = tmp_path / "out"
    files = ["--purchases", str(tmp_path / "orders.jsonl"), "--privacy-requests", str(tmp_path / "requests.jsonl")]
    done = CliRunner().invoke(segmenter, ["replay", *files, "--out", str(out)])
    assert done.exit_code == 0, done.output
    lines = (out / "migrations.jsonl").read_text("utf-8").splitlines()
    moves = [each for each in map(json.loads, lines) if each["segmentation"] == "value"]
    told = [(each["customer_id"], each["sequence"], each["change"]) for each in moves]
    assert [each[1:] for each in told if each[0] == "c1"] == [(1, "entered"), (2, "left"), (3, "entered")]
    assert [each[1:] for each in told if each[0] == "c2"] == [(1, "entered"), (2, "left")]
    members = {json.loads(line)["customer_id"] for line in (out / "memberships.jsonl").read_text("utf-8").splitlines()}
    assert members == {"c1", "c3"}
