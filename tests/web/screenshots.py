"""Takes a picture of every page of a report, in light and dark, wide and narrow.

    python -m tests.web.screenshots FOLDER [OUT]

FOLDER is what a replay wrote; the pictures go to OUT, `screenshots` beside the report if it is not named.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.web.driving import Driver, Visit

ADDRESSES: Final = {
    "overview": "#/overview",
    "overview-quarter": "#/overview?days=90",
    "movements": "#/movements",
    "segment": "#/segment?segment=s1",
    "rfm": "#/rfm",
    "rfm-cell": "#/rfm?group=at_risk",
    "customers": "#/customer",
    "models": "#/models",
    "quality": "#/quality",
}


def main(folder: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    report = (folder / "report.html").resolve().as_uri()
    visits = [
        Visit(report + address, width, scheme, screenshot=str((out / f"{name}-{scheme}-{width}.png").resolve()))
        for name, address in ADDRESSES.items()
        for scheme in ("light", "dark")
        for width in (1_280, 390)
    ]
    with tempfile.TemporaryDirectory() as place:
        found = Driver(Path(place) / "browser").visit(*visits)
    errors = [error for each in found for error in each.errors]
    print(f"{len(visits)} pictures in {out}", *errors, sep="\n")
    if errors:
        sys.exit(1)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    main(path, Path(sys.argv[2]) if len(sys.argv) > 2 else path / "screenshots")
