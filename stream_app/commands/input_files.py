"""The options that name input files, one for each input topic."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from stream_app.contracts.inputs.table import INPUT_CONTRACTS


class Assignment(click.ParamType):
    """NAME=VALUE."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return both parts."""
        name, equals, content = str(value).partition("=")
        if not equals or not name or not content:
            self.fail(f"{value!r}, expected NAME=VALUE", param, ctx)
        return name, content


class ManyFiles(click.Command):
    """Lets an option take several values at once: `--purchases a b c` is `--purchases a --purchases b …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each of its values."""
        repeatable = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        spread: list[str] = []
        option: str | None = None
        taken = False
        for arg in args:
            if arg.startswith("-") and arg != "-":
                name, equals, _ = arg.partition("=")
                option, taken = (name if name in repeatable else None), bool(equals)
            elif option is not None:
                if taken:
                    spread.append(option)
                taken = True
            spread.append(arg)
        return super().parse_args(ctx, spread)


def takes_input_files(type_: click.ParamType, hint: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option for each input topic to a command, which gets `files`: the paths by topic, one at least.

    Parameters
    ----------
    type_
        Of each path.
    hint
        For the help: what forms the files may have.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def gather(**values: Any) -> None:
            files = {topic: values.pop(_parameter(topic)) for topic in INPUT_CONTRACTS}
            if not any(files.values()) and not values.get("exports"):
                raise click.UsageError("name at least one file: " + " or ".join(f"--{topic} FILE" for topic in files))
            command(files=files, **values)

        for topic, contract in reversed(INPUT_CONTRACTS.items()):
            help_ = f"{contract.title}: {hint}"
            gather = click.option(f"--{topic}", _parameter(topic), type=type_, multiple=True, help=help_)(gather)
        return gather

    return decorate


def takes_columns(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say what columns of CSV files hold: `column` and `constant`, pairs each."""
    constant = click.option(
        "--constant", type=Assignment(), multiple=True, help="CSV: value of the field NAME where no column has it."
    )
    column = click.option(
        "--column",
        type=Assignment(),
        metavar="NAME=HEADER",
        multiple=True,
        help="CSV: the column HEADER holds the field NAME.",
    )
    return column(constant(command))


def takes_sources(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say by which mapping files are read: `source` and `sources`."""
    source = click.option(
        "--source",
        metavar="NAME|auto|FILE",
        help="How FILES are read: a preset, a source of --sources, or a file of sources.  [default: auto]",
    )
    sources = click.option("--sources", type=click.Path(path_type=Path), help="File of sources, beside the presets.")
    return source(sources(command))


def _parameter(topic: str) -> str:
    return "files_of_" + topic.replace("-", "_")
