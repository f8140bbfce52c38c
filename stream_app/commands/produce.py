"""`segmenter produce`: put what is in files on Kafka."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from stream_app.adapters.logs import silence_kafka
from stream_app.adapters.producing import Held, Line, Pace, RecordProducer
from stream_app.adapters.topics import TopicNames
from stream_app.adapters.wall_clock import now_ms
from stream_app.bootstrap.decoding import create_decoders
from stream_app.bootstrap.kafka import create_connection, create_topic_names
from stream_app.bootstrap.loading import create_loading_options
from stream_app.bootstrap.pseudonyms import read_pseudonyms
from stream_app.commands.groups import CONFIG
from stream_app.commands.input_files import EXPORTS, FILE, ManyFiles, takes_input_files, takes_reading
from stream_app.contracts.inputs.table import FILE_CONTRACTS, STATEMENT_CONTRACTS
from stream_app.contracts.rejections import NOBODY_REASONS
from stream_app.errors import ConfigurationError
from stream_app.exits import ExitCode
from stream_app.plurals import counted
from stream_app.replay.refusals import REASONS_SHOWN, REFUSED_COUNT_MAX, REFUSED_SHARE_MAX, has_failed
from stream_app.report.progress import Progress
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Settings
from stream_app.sources.files import SourceFile
from stream_app.sources.judging import JudgedRecord, Judgement, judge_files


@click.command(cls=ManyFiles)
@EXPORTS
@takes_input_files(FILE, "CSV, JSON, Excel or Parquet, also packed; may be repeated.", FILE_CONTRACTS)
@takes_reading
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Records per second.  [default: no limit]")
@click.option("--live", type=click.IntRange(min=0), help="Apply --rate to this many of the newest records only.")
@click.option("--shift-to-now", is_flag=True, help="Move all times so that the newest event happens now.")
@click.option(
    "--max-rejected",
    type=click.FloatRange(0, 1),
    default=REFUSED_SHARE_MAX,
    show_default=True,
    help=f"Send nothing if more than this share of the records, and more than {REFUSED_COUNT_MAX}, are refused.",
)
@CONFIG
def produce(
    inputs: Callable[[Settings], Sequence[SourceFile]],
    rate: float | None,
    live: int | None,
    shift_to_now: bool,
    max_rejected: float,
    config: Path | None,
) -> None:
    """Send files of events to Kafka, merged by time, with the keys and partitions that workers expect.

    FILES are what shops and tools export, or folders of such files, read as --source says; `segmenter sources` lists
    what is known. All records are judged before the first one is sent, and what a worker would refuse is not sent.
    """
    settings = load_settings(config)
    silence_kafka()
    files = inputs(settings)
    _require_identities(settings, files)
    click.echo(f"reading {counted(len(files), 'file')}; all records are judged before one is sent …")
    decoders = create_decoders(settings, contracts=FILE_CONTRACTS)
    with judge_files(files, decoders, now_ms(), create_loading_options(settings, decoders)) as judgement:
        _tell_refused(judgement)
        if _is_too_bad(judgement, max_rejected):
            click.echo("segmenter: nothing was sent; mend the files, or allow more with --max-rejected", err=True)
            sys.exit(ExitCode.FAILED)
        _send(settings, judgement, Pace(rate, live, now_ms() if shift_to_now else None))


def _require_identities(settings: Settings, files: Sequence[SourceFile]) -> None:
    """Refuse statements on ids that no worker would follow."""
    if not settings.identities.enabled and any(file.topic in STATEMENT_CONTRACTS for file in files):
        raise ConfigurationError("setting identities.enabled: False, expected True, or no worker follows statements")


def _send(settings: Settings, judgement: Judgement, pace: Pace) -> None:
    names = create_topic_names(settings)
    count = judgement.accepted.total()
    pseudonyms = read_pseudonyms(settings)

    def line_of(record: JudgedRecord) -> Line:
        line = Line(record.at_ms, names.input_topic(record.topic), record.customer_id, record.event_id, record.payload)
        if pseudonyms is None:
            return line
        return line._replace(customer_id=pseudonyms.of(line.customer_id), payload=pseudonyms.rewrite(line.payload))

    sending = Progress(count, partial(click.echo, err=True), "sent")
    producer = RecordProducer(
        create_connection(settings),
        lambda: map(line_of, judgement.records()),
        count,
        judgement.newest_ms,
        [names.input_topic(topic) for topic in judgement.accepted],
        pace,
        lambda number, at_ms: sending.note(number, number, at_ms),
    )
    finished = asyncio.run(_run(producer))
    click.echo(f"{'sent' if finished else 'interrupted after'} {_counted(producer.sent, judgement, names)}")
    if not finished:
        sys.exit(ExitCode.INTERRUPTED)


def _counted(sent: Mapping[str, int], judgement: Judgement, names: TopicNames) -> str:
    topics = [names.input_topic(topic) for topic in judgement.accepted]
    return " and ".join(f"{counted(sent[topic], 'record')} to {topic}" for topic in topics)


def _tell_refused(judgement: Judgement) -> None:
    """Say what is not sent, by reason, the commonest first."""
    for reason, count in judgement.refused.most_common(REASONS_SHOWN):
        click.echo(f"refused {count:,} as {reason.replace('_', ' ')}: {judgement.examples[reason]}", err=True)
    others = len(judgement.refused) - REASONS_SHOWN
    if others > 0:
        click.echo(f"refused others for {counted(others, 'further reason')}", err=True)


def _is_too_bad(judgement: Judgement, max_rejected: float) -> bool:
    rejected = judgement.refused.total()
    guests = sum(judgement.refused[reason] for reason in NOBODY_REASONS)
    return has_failed({"in": judgement.accepted.total() + rejected, "rejected": rejected}, guests, max_rejected)


def _warn(held: Held) -> None:
    click.echo(
        f"segmenter: {held.topic} holds {held.line.event_id} of {held.line.customer_id} already (partition "
        f"{held.partition}, offset {held.offset}), so these files seem to have been sent before; they are sent again, "
        "and what is the same counts once",
        err=True,
    )


async def _run(producer: RecordProducer) -> bool:
    """Return whether everything was sent, not ended early by SIGINT or SIGTERM."""
    task: asyncio.Task[Any] = asyncio.create_task(producer.run(_warn))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return False
    return True
