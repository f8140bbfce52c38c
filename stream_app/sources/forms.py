"""What a file is, found by looking at its beginning, never by its name.

Packing (gzip, zip), then the bytes that Parquet, Excel and zip files begin with, then the encoding (a byte order mark,
zero bytes in every other place, UTF-8, else Windows-1252, of which Latin-1 is a part as far as text goes), then JSON by
its first character. What is left is a table as text. Its delimiter is the one that cuts most rows of the beginning into
the same number of cells, two at least, and its header the first row of that many cells in which none is a number.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

import python_calamine

from stream_app.errors import ConfigurationError

if TYPE_CHECKING:
    from stream_app.sources.mapping import Form, Source

LOOKED_AT_BYTES: Final = 256 << 10
"""The beginning of a file by which its form is found."""
ROWS_LOOKED_AT: Final = 100
DOCUMENTS_LOOKED_AT: Final = 100
PREAMBLE_LINES_MAX: Final = 50
"""A report's title and the like before the header."""
DELIMITERS: Final = (",", ";", "\t", "|")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ZEROS_PER_BYTE_MAX: Final = 0.01
_SEPARATOR: Final = re.compile(r"sep=(.)\r?\n?")
_FIGURE: Final = re.compile(r"[-+]?[0-9][0-9.,:/ TZ+-]*")
"""What cannot be a title: a number, a date or a time."""
_OLD_EXCEL: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@dataclass(frozen=True)
class Look:
    """What a file is.

    Parameters
    ----------
    path
        The file.
    form
        What it is once unpacked.
    packing, member
        `gz`, `zip` or nothing; which file of a zip.
    encoding
        Of text, as Python calls it.
    mark_bytes
        Length of its byte order mark.
    delimiter
        Of a table as text.
    skipped_lines
        Lines before the header.
    columns
        Titles of the header; of JSON, names on the first level of the first documents.
    documents
        The first documents of JSON.
    sheet
        Of Excel: the one looked at.
    has_header
        Whether a table's first row names its columns.
    """

    path: Path
    form: Form
    packing: str = ""
    member: str = ""
    encoding: str = "utf-8"
    mark_bytes: int = 0
    delimiter: str = ","
    skipped_lines: int = 0
    columns: tuple[str, ...] = ()
    documents: tuple[Any, ...] = ()
    sheet: str = ""
    has_header: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it."""
        return self.form == "jsonl" and not self.documents

    @property
    def is_json(self) -> bool:
        """Whether its records are documents."""
        return self.form in ("json", "jsonl")

    def describe(self) -> str:
        """Return what it is, in words, such as `CSV (";", utf-16-le), zipped`."""
        words = self.form.upper()
        if self.form in ("csv", "tsv"):
            words += f" ({self.delimiter!r}, {self.encoding})"
        elif self.encoding != "utf-8":
            words += f" ({self.encoding})"
        packed = {"gz": ", gzipped", "zip": f", {self.member} in a zip"}
        return words + packed.get(self.packing, "")


def members_of(path: Path) -> list[str]:
    """Return the names of the files in a zip file that is not an Excel file; none of anything else."""
    if not _begins_with(path, b"PK\x03\x04"):
        return []
    with zipfile.ZipFile(path) as packed:
        names = [info.filename for info in packed.infolist() if not info.is_dir()]
    if "xl/workbook.xml" in names:
        return []
    return [name for name in names if not name.startswith("__MACOSX/") and not Path(name).name.startswith(".")]


def look_at(path: Path, source: Source | None = None, member: str = "") -> Look:
    """Return what a file is.

    Parameters
    ----------
    path
        The file; not a pipe, since it is read again.
    source
        What is known of it already.
    member
        Which file of a zip; needed where there are several.

    Raises
    ------
    ConfigurationError
        If it cannot be read, or is in no form that can be loaded.
    """
    try:
        look = _unpacked(path, member)
        with open_unpacked(look) as file:
            head = _beginning(file)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{path}: cannot be read ({reason}); name an existing file") from error
    if head.startswith(b"PAR1"):
        return replace(look, form="parquet", columns=_columns_of_parquet(look))
    if head.startswith((b"PK\x03\x04", _OLD_EXCEL)):
        return _look_at_sheet(replace(look, form="xlsx"), source)
    if not head:
        return replace(look, form="jsonl")
    look = _with_encoding(look, head, source)
    text = head[look.mark_bytes :].decode(look.encoding, "replace")
    form = (source and source.form) or _form_of(text)
    if form in ("json", "jsonl"):
        documents = tuple(_documents(text))
        names = {name: None for document in documents if isinstance(document, dict) for name in document}
        return replace(look, form=cast("Form", form), columns=tuple(names), documents=documents)
    return _look_at_table(look, text, len(head) < LOOKED_AT_BYTES, source)


def _columns_of_parquet(look: Look) -> tuple[str, ...]:
    import duckdb  # here: looking at text needs none of it

    with tempfile.NamedTemporaryFile(suffix=".parquet") as copy, duckdb.connect() as connection:
        path = str(look.path)
        if look.packing:
            with open_unpacked(look) as packed:
                shutil.copyfileobj(packed, copy)
            copy.flush()
            path = copy.name
        try:
            described = connection.execute("DESCRIBE SELECT * FROM read_parquet($path)", {"path": path}).fetchall()
        except duckdb.Error as error:
            raise ConfigurationError(f"{look.path}: cannot be read ({error}), expected a Parquet file") from error
    return tuple(str(name) for name, *_ in described)


def open_unpacked(look: Look) -> IO[bytes]:
    """Open a file's bytes as they are once unpacked."""
    if look.packing == "gz":
        return cast(IO[bytes], gzip.open(look.path, "rb"))
    if look.packing == "zip":
        return zipfile.ZipFile(look.path).open(look.member)
    return look.path.open("rb")


def _beginning(file: IO[bytes]) -> bytes:
    """Return the first bytes, as far as they can be read: `read` would lose them where it fails."""
    parts, size = [], 0
    with suppress(EOFError, zlib.error):
        while size < LOOKED_AT_BYTES and (part := file.read1(LOOKED_AT_BYTES - size)):  # type: ignore[attr-defined]
            parts.append(part)
            size += len(part)
    return b"".join(parts)


def _begins_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); name an existing file") from error


def _unpacked(path: Path, member: str) -> Look:
    if _begins_with(path, b"\x1f\x8b"):
        return Look(path, "csv", "gz")
    members = members_of(path)
    if not members:
        return Look(path, "csv")
    if not member and len(members) > 1:
        raise ConfigurationError(f"{path}: holds {', '.join(members[:8])}, expected one file; unpack those you mean")
    return Look(path, "csv", "zip", member or members[0])


def _with_encoding(look: Look, head: bytes, source: Source | None) -> Look:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return replace(look, encoding=encoding, mark_bytes=len(mark))
    if source and source.encoding:
        try:
            return replace(look, encoding=codecs.lookup(source.encoding).name)
        except LookupError:
            raise ConfigurationError(f"encoding: {source.encoding!r}, expected one such as utf-8 or cp1252") from None
    zeros = head.count(0)
    if _ZEROS_PER_BYTE_MAX * len(head) < zeros:  # a few are single broken rows
        even = head[::2].count(0)
        if 4 * zeros > len(head) and even in (0, zeros):
            return replace(look, encoding="utf-16-be" if even else "utf-16-le")
        raise ConfigurationError(
            f"{look.path}: is neither text nor in a known form, expected CSV, JSON, Excel, Parquet"
        )
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(head)
    if text.lstrip()[:1] in ("{", "["):
        return look  # JSON is UTF-8
    beyond = [character for character in text if character > "\x7f"]
    broken = sum("\udc80" <= character <= "\udcff" for character in beyond)
    return replace(look, encoding="cp1252") if 2 * broken > len(beyond) else look  # else single lines are broken


def _form_of(text: str) -> str:
    begin = text.lstrip()[:1]
    if begin == "[":
        return "json"
    if begin != "{":
        return "csv"
    first = text.lstrip().partition("\n")[0]
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        try:
            json.JSONDecoder().raw_decode(text.lstrip())
        except (ValueError, RecursionError):
            return "jsonl"
        return "json"  # a document over several lines
    return "jsonl"


def _documents(text: str) -> Iterator[Any]:
    """Yield the first documents, as far as they can be read."""
    decoder, at, count = json.JSONDecoder(), 0, 0
    while count < DOCUMENTS_LOOKED_AT and at < len(text):
        if text[at] in " \t\r\n,[]" and not (text[at] == "[" and count):
            at += 1
            continue
        try:
            document, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("\n", at) + 1
            if not at:
                return
            continue
        count += 1
        yield document


# --- tables -------------------------------------------------------------------------------------------------------


def _look_at_table(look: Look, text: str, is_whole: bool, source: Source | None) -> Look:
    lines = text.splitlines(keepends=True)[: PREAMBLE_LINES_MAX + ROWS_LOOKED_AT]
    if not is_whole and len(lines) < PREAMBLE_LINES_MAX:
        lines = lines[:-1] or lines  # cut off
    skipped, delimiter = 0, source.delimiter if source else None
    if lines and (told := _SEPARATOR.fullmatch(lines[0])):
        skipped, delimiter = 1, delimiter or told[1]
    if delimiter is None:
        delimiter = max(DELIMITERS, key=lambda each: _agreement(_cut(lines[skipped:], each)))
    look = replace(look, form="tsv" if delimiter == "\t" else "csv", delimiter=delimiter)
    if source and source.columns:
        return replace(look, skipped_lines=skipped, columns=source.columns, has_header=False)
    rows = _cut(lines[skipped:], delimiter)
    header = _header(rows)
    if header is None:
        return replace(look, skipped_lines=skipped)
    place, cells = header
    return replace(look, skipped_lines=skipped + place, columns=tuple(cell.strip() for cell in cells))


def _cut(lines: Sequence[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """Return rows with the number of lines before each; what cannot be cut ends it."""
    reader = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter)
    rows: list[tuple[int, list[str]]] = []
    before = 0
    try:
        for cells in reader:
            if cells:
                rows.append((before, cells))
            before = reader.line_num
    except csv.Error:
        pass
    return rows


def _agreement(rows: Sequence[tuple[int, list[str]]]) -> tuple[int, int]:
    """Return how many rows have the commonest number of cells, two or more, and that number."""
    counts = Counter(len(cells) for _, cells in rows if len(cells) > 1)
    if not counts:
        return 0, 0
    cells, agreeing = max(counts.items(), key=lambda item: (item[1], item[0]))
    return agreeing, cells


def _header(rows: Sequence[tuple[int, list[str]]]) -> tuple[int, list[str]] | None:
    """Return the header, and how many lines come before it."""
    _, usual = _agreement(rows)
    several = [row for row in rows[:PREAMBLE_LINES_MAX] if len(row[1]) > 1]
    for row in several:
        titles = [cell.strip() for cell in row[1]]
        if (
            len(titles) >= usual
            and not any(_FIGURE.fullmatch(title) for title in titles)
            and 2 * sum(not title for title in titles) < len(titles)
        ):
            return row
    return several[0] if several else rows[0] if rows else None


# --- Parquet and Excel ---------------------------------------------------------------------------------------------


def _look_at_sheet(look: Look, source: Source | None) -> Look:
    try:
        with open_unpacked(look) as file:
            book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(file.read()))
            wanted = [source.sheet] if source and source.sheet else book.sheet_names
            for name in wanted:
                if name not in book.sheet_names:
                    raise ConfigurationError(f"{look.path}: sheet {name!r}, expected one of {book.sheet_names}")
                rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False, nrows=ROWS_LOOKED_AT)
                header = _header([(number, [str(cell) for cell in row]) for number, row in enumerate(rows) if row])
                if header is not None:
                    titles = tuple(title.strip() for title in header[1])
                    return replace(look, sheet=name, skipped_lines=header[0], columns=titles)
    except (python_calamine.CalamineError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{look.path}: cannot be read ({error}), expected an Excel file") from error
    raise ConfigurationError(f"{look.path}: no sheet has a header, expected one row that names the columns")
