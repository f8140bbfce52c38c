"""A streaming customer segmenter: events in, segment migrations out.

>>> import stream_app as seg
>>> segmenter = seg.Segmenter()

`Segmenter` is the interface for notebooks and scripts (docs/python.md). It is imported when it is first asked for: the
command, of which this package is the larger part, has no use for it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # for type checkers as that of `typing`, whose import would take most of this one's time
if TYPE_CHECKING:
    from typing import Any

    from stream_app.errors import (
        ConfigurationError,
        CustomerUnknown,
        EventRefused,
        LoadFailed,
        SavedRunUnusable,
        SegmenterError,
    )
    from stream_app.notebook.segmenter import Membership, Migration, Segmenter

    __version__: str

__all__ = [
    "ConfigurationError",
    "CustomerUnknown",
    "EventRefused",
    "LoadFailed",
    "Membership",
    "Migration",
    "SavedRunUnusable",
    "Segmenter",
    "SegmenterError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("stream-segmenter")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stream_app import errors

    try:
        from stream_app.notebook import segmenter
    except ModuleNotFoundError as error:
        from stream_app.extras import missing_extra

        line = missing_extra(error.name, ("replay",), f"stream_app.{name}")
        if line is None:
            raise
        raise ImportError(line, name=error.name) from error

    return getattr(errors if hasattr(errors, name) else segmenter, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
