"""The plain lines at the beginning of a file, with their numbers in front.

A line is plain if there is nothing to decide about it: it is UTF-8 without control characters, ends in the usual way,
opens no quote that it does not close, and is not too long. Most files have no others, and the compiled library copies
theirs twenty times as fast as Python reads one line after the other. From the first block on that has another, lines
are read one by one (`stream_app.sources.cleaning`).
"""

from __future__ import annotations

import codecs
import ctypes
import re
import zlib
from collections.abc import Callable
from functools import cache
from typing import IO, Any, Final, Protocol

import numpy as np

from stream_app.contracts.scanner import count_lines
from stream_app.native.library import address, function

BLOCK_BYTES: Final = 4 << 20
"""How much text is cleaned at once."""
DAMAGES: Final = (EOFError, zlib.error, OSError)
"""What reading raises where compressed data is cut off or corrupt, or a disk fails."""
DOCUMENT_DELIMITER: Final = "\x01"
"""Between a document's line and its text: JSON has no such character."""
_NUMBER_BYTES: Final = 20
"""Of a line's number and the mark after it, at most."""
_BLANK_LINE: Final = re.compile(r"^[^\S\n]+$", re.MULTILINE)


class Readable(Protocol):
    """What can be read some bytes at a time."""

    def read1(self, size: int = -1, /) -> bytes:
        """Return the next bytes, none at the end."""


class PlainLines:
    """Copies the plain lines that a file begins with.

    Parameters
    ----------
    file
        Unpacked UTF-8.
    mark
        What separates a line's number from the line, one byte.
    quote
        What a line must have an even number of, one byte; none if it is 0.
    skipped
        How many lines are left out at the beginning.
    longest
        Bytes of a line at most.

    Attributes
    ----------
    number
        Of the first line that is not copied.
    is_ascii
        Whether all that is copied is ASCII.
    rest
        What has not been copied.
    """

    def __init__(self, file: Readable, mark: str, quote: str, skipped: int, longest: int) -> None:
        self.number = 1
        self.is_ascii = True
        self.rest = Resumed(file)
        self._mark = ord(mark)
        self._quote = ord(quote)
        self._skipped = skipped
        self._longest = longest

    def copy(self, out: IO[bytes]) -> None:
        """Copy lines until the first block that has one which is not plain."""
        held = b""
        while True:
            data, damage = read_block(self.rest)
            held += data
            end = held.rfind(b"\n") + 1
            block = held[:end] if data or not held or not held[end:] else held + b"\n"
            if damage is not None or (block and not self._copy_block(block, out)):
                self.rest.give_back(held, damage)
                return
            held = held[end:]
            if not data:
                return

    def _copy_block(self, block: bytes, out: IO[bytes]) -> bool:
        """Copy whole lines, if all of them are plain; return whether they are."""
        lines = block.replace(b"\r\n", b"\n") if b"\r" in block else block
        if self.number == 1:
            lines = lines.removeprefix(codecs.BOM_UTF8)
        if any(sign in lines for sign in (b"\r", b"\0", b"\x01")) or not (lines.isascii() or _is_sound(lines)):
            return False
        count = count_lines(lines)
        skipped = min(max(self._skipped + 1 - self.number, 0), count)
        begin = 0
        for _ in range(skipped):
            begin = lines.index(b"\n", begin) + 1
        if lines.count(self._quote, 0, begin):  # a header may have line breaks in its cells
            return False
        numbered = np.empty(len(lines) - begin + _NUMBER_BYTES * (count - skipped), np.uint8)
        rows = np.frombuffer(lines, np.uint8)[begin:]
        first, mark, quote = self.number + skipped, self._mark, self._quote if self._quote in lines else 0
        size = _number_lines()(
            address(rows), len(rows), first, mark, quote, self._longest, address(numbered), len(numbered)
        )
        if size < 0:
            return False
        out.write(numbered[:size].data)
        self.number += count
        self.is_ascii = self.is_ascii and lines.isascii()
        return True


class Resumed:
    """A file of which something has been given back.

    Parameters
    ----------
    file
        The file.
    """

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._given_back = b""
        self._damage: Exception | None = None

    def give_back(self, data: bytes, damage: Exception | None) -> None:
        """Have data read again, and what is wrong with what follows."""
        self._given_back, self._damage = data, damage

    def read1(self, size: int = -1, /) -> bytes:
        """Return the next bytes, none at the end."""
        if self._given_back:
            data, self._given_back = self._given_back, b""
            return data
        if self._damage is not None:
            raise self._damage
        return self._file.read1(size)


def read_block(file: Readable) -> tuple[bytes, Exception | None]:
    """Return the next bytes, and why there are no more; not by `read`, which loses what it has read where it fails."""
    parts, size = [], 0
    try:
        while size < BLOCK_BYTES and (part := file.read1(BLOCK_BYTES - size)):
            parts.append(part)
            size += len(part)
    except DAMAGES as error:
        return b"".join(parts), error
    return b"".join(parts), None


def _is_sound(lines: bytes) -> bool:
    """Return whether lines beyond ASCII are UTF-8, and none consists of blanks (some are beyond ASCII)."""
    try:
        text = lines.decode()
    except UnicodeDecodeError:
        return False
    return _BLANK_LINE.search(text) is None


@cache
def _number_lines() -> Callable[..., Any]:
    number, byte, array = ctypes.c_int64, ctypes.c_uint8, ctypes.c_void_p
    return function("seg_number_lines", number, array, number, number, byte, byte, number, array, number)
