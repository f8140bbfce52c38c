"""Serving what a replay has written: pages and API, to this machine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from stream_app.adapters.listening import Address

HOST: Final = "127.0.0.1"
ALONE: Final = {
    "allow_anonymous": True,
    "host": HOST,
    "health_port": 0,
    "tokens": [],
    "tokens_file": None,
    "signing_key": None,
    "signing_key_file": None,
}
"""Settings of the API that hold here, whatever a deployment's file or environment says of its own."""
PORT: Final = click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8000,
    show_default=True,
    help="Of pages and API; 0 takes a free one.",
)
SERVE: Final = click.option(
    "--serve", is_flag=True, help="Serve pages and API from the results, on 127.0.0.1, until Ctrl-C or SIGTERM."
)


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
    # A web server's imports, which a replay that is not served does without.
    import uvloop

    from stream_app.adapters.service import run_service
    from stream_app.bootstrap.api import create_demo_api
    from stream_app.settings.loading import load_settings

    def show(address: str) -> None:
        click.echo(f"serving {address}/ for people, {address}/v1/segmentations for programs (Ctrl-C ends it)")

    run_service(create_demo_api(load_settings(None, {"api": ALONE | {"port": port}}), folder, show), uvloop.run)
