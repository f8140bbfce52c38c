"""`segmenter identities show`: the graph of one customer, by any of its ids."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream_app.cli import segmenter

SAID = [
    ("link", "phone", "u1", "device"),
    ("merge", "u1", "u2", None),
    ("merge", "u2", "u1", None),
    ("link", "kiosk", "u2", "device"),
    ("link", "kiosk", "u3", "device"),
]


@pytest.fixture
def statements(tmp_path: Path) -> Path:
    path = tmp_path / "identities.jsonl"
    records = [
        {
            "type": kind,
            "alias": alias,
            "customer_id": customer_id,
            "namespace": namespace,
            "observed_at": f"2024-01-0{day}T00:00:00Z",
        }
        for day, (kind, alias, customer_id, namespace) in enumerate(SAID, 1)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def show(customer_id: str, statements: Path) -> str:
    result = CliRunner().invoke(segmenter, ["identities", "show", customer_id, "--identities", str(statements)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("customer_id", ["phone", "u1", "u2"])
def test_customer_is_shown_by_any_of_its_ids(customer_id: str, statements: Path) -> None:
    assert show(customer_id, statements) == (
        "u2: 3 ids\n"
        "  phone → u1 (link of a device, 2024-01-01T00:00:00.000Z)\n"
        "  u1 → u2 (merge, 2024-01-02T00:00:00.000Z)\n"
        "  refused: u2 → u1 (merge, 2024-01-03T00:00:00.000Z): identity_cycle\n"
    )


def test_shared_alias_is_alone_and_says_why(statements: Path) -> None:
    assert show("kiosk", statements) == (
        "kiosk: 1 id, shared\n  refused: kiosk → u3 (link of a device, 2024-01-05T00:00:00.000Z): shared_alias\n"
    )


def test_id_of_whom_nobody_has_said_anything_is_alone(statements: Path) -> None:
    assert show("u9", statements) == "u9: 1 id\n"
