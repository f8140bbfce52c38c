"""`segmenter serve`: pages, look-ups and the stream from what a replay wrote, without Kafka and Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from stream_app.commands.serving import PORT, check_port, serve_folder
from stream_app.errors import ConfigurationError

FILES: Final = ("models.jsonl", "migrations.jsonl", "memberships.jsonl")


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
