"""Text of any encoding as rows that DuckDB can read in parallel, each with its place in the file.

Every row gets its line's number in front, blank lines are left out, and a broken row costs one record: DuckDB alone
would let a quote that is never closed swallow the rest of the file. A line with an even number of quotes closes all
that it opens and is copied as it is; the one with an odd number is read by Python's strict parser, as far as the row
reaches. If that fails, its first line is given up, and reading resumes at the next. Lines without any of that are
copied by the library (`numbering`).
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import IO, Any, Final, NamedTuple, cast

import python_calamine

from stream_app.errors import InvalidRecord
from stream_app.sources.forms import Look
from stream_app.sources.numbering import DOCUMENT_DELIMITER, PlainLines, Readable, read_block

ELEMENT_CHARACTERS_MAX: Final = 8 << 20
"""Of an element of a JSON list: longer ones are taken to be broken."""
_WHOLE_MAX: Final = 1e15
"""Excel keeps 15 digits: a whole number beyond is not the one that was typed."""


class Refusal(NamedTuple):
    """A row that is not a record.

    Attributes
    ----------
    row
        Number of its first line, or of the element of a list.
    error
        Why.
    payload
        The row as the file has it.
    """

    row: int
    error: InvalidRecord
    payload: bytes


@dataclass
class Cleaner:
    """Copies one file's rows.

    Parameters
    ----------
    look
        What the file is.
    refuse
        Called with every broken row.
    characters_max
        Of one row; longer ones are refused.
    """

    look: Look
    refuse: Callable[[Refusal], None]
    characters_max: int

    def copy(self, file: IO[bytes], out: IO[bytes]) -> None:
        """Copy all rows as UTF-8: the number, the delimiter, the row; a table's header is left out.

        Parameters
        ----------
        file
            Unpacked.
        out
            Where rows go.
        """
        if self.look.form == "xlsx":
            parts = self._sheet_rows(file)
        elif self.look.form == "json":
            parts = self._elements(file)
        else:
            parts = self._lines(file, out)
        for part in parts:
            out.write(part.encode("utf-8", "replace"))

    def _lines(self, file: IO[bytes], out: IO[bytes]) -> Iterator[str]:
        """Copy plain lines, as far as they reach; yield the rest, which has to be looked at line by line."""
        number, is_ascii, rest = 1, True, cast(Readable, file)
        if self.look.encoding == "utf-8":
            skipped = 0 if self.look.is_json else self.look.skipped_lines + self.look.has_header
            mark, quote = (DOCUMENT_DELIMITER, "\0") if self.look.is_json else (self.look.delimiter, '"')
            plain = PlainLines(rest, mark, quote, skipped, self.characters_max)
            plain.copy(out)
            number, is_ascii, rest = plain.number, plain.is_ascii, plain.rest
        blocks = self._blocks(rest, number, is_ascii=is_ascii)
        yield from self._documents(blocks, number) if self.look.is_json else self._rows(blocks, number)

    # --- tables ---------------------------------------------------------------------------------------------------

    def _rows(self, blocks: Iterator[list[str]], number: int) -> Iterator[str]:
        skipped, mark = self.look.skipped_lines + self.look.has_header, self.look.delimiter
        for lines in blocks:
            has_quotes = number <= skipped or any('"' in line for line in lines)
            if has_quotes:
                yield self._careful(lines, number, skipped, blocks)
            else:
                yield "".join(
                    [f"{n}{mark}{line}\n" for n, line in enumerate(lines, number) if line and not line.isspace()]
                )
            number += len(lines)

    def _careful(self, lines: list[str], number: int, skipped: int, blocks: Iterator[list[str]]) -> str:
        """Return rows of lines that have quotes; lines are added where the last row reaches beyond them."""
        rows: list[str] = []
        at = 0
        while at < len(lines):
            line = lines[at]
            if number + at <= skipped:
                at = self._behind_header(lines, at, skipped - number)
            elif not line or line.isspace():
                at += 1
            elif line.count('"') % 2:
                row, taken = self._cut(lines, at, number + at, blocks)
                rows.append(row)
                at += taken
            else:
                rows.append(f"{number + at}{self.look.delimiter}{line}\n")
                at += 1
        return "".join(rows)

    def _behind_header(self, lines: list[str], at: int, last: int) -> int:
        """Return where rows begin: a header may have line breaks in its cells."""
        if at < last or not self.look.has_header:
            return at + 1
        reader = csv.reader((line + "\n" for line in lines[at:]), delimiter=self.look.delimiter)
        try:
            next(reader)
        except (csv.Error, StopIteration):
            return at + 1
        return at + reader.line_num

    def _cut(self, lines: list[str], at: int, number: int, blocks: Iterator[list[str]]) -> tuple[str, int]:
        """Return a row that has an open quote as a clean one, empty if it is broken, and how many lines it takes."""
        taken = 0

        def following() -> Iterator[str]:
            nonlocal taken
            size = 0
            while size <= csv.field_size_limit():
                if at + taken == len(lines):
                    lines.extend(next(blocks, ()))
                    if at + taken == len(lines):
                        return
                line = lines[at + taken]
                taken += 1
                size += len(line)
                yield line + "\n"

        try:
            cells = next(csv.reader(following(), delimiter=self.look.delimiter, strict=True))
        except (csv.Error, StopIteration) as error:
            self.refuse_row(number, lines[at], str(error) or "a quote that is never closed")
            return "", 1
        return numbered(number, cells, self.look.delimiter), taken

    def refuse_row(self, number: int, line: str, fault: str) -> None:
        """Refuse a row that cannot be cut into cells."""
        message = f"$: not a CSV row ({fault}), expected {len(self.look.columns)} cells"
        self.refuse(Refusal(number, InvalidRecord("malformed", "$", message), line.encode()))

    def _sheet_rows(self, file: IO[bytes]) -> Iterator[str]:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(file.read()))
        rows = book.get_sheet_by_name(self.look.sheet).to_python(skip_empty_area=False)
        for number, row in enumerate(rows[self.look.skipped_lines + 1 :], self.look.skipped_lines + 2):
            cells = [_cell_of(value) for value in row]
            if any(cells):
                yield numbered(number, cells, self.look.delimiter)

    # --- documents ------------------------------------------------------------------------------------------------

    def _documents(self, blocks: Iterator[list[str]], number: int) -> Iterator[str]:
        mark = DOCUMENT_DELIMITER
        for lines in blocks:
            yield "".join([f"{n}{mark}{line}\n" for n, line in enumerate(lines, number) if line and not line.isspace()])
            number += len(lines)

    def _elements(self, file: IO[bytes]) -> Iterator[str]:
        """Yield the elements of a list, or the one document that a file is."""
        decoder, blocks = json.JSONDecoder(), self._blocks(cast(Readable, file))
        text, at, number = "", 0, 0
        while True:
            while at < len(text) and text[at] in " \t\r\n,[]" and not (text[at] == "[" and number):
                at += 1
            try:
                _, end = decoder.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                lines = next(blocks, None) if len(text) - at <= ELEMENT_CHARACTERS_MAX else None
                if lines is not None:
                    text, at = text[at:] + "\n".join([*lines, ""]), 0
                    continue
                if text[at:].strip():
                    message = f"$: element {number + 1} and what follows are not JSON ({error}), expected objects"
                    invalid = InvalidRecord("malformed", "$", message)
                    self.refuse(Refusal(number + 1, invalid, text[at : at + 1000].encode("utf-8", "replace")))
                return
            number += 1
            yield f"{number}{DOCUMENT_DELIMITER}{text[at:end]}".replace("\n", " ") + "\n"
            at = end

    # --- text -----------------------------------------------------------------------------------------------------

    def _blocks(self, file: Readable, number: int = 1, *, is_ascii: bool = True) -> Iterator[list[str]]:
        """Yield lines without their ends, block by block; an empty one takes the place of one that is refused."""
        rest = ""
        for text, damage in self._texts(file, is_ascii=is_ascii):
            *lines, rest = (rest + text).split("\n")
            if damage is not None:
                lines.append("")  # what is cut off
            elif not text and rest:
                lines, rest = [rest], ""
            if lines:
                yield self._sound(lines, number)
                number += len(lines)
            if damage is not None:
                message = f"$: the rest of the file cannot be read ({damage}), expected more of it"
                self.refuse(
                    Refusal(number - 1, InvalidRecord("malformed", "$", message), rest.encode("utf-8", "replace"))
                )

    def _sound(self, lines: list[str], number: int) -> list[str]:
        """Return lines, empty in place of those that cannot be read."""
        joined = "".join(lines)
        is_sound = "\0" not in joined and DOCUMENT_DELIMITER not in joined and not _has_surrogates(joined)
        if is_sound and max(map(len, lines)) <= self.characters_max:
            return lines
        return [self._sound_line(line, number + at) for at, line in enumerate(lines)]

    def _sound_line(self, line: str, number: int) -> str:
        if len(line) > self.characters_max:
            message = f"$: {len(line)} characters, expected at most {self.characters_max}"
            error = InvalidRecord("too_large", "$", message)
        elif _has_surrogates(line):
            error = InvalidRecord("invalid_encoding", "$", "$: bytes that are not UTF-8, expected text in UTF-8")
        elif "\0" in line or DOCUMENT_DELIMITER in line:
            error = InvalidRecord("malformed", "$", "$: control characters, expected text")
        else:
            return line
        self.refuse(Refusal(number, error, line.encode("utf-8", "surrogateescape")))
        return ""

    def _texts(self, file: Readable, *, is_ascii: bool) -> Iterator[tuple[str, Exception | None]]:
        """Yield text with plain ends of lines, an empty one at last; where reading fails, the reason with it."""
        encoding = self.look.encoding
        decode = codecs.getincrementaldecoder(encoding)("replace" if encoding != "utf-8" else "surrogateescape").decode
        lines = io.IncrementalNewlineDecoder(None, translate=True)
        damage: Exception | None = None
        while damage is None:
            data, damage = read_block(file)
            text = decode(data, not data)
            if encoding == "utf-8" and not text.isascii() and not self.look.is_json:
                if is_ascii and _is_mostly_broken(text):  # plain so far, and what comes is not UTF-8
                    encoding = "cp1252"
                    decode = codecs.getincrementaldecoder(encoding)("replace").decode
                    text = text.encode("utf-8", "surrogateescape").decode(encoding, "replace")
                is_ascii = False
            yield lines.decode(text.removeprefix("\ufeff"), final=not data), damage
            if not data:
                return


def numbered(number: int, cells: list[str], delimiter: str) -> str:
    """Return a row of cells as a clean one."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerow([str(number), *cells])
    return buffer.getvalue()


def _has_surrogates(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_mostly_broken(text: str) -> bool:
    """Return whether fewer characters beyond ASCII are UTF-8 than are not."""
    beyond = [character for character in text if character > "\x7f"]
    broken = sum("\udc80" <= character <= "\udcff" for character in beyond)
    return 2 * broken > len(beyond)


def _cell_of(value: Any) -> str:
    """Return what an Excel cell says, as text: all its numbers are binary fractions, and whole ones are meant whole."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _WHOLE_MAX else repr(value)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return value.isoformat() if isinstance(value, date) else str(value)
