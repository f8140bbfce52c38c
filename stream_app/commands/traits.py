"""`segmenter traits`: which traits profiles have said, and of how many customers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
import msgspec

from stream_app.errors import ConfigurationError

SUMMARY: Final = "summary.json"


class _Summary(msgspec.Struct):
    """What a replay's summary says of traits."""

    customers: int
    traits: dict[str, int]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def traits(folder: Path) -> None:
    """Print the traits that profiles have said in a replay, and how many customers have each.

    FOLDER is what `segmenter replay --out` wrote. A trait that was taken away again counts for nobody.
    """
    summary = _read(folder / SUMMARY)
    click.echo(describe_traits(summary.traits, summary.customers))


def describe_traits(counts: Mapping[str, int], customers: int) -> str:
    """Return a table of traits, those of the most customers first."""
    if not counts:
        return f"no traits: no profile says any of the {customers:,} customers"
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [("trait", "customers", "share")]
    rows += [(_printable(name), f"{count:,}", f"{count / customers:.1%}") for name, count in ordered]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(f"{name:<{widths[0]}}  {count:>{widths[1]}}  {share:>{widths[2]}}" for name, count, share in rows)


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else "·" for char in name)


def _read(path: Path) -> _Summary:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Summary)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read ({error.strerror}), expected what `segmenter replay --out` wrote"
        ) from error
    except msgspec.DecodeError as error:
        raise ConfigurationError(
            f"{path}: {error}, expected what `segmenter replay --out` of this version wrote"
        ) from error
