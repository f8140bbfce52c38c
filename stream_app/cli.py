"""The `segmenter` command: which commands it has, and how each of them ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pkgutil import resolve_name
from textwrap import shorten
from typing import Final, NamedTuple, NoReturn

import click

from stream_app.commands.groups import GuessingGroup, passes_config, printable
from stream_app.errors import SegmenterError
from stream_app.exits import ExitCode
from stream_app.extras import KAFKA, missing_extra

# Before anything imports numpy: products of a few thousand rows by four columns gain nothing from threads, which then
# wait for each other on a machine that has other work; one call took up to 20 times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

MESSAGE_CHARACTERS: Final = 1_000
"""An error's line is cut here: a value that it names may be a megabyte."""


class Entry(NamedTuple):
    """A command in the list of commands.

    Attributes
    ----------
    place
        Module and name.
    summary
        First sentence of its own help.
    extras
        Of the installation, any of which has all that it needs; the base has, if none is named.
    """

    place: str
    summary: str
    extras: tuple[str, ...] = ()


COMMANDS: Final = {
    "api": Entry(
        "stream_app.commands.api:api",
        "Serve look-ups and the live stream of migrations from the view, until Ctrl-C or SIGTERM.",
        ("api",),
    ),
    "demo": Entry(
        "stream_app.commands.demo:demo",
        "Replay the real CDNOW purchases, 69,659 in 18 months, and write a report.",
        ("replay",),
    ),
    "features": Entry(
        "stream_app.commands.features:features_table",
        "Print the figures of customers that conditions can compare: unit, meaning, and what changes them.",
    ),
    "help": Entry("stream_app.commands.help:help_command", "List the commands, or explain one."),
    "metrics": Entry("stream_app.commands.metrics:metrics_table", "Print the table of all metrics as Markdown."),
    "model": Entry(
        "stream_app.commands.model:model",
        "Show the models of segmentations, and approve, reject, pin or unpin one.",
        KAFKA,
    ),
    "identities": Entry(
        "stream_app.commands.identities:identities",
        "Show which ids are one customer's, by the statements on Kafka or in files.",
        ("replay",),
    ),
    "privacy": Entry(
        "stream_app.commands.privacy:privacy",
        "Erase customers, keep them out, and show what is held of them and what became of requests.",
        ("view", "api"),
    ),
    "produce": Entry(
        "stream_app.commands.produce:produce",
        "Send files of events to Kafka, merged by time, with the keys and partitions that workers expect.",
        ("replay",),
    ),
    "replay": Entry(
        "stream_app.commands.replay:replay",
        "Replay files of events and write migrations, memberships, models, dead letters, a summary and a report.",
        ("replay",),
    ),
    "schemas": Entry(
        "stream_app.commands.schemas:schemas",
        "Write or check the contracts of all topics: JSON Schema files and an AsyncAPI document.",
    ),
    "segmentations": Entry(
        "stream_app.commands.segmentations:segmentations",
        "Check the file of segmentations, try it on events, import definitions, and print the reference.",
        ("replay",),
    ),
    "serve": Entry(
        "stream_app.commands.serve:serve",
        "Serve pages and API from the folder that a replay wrote, on this machine alone, until Ctrl-C or SIGTERM.",
        ("api",),
    ),
    "settings": Entry("stream_app.commands.settings:settings_table", "Print the table of all settings as Markdown."),
    "simulate": Entry(
        "stream_app.commands.simulate:simulate_command",
        "Write a population with known latent types and known change points, and the truth beside it.",
    ),
    "sources": Entry(
        "stream_app.commands.sources:sources",
        "List the kinds of files that are known, check files, and print a kind as a file of sources.",
        ("replay",),
    ),
    "topics": Entry(
        "stream_app.commands.topics:topics",
        "Make the topics on Kafka, or check that they fit the settings.",
        KAFKA,
    ),
    "traits": Entry(
        "stream_app.commands.traits:traits",
        "Print the traits that profiles have said in a replay, and how many customers have each.",
    ),
    "verify": Entry(
        "stream_app.commands.verify:verify",
        "Recount all inputs and compare with state and outputs; exit with 1 on any breach.",
        KAFKA,
    ),
    "view": Entry(
        "stream_app.commands.view:view",
        "Keep the view of memberships and migrations in Redis, until Ctrl-C or SIGTERM.",
        ("view",),
    ),
    "webhooks": Entry(
        "stream_app.commands.webhooks:webhooks",
        "Deliver migrations to the endpoints in the file of subscriptions, until Ctrl-C or SIGTERM.",
        ("webhooks",),
    ),
    "worker": Entry(
        "stream_app.commands.worker:worker", "Segment customers as their events arrive on Kafka.", ("worker",)
    ),
}


class _LazyGroup(GuessingGroup):
    """Imports a command when it is called, and none for the list of them.

    What all commands run on together takes a second of processor time to import.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (Click's signature)
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = resolve_name(COMMANDS[cmd_name].place)
        return command

    def summary_of(self, ctx: click.Context, name: str) -> str:  # noqa: ARG002
        """Return it without importing the command."""
        return COMMANDS[name].summary


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes, and completion with the tab key: docs/commands.md.",
)
@click.version_option(package_name="stream-segmenter", prog_name="segmenter", message="%(prog)s %(version)s")
@passes_config
def segmenter() -> None:
    """Segment customers as their events stream in, and publish every change of segment."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; a refused start is one line on standard error, one a mistake, and exit status 2."""
    try:
        segmenter.main(args=args, prog_name="segmenter", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(ExitCode.REFUSED)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "segmenter"
        message = error.format_message().rstrip(".").replace(" Did you mean", "; did you mean")
        _refuse(f"{message}{'' if message.endswith('?') else ';'} see `{command} --help`", error.exit_code)
    except SegmenterError as error:
        _refuse_all(error.lines, error.exit_code)
    except ModuleNotFoundError as error:
        if (line := _missing_extra(error, sys.argv[1:] if args is None else args)) is None:
            raise
        _refuse(line, ExitCode.REFUSED)
    except OSError as error:  # a full disk, say, in the middle of a run
        _refuse(f"stopped: {error}", ExitCode.FAILED)


def _missing_extra(error: ModuleNotFoundError, args: Sequence[str]) -> str | None:
    name = next((word for word in args if word in COMMANDS), None)
    return missing_extra(error.name, COMMANDS[name].extras if name else (), f"`segmenter {name or ''}`")


def _refuse(message: str, status: int) -> NoReturn:
    _refuse_all([message], status)


def _refuse_all(messages: Iterable[str], status: int) -> NoReturn:
    """Say why on one line each."""
    for message in messages:
        click.echo(f"segmenter: {shorten(printable(message), MESSAGE_CHARACTERS, placeholder=' …')}", err=True)
    sys.exit(status)
