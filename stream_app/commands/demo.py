"""`segmenter demo`: replay real purchases, and serve what comes of them."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import click

from stream_app.adapters.listening import Address
from stream_app.commands.replay import run_replay
from stream_app.errors import ConfigurationError
from stream_app.settings import load_settings
from stream_app.sources import cdnow
from stream_app.sources.files import SourceFile


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Folder to write to."
)
@click.option("--serve", is_flag=True, help="Serve the API from the results, on 127.0.0.1, until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, help="For --serve.")
def demo(out: Path, serve: bool, port: int) -> None:
    """Replay the real CDNOW purchases, 69,659 in 18 months, and write a report."""
    if serve:
        Address("127.0.0.1", port, "--port").check()
    settings = load_settings(None, {"money": {"base_currency": cdnow.CURRENCY}})
    path = out / "cdnow.csv"
    try:
        cdnow.write_cdnow_csv(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be written ({error.strerror}); name another folder with --out"
        ) from error
    columns = {"occurred_at": "date", "total": "amount"}
    run_replay(settings, [SourceFile(path, "purchases", columns, {"currency": cdnow.CURRENCY}, UTC)], out, None, None)
    if serve:
        from stream_app.commands.api import serve_demo  # a web server's imports, which few demos need

        serve_demo(out, port)
