"""Takes a picture of every page of a report and of the live console, in light and dark, wide and narrow.

    python -m tests.web.screenshots FOLDER [OUT]

FOLDER is what a replay wrote; the pictures go to OUT, `screenshots` beside the report if it is not named. The console
is that of a deployment which has come as far, with a view in a Redis of its own.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.servers import RedisServer
from tests.web.consoles import Consoles, wait_until_counted, wait_until_ready
from tests.web.driving import Driver, Visit
from tests.web.view_of_replay import ViewOfReplay

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


LIVE_ADDRESSES: Final = ADDRESSES | {
    "who-lapsed": "#/movements?change=lapsed",
    "health": "#/health",
}
FILLED: Final = [{"wait": ".live.live"}, {"pause": 1_500}]
"""Parts that are asked for are there by then."""


def visits_of(base: str, addresses: dict[str, str], out: Path, stem: str, actions: list[dict[str, Any]]) -> list[Visit]:
    return [
        Visit(
            base + address,
            width,
            scheme,
            actions,
            screenshot=str((out / f"{stem}{name}-{scheme}-{width}.png").resolve()),
        )
        for name, address in addresses.items()
        for scheme in ("light", "dark")
        for width in (1_280, 390)
    ]


@contextmanager
def console(folder: Path, place: Path) -> Iterator[tuple[str, str]]:
    """Serve a console; yield its address, and a customer who has moved."""
    with RedisServer(place) as server:
        view = ViewOfReplay(server.port, folder)
        view.fill()
        with Consoles(view).serving(is_open=True) as address:
            wait_until_ready(address)
            wait_until_counted(address)
            yield address, view.some_movers()[0]


def main(folder: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    report = (folder / "report.html").resolve().as_uri()
    with tempfile.TemporaryDirectory() as place, console(folder, Path(place)) as (address, customer):
        driver = Driver(Path(place) / "browser")
        live = LIVE_ADDRESSES | {"customer": f"#/customer?id={customer}"}
        visits = [
            *visits_of(report, ADDRESSES, out, "", []),
            *visits_of(f"{address}/", live, out, "live-", FILLED),
        ]
        found = driver.visit(*visits)
    errors = [error for each in found for error in each.errors]
    print(f"{len(visits)} pictures in {out}", *errors, sep="\n")
    if errors:
        sys.exit(1)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    main(path, Path(sys.argv[2]) if len(sys.argv) > 2 else path / "screenshots")
