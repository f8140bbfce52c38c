from __future__ import annotations

import csv
from pathlib import Path

import pytest

from stream_app.errors import ConfigurationError
from stream_app.sources import cdnow


@pytest.fixture
def purchases(tmp_path: Path) -> list[list[str]]:
    path = tmp_path / "cdnow.csv"
    assert cdnow.write_cdnow_csv(path) == 69_659
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.real_data
def test_all_purchases_are_written_in_the_order_of_their_days(purchases: list[list[str]]) -> None:
    header, *rows = purchases
    assert tuple(header) == cdnow.COLUMNS
    assert len(rows) == 69_659
    days = [row[1] for row in rows]
    assert days == sorted(days)
    assert (days[0], days[-1]) == ("1997-01-01", "1998-06-30")
    assert len({row[0] for row in rows}) == 23_570
    assert sum(float(row[3]) == 0 for row in rows) == 80


def test_missing_package_is_named_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdnow, "_FILE", "absent.txt")
    with pytest.raises(ConfigurationError, match="pip install --no-deps lifetimes"):
        cdnow.write_cdnow_csv(tmp_path / "new" / "cdnow.csv")
    assert list(tmp_path.iterdir()) == []
