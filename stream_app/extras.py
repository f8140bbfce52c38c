"""Which extras of the installation bring what the base does not have; the error of a missing one names it.

A role is installed as `stream-segmenter[worker]`, say, and brings nothing that only other roles need.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

KAFKA: Final = ("worker", "view", "api", "webhooks", "replay")
"""Extras with a client of Kafka, any of which is enough for what an operator asks of it."""
_SERVICES: Final = ("worker", "view", "api", "webhooks")

MODULES: Final = {
    "aiohttp": _SERVICES,
    "aiokafka": KAFKA,
    "cramjam": KAFKA,
    "duckdb": ("replay",),
    "fastapi": ("api",),
    "faust": ("worker",),
    "httptools": ("api",),
    "httpx": ("webhooks",),
    "python_calamine": ("replay",),
    "redis": ("view", "api"),
    "rich": ("replay",),
    "river": ("worker", "replay"),
    "scipy": ("worker", "replay"),
    "sniffio": ("webhooks",),
    "standardwebhooks": ("webhooks",),
    "uvicorn": ("api",),
    "uvloop": ("api",),
}
"""Module → extras, any of which brings it."""


def missing_extra(module: str | None, wanted: Collection[str], who: str) -> str | None:
    """Return a line that names the extra to install; None if no extra brings the module, so its absence is a bug.

    Parameters
    ----------
    module
        Which is not installed, with dots or without.
    wanted
        Extras of the command; one of these is named if it brings the module.
    who
        What needs it.
    """
    top = (module or "").partition(".")[0]
    bringing = MODULES.get(top)
    if bringing is None:
        return None
    named = [extra for extra in bringing if extra in wanted] or list(bringing)
    extras = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} or {named[-1]}"
    return (
        f"{who} needs the package {top}, which is not installed; the extra {extras} brings it: "
        f"pip install 'stream-segmenter[{named[0]}]'"
    )
