"""Lists of customers: files of ids, one a line."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from stream_app.core.ids import normal_id
from stream_app.errors import ConfigurationError

IDS_MAX: Final = 1_000_000
"""Of one list; more are a trait."""
ID_CHARACTERS: Final = 256
"""As in the inputs' contracts."""


class ListInvalid(ConfigurationError):
    """A list cannot be read, or a line of it is no id."""


def read_list(path: Path) -> tuple[str, ...]:
    """Return the ids of a file in UTF-8, each once; in its normal form; empty lines are left out.

    Raises
    ------
    ListInvalid
        If it cannot be read, is too long, or a line is no id.
    """
    ids: dict[str, None] = {}
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                customer = normal_id(line)
                if len(customer) > ID_CHARACTERS or not customer.isprintable():
                    raise ListInvalid(f"{path}: line {number}, expected an id of up to {ID_CHARACTERS} characters")
                if customer:
                    ids[customer] = None
                if len(ids) > IDS_MAX:
                    raise ListInvalid(f"{path}: more than {IDS_MAX:,} ids, expected no more")
    except OSError as error:
        raise ListInvalid(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ListInvalid(f"{path}: not text in UTF-8 ({error.reason})") from None
    except ValueError as error:  # a name with a null byte
        raise ListInvalid(f"{path}: {error}") from None
    return tuple(ids)
