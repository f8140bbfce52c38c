"""`segmenter schemas`: the contracts of all topics as files."""

from __future__ import annotations

from pathlib import Path

import click

from stream_app.commands.groups import GuessingGroup
from stream_app.contracts import schema_files

_FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("schemas"), show_default=True, help="Where they are."
)


@click.group(cls=GuessingGroup)
def schemas() -> None:
    """Write or check the contracts of all topics: JSON Schema files and an AsyncAPI document."""


@schemas.command(name="write")
@_FOLDER
def schemas_write(folder: Path) -> None:
    """Generate the files from the models."""
    for written in schema_files.write(folder):
        click.echo(written)


@schemas.command(name="check")
@_FOLDER
def schemas_check(folder: Path) -> None:
    """Fail if the files differ from the models, or the models break what the committed version promised."""
    problems = schema_files.check(folder)
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(1)
    click.echo(f"{folder}: in step with the models")
