"""`segmenter demo`: replay real purchases, and serve the results."""

from __future__ import annotations

from pathlib import Path

import click

from stream_app.commands.groups import SEGMENTATIONS, with_segmentations
from stream_app.commands.serving import PORT, SERVE, check_port, serve_folder
from stream_app.errors import ConfigurationError
from stream_app.sources import cdnow


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Folder to write to."
)
@SERVE
@PORT
@SEGMENTATIONS
def demo(out: Path, serve: bool, port: int, segmentations: Path | None) -> None:
    """Replay the real CDNOW purchases, 69,659 in 18 months, and write a report.

    With --serve, results that are there already are used again, if they were made from the same data and settings by
    this version.
    """
    if serve:
        check_port(port)
    path = out / "cdnow.csv"
    try:
        count = cdnow.write_cdnow_csv(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be written ({error.strerror}); name another folder with --out"
        ) from error
    if serve:
        click.echo(f"{count:,} purchases are in {path}; looking for results in {out}")
    else:
        click.echo(f"{count:,} purchases are in {path}; replaying them takes up to a minute")
    _replay(path, out, segmentations, may_reuse=serve)
    if serve:
        serve_folder(out, port)


def _replay(path: Path, out: Path, segmentations: Path | None, *, may_reuse: bool) -> None:
    # After the first line, since these imports take as long as the rest of the start.
    from stream_app.commands.replay import run_replay
    from stream_app.core.local_days import zone_of
    from stream_app.replay.origin import digest_origin, is_made_from, write_origin
    from stream_app.settings.loading import load_settings
    from stream_app.sources.files import SourceFile

    settings = load_settings(None, with_segmentations(segmentations, {"money": {"base_currency": cdnow.CURRENCY}}))
    digest = digest_origin(f"{settings.model_dump_json()}{settings.definitions}", [path])
    if may_reuse and is_made_from(out, digest):
        click.echo(f"{out} holds them; loading")
        return
    if may_reuse:
        click.echo("none that fit; replaying takes up to a minute")
    columns, zone = {"occurred_at": "date", "total": "amount"}, zone_of(settings.business.timezone)
    sources = [SourceFile(path, "purchases", columns, {"currency": cdnow.CURRENCY}, zone)]
    run_replay(settings, sources, out, add=lambda folder: write_origin(folder, digest))
