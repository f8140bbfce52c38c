"""`segmenter serve`: pages, look-ups and the stream from what a replay wrote, without Kafka and Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from stream_app.adapters.listening import Address
from stream_app.errors import ConfigurationError

HOST: Final = "127.0.0.1"
FILES: Final = ("models.jsonl", "migrations.jsonl", "memberships.jsonl")
PORT: Final = click.option(
    "--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, help="Of the API; 0 takes a free one."
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@PORT
def serve(folder: Path, port: int) -> None:
    """Serve pages and API from the folder that a replay wrote, on this machine alone, until Ctrl-C or SIGTERM."""
    for name in FILES:
        if not (folder / name).is_file():
            raise ConfigurationError(f"{folder}: has no {name}, expected a folder that `segmenter replay --out` wrote")
    check_port(port)
    serve_folder(folder, port)


def check_port(port: int) -> None:
    """Refuse at once a port that is taken.

    Raises
    ------
    AddressInUse, ConfigurationError
        If nothing can listen there.
    """
    Address(HOST, port, "--port").check()


def serve_folder(folder: Path, port: int) -> None:
    """Serve what a replay has written, to this host alone and without tokens."""
    # A web server's imports, which a demo that is not served does without.
    import uvloop

    from stream_app.adapters.service import run_service
    from stream_app.bootstrap.api import create_demo_api
    from stream_app.settings.loading import load_settings
    from stream_app.web.single_file import FILE_NAME

    def show(address: str) -> None:
        pages = f"{address}/ for people, " if (folder / FILE_NAME).is_file() else ""
        click.echo(f"serving {pages}{address}/v1/segmentations/value/segments for programs (Ctrl-C ends it)")

    alone = {"allow_anonymous": True, "host": HOST, "port": port, "health_port": 0, "tokens": [], "tokens_file": None}
    run_service(create_demo_api(load_settings(None, {"api": alone}), folder, show), uvloop.run)
