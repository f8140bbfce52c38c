"""`segmenter features`: the figures of customers that conditions can compare."""

from __future__ import annotations

import click

from stream_app.segmentations.reference import features_page


@click.command(name="features")
def features_table() -> None:
    """Print the figures of customers that conditions can compare: unit, meaning, and what changes them."""
    click.echo(features_page(), nl=False)
