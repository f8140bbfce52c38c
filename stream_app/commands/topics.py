"""`segmenter topics`: make and check the topics of a deployment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from stream_app.adapters.logs import silence_kafka
from stream_app.adapters.topic_admin import check_topics, create_topics
from stream_app.bootstrap.kafka import create_connection, create_topic_specs
from stream_app.commands.groups import CONFIG, GuessingGroup, passes_config
from stream_app.exits import ExitCode
from stream_app.plurals import counted
from stream_app.settings.loading import load_settings


@click.group(cls=GuessingGroup)
@passes_config
def topics() -> None:
    """Make the topics on Kafka, or check that they fit the settings.

    What they should be like is in the sections `kafka`, `records` and `worker` of the settings.
    """
    silence_kafka()


@topics.command(name="create")
@CONFIG
def topics_create(config: Path | None) -> None:
    """Make the topics that are missing; those that are there stay as they are."""
    settings = load_settings(config)
    for spec, made in asyncio.run(create_topics(create_connection(settings), create_topic_specs(settings))):
        partitions = counted(spec.partitions, "partition")
        click.echo(f"{spec.name}: {'made' if made else 'is there'} ({partitions}, {spec.properties['cleanup.policy']})")


@topics.command(name="check")
@CONFIG
def topics_check(config: Path | None) -> None:
    """Fail if a topic is missing, or differs in what the results depend on."""
    settings = load_settings(config)
    specs = create_topic_specs(settings)
    problems = asyncio.run(check_topics(create_connection(settings), specs))
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(ExitCode.FAILED)
    click.echo(f"all {len(specs)} topics match the configuration")
