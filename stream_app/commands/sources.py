"""`segmenter sources`: what files are known, what a file is, and what would be read of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
import yaml  # type: ignore[import-untyped]

from stream_app.adapters.wall_clock import now_ms
from stream_app.bootstrap.decoding import create_decoders
from stream_app.bootstrap.loading import create_loading_options
from stream_app.commands.groups import CONFIG, GuessingGroup, passes_config
from stream_app.commands.input_files import takes_exports, takes_sources, takes_zone, with_money_of
from stream_app.errors import ConfigurationError
from stream_app.exits import ExitCode
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Settings
from stream_app.sources.checking import missing
from stream_app.sources.choosing import AUTO, Chosen, choose, guess_of, known_sources
from stream_app.sources.files import SourceFile, naive_zone
from stream_app.sources.forms import Look, look_at
from stream_app.sources.judging import Judgement, judge_files
from stream_app.sources.mapping import load_presets, parse_sources, preset_document

SHOWN: Final = 5
"""Records that a check shows."""


@click.group(cls=GuessingGroup, invoke_without_command=True)
@passes_config
@click.pass_context
def sources(context: click.Context) -> None:
    """List the kinds of files that are known, check files, and print a kind as a file of sources."""
    if context.invoked_subcommand is not None:
        return
    presets = load_presets()
    width = max(map(len, presets))
    for name, source in presets.items():
        click.echo(f"{name:<{width}}  {source.title}")


@sources.command()
@click.argument("name")
def show(name: str) -> None:
    """Print a preset as a file of sources, to begin with."""
    click.echo(_dumped(preset_document(name)), nl=False)


@sources.command()
@takes_exports("files", metavar="FILES...", required=True)
@takes_sources
@takes_zone
@CONFIG
def check(
    files: Sequence[Path],
    source: str | None,
    sources: Path | None,
    timezone: str | None,
    time_format: Sequence[str],
    locale: str | None,
    config: Path | None,
) -> None:
    """Say what files are and what would be read of them: five records, and what is missing, in a line each.

    Of a file that no source knows a mapping is guessed, and printed to standard output, all else to standard error.
    Ends with 1 if nothing can be read, or no mapping can be guessed.
    """
    settings = load_settings(config)
    shared = SourceFile(
        Path(), "", {}, {}, naive_zone(timezone, settings.business.timezone, "--timezone"), time_format, locale
    )
    chosen, unknown = _chosen(files, source or AUTO, known_sources(sources))
    failed = False
    for path in unknown:
        failed |= not _guess(path, shared, settings)
    if chosen:
        failed |= not _check(chosen, shared, settings)
    if failed:
        sys.exit(ExitCode.FAILED)


def _chosen(files: Sequence[Path], named: str, known: Mapping[str, Any]) -> tuple[list[Chosen], list[Path]]:
    """Return files with their mappings, and those that no source knows."""
    if named != AUTO:
        return choose(files, named, known), []
    chosen: list[Chosen] = []
    unknown: list[Path] = []
    for path in files:
        try:
            chosen += choose([path], named, known)
        except ConfigurationError:
            look_at(path)  # which may say that it cannot be read at all
            unknown.append(path)
    return chosen, unknown


def _guess(path: Path, shared: SourceFile, settings: Settings) -> bool:
    """Print a guessed mapping of a file, and what it reads; return whether there is one."""
    look = look_at(path)
    guessed = guess_of(look)
    click.echo(f"{path}: {_described(look)}; no source knows it", err=True)
    is_read = False
    if guessed.document is None:
        click.echo("columns: " + ", ".join(look.columns), err=True)
    else:
        ((name, source),) = parse_sources(guessed.document, "guess").items()
        if _is_ours(guessed.document):
            click.echo(
                f"its columns are called as our fields: `segmenter replay --purchases {path}` reads it", err=True
            )
        click.echo("this mapping may do; put it into sources.yaml, and name that with --sources:", err=True)
        click.echo(_dumped(guessed.document), nl=False)
        is_read = _show([replace(shared, path=path, mapping=source, mapping_name=name)], settings, err=True)
    for remark in guessed.remarks:
        click.echo(f"missing: {remark}", err=True)
    return is_read


def _is_ours(document: Mapping[str, Any]) -> bool:
    """Return whether a guessed mapping takes each field from the column of its name."""
    return all(
        record["topic"] == "purchases" and all(name == value for name, value in record["fields"].items())
        for source in document["sources"].values()
        for record in source["records"]
    )


def _check(chosen: Sequence[Chosen], shared: SourceFile, settings: Settings) -> bool:
    """Print what is read of files that sources know; return whether anything is."""
    inputs = [each.described(shared) for each in chosen]
    settings = with_money_of(inputs, settings)
    for each in chosen:
        as_what = f"{each.name}, its {each.join}" if each.join else each.name
        click.echo(f"{each.path}: {_described(each.look)}; read as {as_what}: {each.source.title or 'no title'}")
    is_read = _show(inputs, settings)
    told: dict[str, None] = {}
    for each in chosen:
        if not each.join:
            joined = {other.join for other in chosen if other.name == each.name and other.join}
            told |= dict.fromkeys(missing(each.source, each.look, joined, settings.money.base_currency))
    for line in told:
        click.echo(f"missing: {line}")
    return is_read


def _show(inputs: Sequence[SourceFile], settings: Settings, *, err: bool = False) -> bool:
    """Print what is refused and what is read, with the first records; return whether anything is read."""
    decoders = create_decoders(settings)
    with judge_files(inputs, decoders, now_ms(), create_loading_options(settings, decoders)) as judgement:
        for line in _outcome(judgement):
            click.echo(line, err=err)
        for record in islice(judgement.records(), SHOWN):
            click.echo(f"  {record.topic} {record.payload.decode('utf-8', 'replace')}", err=err)
        return judgement.accepted.total() > 0


def _outcome(judgement: Judgement) -> list[str]:
    accepted = " and ".join(f"{count:,} {topic}" for topic, count in judgement.accepted.items()) or "no record"
    lines = [
        f"refused: {count:,} as {reason.replace('_', ' ')}, such as {judgement.examples[reason]}"
        for reason, count in judgement.refused.most_common()
    ]
    more = ", the first of them:" if judgement.accepted else ""
    return [*lines, f"read: {accepted}{more}"]


def _described(look: Look) -> str:
    return f"{look.describe()}, {len(look.columns)} columns"


class _Plain(yaml.SafeDumper):  # type: ignore[misc]
    """Writes the same thing twice where it stands twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (PyYAML's signature)
        return True


def _dumped(document: Mapping[str, Any]) -> str:
    text: str = yaml.dump(
        document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
    )
    return text
