"""The options that name input files, one for each input topic, and those that say how files are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from stream_app.bootstrap import loading
from stream_app.contracts.inputs.contract import InputContract
from stream_app.contracts.inputs.table import FILE_CONTRACTS, INPUT_CONTRACTS
from stream_app.contracts.traits import TRAIT_NAME
from stream_app.settings.sections import Settings
from stream_app.sources.files import SourceFile, naive_zone

FILE: Final = click.Path(path_type=Path, dir_okay=False)


def _files_in(_ctx: click.Context, _param: click.Parameter, named: Sequence[Path]) -> tuple[Path, ...]:
    """Return files as they are named, and in place of a folder those in it, by name, without hidden ones."""
    files: list[Path] = []
    for path in named:
        if not path.is_dir():
            files.append(path)
            continue
        found = sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
        if not found:
            raise click.BadParameter(f"folder {str(path)!r} holds no file")
        files += found
    return tuple(files)


def takes_exports(name: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the argument for what shops and tools export, read as `--source` says: files, or folders of files."""
    return click.argument(name, type=click.Path(path_type=Path), nargs=-1, callback=_files_in, **options)


EXPORTS: Final = takes_exports("exports", metavar="[FILES]...")
LOCALES: Final = ("point", "comma")
"""Decimal signs, as `--locale` calls them."""


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


def takes_input_files(
    type_: click.ParamType, hint: str, contracts: Mapping[str, InputContract] = INPUT_CONTRACTS
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option for each input topic to a command, which gets `files`: the paths by topic, one at least.

    Parameters
    ----------
    type_
        Of each path.
    hint
        For the help: what forms the files may have.
    contracts
        The topics.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def gather(**values: Any) -> None:
            files = {topic: values.pop(_parameter(topic)) for topic in contracts}
            if not any(files.values()) and not values.get("exports"):
                raise click.UsageError("name at least one file: " + " or ".join(f"--{topic} FILE" for topic in files))
            command(files=files, **values)

        for topic, contract in reversed(tuple(contracts.items())):
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
        metavar="NAME|auto|guess|FILE",
        help="How FILES are read: a preset, a source of --sources, or a file of sources; `guess` takes columns by "
        "their names where no source knows a file.  [default: auto]",
    )
    sources = click.option("--sources", type=click.Path(path_type=Path), help="File of sources, beside the presets.")
    return source(sources(command))


def takes_zone(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how times and numbers are written: `timezone`, `time_format` and `locale`."""
    zone = click.option(
        "--timezone", help="Zone of times without one; 'none' refuses them.  [default: business.timezone, UTC]"
    )
    time_format = click.option(
        "--time-format",
        multiple=True,
        help="How times are written, such as %d/%m/%Y, or epoch_s, epoch_ms, epoch_us, excel; may be repeated.",
    )
    locale = click.option(
        "--locale",
        type=click.Choice(LOCALES),
        help="How 1.234 is meant where a file does not say: point or comma is the decimal sign.",
    )
    return zone(time_format(locale(command)))


def takes_reading(command: Callable[..., None]) -> Callable[..., None]:
    """Add all options that say how files are read to a command, which gets `inputs`: settings → what is to be read."""

    @wraps(command)
    def gather(
        exports: Sequence[Path],
        files: Mapping[str, Sequence[Path]],
        source: str | None,
        sources: Path | None,
        column: Sequence[tuple[str, str]],
        constant: Sequence[tuple[str, str]],
        timezone: str | None,
        time_format: Sequence[str],
        locale: str | None,
        **values: Any,
    ) -> None:
        columns, constants = dict(column), dict(constant)

        def inputs(settings: Settings) -> list[SourceFile]:
            zone = naive_zone(timezone, settings.business.timezone, "--timezone")

            def described(path: Path, topic: str) -> SourceFile:
                return SourceFile(path, topic, columns, constants, zone, time_format, locale)

            described_files = [described(path, topic) for topic, paths in files.items() for path in paths]
            _check_fields([*columns, *constants], described_files)
            shared = described(Path(), "")
            return [*described_files, *_exports(exports, source, sources, shared)]

        command(inputs=inputs, **values)

    return takes_sources(takes_columns(takes_zone(gather)))


def _exports(
    paths: Sequence[Path], source: str | None, sources: Path | None, shared: SourceFile
) -> Iterator[SourceFile]:
    """Yield the files that are read by mappings."""
    if not paths:
        if source or sources:
            raise click.UsageError("--source and --sources are for FILES that follow no option, and none is named")
        return
    from stream_app.sources.choosing import AUTO, choose, known_sources  # here: models take their time to import

    for each in choose(paths, source or AUTO, known_sources(sources)):
        for remark in each.remarks:
            click.echo(f"{each.path}: {remark}", err=True)
        yield each.described(shared)


def with_money_of(inputs: Sequence[SourceFile], settings: Settings) -> Settings:
    """Return settings in whose base currency most orders of exports are, unless one is set; say so if it is another."""
    chosen = loading.with_money_of(settings, inputs)
    if chosen is not settings:
        found = chosen.money.base_currency
        click.echo(f"money is counted in {found}, as the files have it; set money.base_currency for another", err=True)
    return chosen


def _check_fields(names: Sequence[str], tables: Sequence[SourceFile]) -> None:
    """Refuse what --column and --constant ask for in vain: a mistyped field, or no file whose columns are ours."""
    fields = list(dict.fromkeys(field for table in tables for field in FILE_CONTRACTS[table.topic].fields))
    takes_others = any(FILE_CONTRACTS[table.topic].table_form.others for table in tables)
    for name in names:
        if not tables:
            raise click.UsageError(f"--column and --constant ({name}) are for files of topics, and none is named")
        if name not in fields and not (takes_others and TRAIT_NAME.fullmatch(name)):
            raise click.UsageError(f"--column or --constant: {name!r} is no field, expected one of {', '.join(fields)}")


def _parameter(topic: str) -> str:
    return "files_of_" + topic.replace("-", "_")
