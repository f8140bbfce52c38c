"""Whether JSON lines are in order of time already, as most streams are: then nothing needs to be sorted.

The time alone is looked for, which costs little beside folding. Texts of the contracts' commonest form are compared as
they are. Where a line says the time more than once, or in another form, it is read as JSON. A record without a time has
no place, and is passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from stream_app.contracts.fields import parse_instant
from stream_app.contracts.scanner import count_lines
from stream_app.core.clock import NO_TIME
from stream_app.sources.forms import Look, open_unpacked
from stream_app.sources.numbering import DAMAGES

_BLOCK_BYTES: Final = 1 << 20
_COMMON_CHARACTERS: Final = 24
"""Of `2024-05-01T12:00:00.000Z`, which is ordered as its text is."""


def is_in_order(look: Look, time_field: str) -> bool:
    """Return whether no record of a file of JSON lines has an earlier time than one before it.

    Parameters
    ----------
    look
        What the file is.
    time_field
        Of its records.
    """
    mark = b'"%b":"' % time_field.encode()
    said = re.compile(rb'"' + re.escape(time_field.encode()) + rb'"\s*:\s*"([^"\\]*)"')
    latest_ms = NO_TIME
    for block in _blocks(look):
        cut = np.array(block.split(mark)[1:], f"S{_COMMON_CHARACTERS}")
        if len(cut) != count_lines(block) or not _are_common(cut):
            times = list(_careful(block, said, time_field))
        elif (cut[1:] < cut[:-1]).any():
            return False
        else:
            times = [*cut[:1].tolist(), *cut[-1:].tolist()]
        instants = [instant for time in times if (instant := _instant(time)) is not None]
        if instants != sorted(instants) or (instants and instants[0] < latest_ms):
            return False
        latest_ms = instants[-1] if instants else latest_ms
    return True


def _are_common(times: npt.NDArray[np.bytes_]) -> bool:
    """Return whether all are of the commonest form, as far as their order needs it."""
    return bool((times.view(np.uint8)[_COMMON_CHARACTERS - 1 :: _COMMON_CHARACTERS] == ord("Z")).all())


def _blocks(look: Look) -> Iterator[bytes]:
    """Yield whole lines; what is cut off or cannot be read is passed over."""
    rest = b""
    with open_unpacked(look) as file:
        while True:
            try:
                part = file.read1(_BLOCK_BYTES)  # type: ignore[attr-defined]
            except DAMAGES:
                return
            if not part:
                yield rest + b"\n" if rest else b""
                return
            lines, end, part = part.rpartition(b"\n")
            if end:
                yield rest + lines + end
                rest = part
            else:
                rest += part


def _careful(block: bytes, said: re.Pattern[bytes], time_field: str) -> Iterator[bytes]:
    for line in block.split(b"\n"):
        times: Sequence[bytes] = said.findall(line)
        if len(times) == 1:
            yield times[0]
        elif line.strip():
            try:
                time = json.loads(line).get(time_field)
            except (ValueError, AttributeError, RecursionError):
                continue
            if isinstance(time, str):
                yield time.encode("utf-8", "surrogatepass")


def _instant(time: bytes) -> int | None:
    try:
        return parse_instant(time.decode("utf-8", "replace")) if time else None
    except ValueError:
        return None
