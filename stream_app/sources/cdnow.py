"""The CDNOW purchases (Fader and Hardie, 2001), as carried by the PyPI package `lifetimes` as a data file.

The package is never imported: its code needs old versions of other packages, the file needs nothing.
"""

from __future__ import annotations

import csv
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Final

from stream_app.errors import ConfigurationError

COLUMNS: Final = ("customer_id", "date", "items", "amount")
CURRENCY: Final = "USD"
_FILE: Final = "CDNOW_master.txt"


def write_cdnow_csv(path: Path) -> int:
    """Write the purchases, ordered by day, as a CSV file with the columns `COLUMNS`; return their number.

    Raises
    ------
    ConfigurationError
        If the package that carries the data is not installed; nothing is written then.
    """
    lines = _locate().read_text("utf-8").splitlines()[1:]
    purchases = sorted((line.split() for line in lines if line.strip()), key=lambda fields: fields[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for customer_id, day, items, amount in purchases:
            writer.writerow((customer_id, f"{day[:4]}-{day[4:6]}-{day[6:]}", items, amount))
    return len(purchases)


def _locate() -> Path:
    try:
        carried = files("lifetimes") or []
    except PackageNotFoundError:
        carried = []
    for file in carried:
        if file.name == _FILE:
            return Path(str(file.locate()))
    raise ConfigurationError(
        "the CDNOW data is not installed: run `make demo` in a clone, or else `pip install --no-deps lifetimes`, which "
        "is the extra demo"
    )
