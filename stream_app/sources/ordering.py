"""The order of JSON lines: whether they are in order of time already, as most streams are, and which comes first.

Lines in order need not be sorted. The time alone is looked for, which costs little beside folding
(`native/ordering.c`): texts of the contracts' commonest form are compared as they are. Where a line says the time more
than once, or in another form, it is read as JSON. A record without a time has no place, and is passed over.
"""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from stream_app.contracts.fields import parse_instant
from stream_app.contracts.scanner import Spans
from stream_app.core.clock import NO_TIME
from stream_app.core.events import Records
from stream_app.native.library import address, function
from stream_app.sources.forms import Look, open_unpacked
from stream_app.sources.numbering import DAMAGES

_BLOCK_BYTES: Final = 1 << 20
_COMMON_CHARACTERS: Final = 24
"""Of `2024-05-01T12:00:00.000Z`, which is ordered as its text is."""
_ASCENDING, _FALLING, _UNCOMMON = range(3)


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
    edges = np.empty(2, np.int64)
    for block in _blocks(look):
        found = _lines_in_order()(address(np.frombuffer(block, np.uint8)), len(block), mark, len(mark), address(edges))
        if found == _FALLING:
            return False
        if found == _UNCOMMON:
            times = list(_careful(bytes(block), said, time_field))
        else:
            times = [bytes(block[at : at + _COMMON_CHARACTERS]) for at in edges.tolist() if at >= 0]
        instants = [instant for time in times if (instant := _instant(time)) is not None]
        if instants != sorted(instants) or (instants and instants[0] < latest_ms):
            return False
        latest_ms = instants[-1] if instants else latest_ms
    return True


def order_instants(records: Records, block: bytes, lines: Spans) -> None:
    """Put records of one instant that follow one another in the order of their text; offsets stay where they are.

    Parameters
    ----------
    records
        Of the first lines.
    block, lines
        Where the lines are.
    """
    status = _order_instants()(
        address(records), len(records), block, len(block), address(lines.at), address(lines.size)
    )
    if status != 0:
        raise MemoryError(f"records of one instant: status {status} of seg_order_instants, expected room to sort them")


def _blocks(look: Look) -> Iterator[memoryview]:
    """Yield whole lines, which the next ones take the place of; what is cut off or cannot be read is passed over."""
    buffer, filled = bytearray(_BLOCK_BYTES), 0
    with open_unpacked(look) as file:
        while True:
            if filled == len(buffer):  # with a single line
                buffer = buffer + bytes(filled)  # another one, as the last lines are still in use
            whole = memoryview(buffer)
            try:
                size = file.readinto1(whole[filled:])  # type: ignore[attr-defined]
            except DAMAGES:
                return
            if not size:
                if filled:
                    yield memoryview(bytes(whole[:filled]) + b"\n")
                return
            end = buffer.rfind(b"\n", filled, filled + size) + 1
            filled += size
            if end:
                yield whole[:end]
                whole[: filled - end] = bytes(whole[end:filled])
                filled -= end


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


@cache
def _lines_in_order() -> Callable[..., Any]:
    number, array = ctypes.c_int64, ctypes.c_void_p
    return function("seg_lines_in_order", ctypes.c_int32, array, number, ctypes.c_char_p, number, array)


@cache
def _order_instants() -> Callable[..., Any]:
    number, array = ctypes.c_int64, ctypes.c_void_p
    return function("seg_order_instants", ctypes.c_int32, array, number, ctypes.c_char_p, number, array, array)
