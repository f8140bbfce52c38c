"""The `segmenter` command: which commands it has, and how each of them ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pkgutil import resolve_name
from textwrap import shorten
from typing import Final, NamedTuple, NoReturn

import click

from stream_app.errors import SegmenterError
from stream_app.exits import ExitCode

MESSAGE_CHARACTERS: Final = 1_000
"""An error's line is cut here: a value that it names may be a megabyte."""
MARGIN_CHARACTERS: Final = 6
"""Beside and between the columns of the list of commands, as Click has it."""


class Entry(NamedTuple):
    """A command in the list of commands.

    Attributes
    ----------
    place
        Module and name.
    summary
        First sentence of its own help.
    """

    place: str
    summary: str


COMMANDS: Final = {
    "api": Entry(
        "stream_app.commands.api:api",
        "Serve look-ups and the live stream of migrations from the view, until Ctrl-C or SIGTERM.",
    ),
    "demo": Entry(
        "stream_app.commands.demo:demo",
        "Replay the real CDNOW purchases, 69,659 in 18 months, and show what comes of them.",
    ),
    "metrics": Entry("stream_app.commands.metrics:metrics_table", "Print the table of all metrics as Markdown."),
    "produce": Entry(
        "stream_app.commands.produce:produce",
        "Put events from files on the topics, merged by time, keyed and partitioned as workers want them.",
    ),
    "replay": Entry(
        "stream_app.commands.replay:replay",
        "Replay files of events and write migrations, memberships, models, dead letters, a summary and a report.",
    ),
    "schemas": Entry(
        "stream_app.commands.schemas:schemas",
        "Write or check the contracts of all topics: JSON Schema files and an AsyncAPI document.",
    ),
    "settings": Entry("stream_app.commands.settings:settings_table", "Print the table of all settings as Markdown."),
    "simulate": Entry(
        "stream_app.commands.simulate:simulate_command",
        "Write a population with known latent types and known change points, and the truth beside it.",
    ),
    "topics": Entry(
        "stream_app.commands.topics:topics",
        "Make or check the topics on Kafka, as the sections `kafka`, `records` and `worker` of the settings ask.",
    ),
    "verify": Entry(
        "stream_app.commands.verify:verify",
        "Recount all inputs and compare with state and outputs; exit with 1 on any breach.",
    ),
    "view": Entry(
        "stream_app.commands.view:view",
        "Keep the view of memberships and migrations in Redis, until Ctrl-C or SIGTERM.",
    ),
    "webhooks": Entry(
        "stream_app.commands.webhooks:webhooks",
        "Deliver migrations to the endpoints in the file of subscriptions, until Ctrl-C or SIGTERM.",
    ),
    "worker": Entry("stream_app.commands.worker:worker", "Segment customers while their events arrive on Kafka."),
}


class _LazyGroup(click.Group):
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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = self.list_commands(ctx)
        limit = formatter.width - MARGIN_CHARACTERS - max(len(name) for name in names)
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, click.Command(name, help=COMMANDS[name].summary).get_short_help_str(limit)) for name in names]
            )


@click.group(cls=_LazyGroup)
def segmenter() -> None:
    """Segment customers while their events stream in, and tell each change of segment as an event."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; a refused start is one line on standard error and exit status 2."""
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
        _refuse(f"{error.format_message().rstrip('.')}; see `{command} --help`", error.exit_code)
    except SegmenterError as error:
        _refuse(str(error), error.exit_code)
    except OSError as error:  # a full disk, say, in the middle of a run
        _refuse(f"stopped: {error}", ExitCode.FAILED)


def _refuse(message: str, status: int) -> NoReturn:
    """Say why on one line, whatever a file's name or a value brings along."""
    line = "".join(char if char.isprintable() else " " for char in message)
    click.echo(f"segmenter: {shorten(line, MESSAGE_CHARACTERS, placeholder=' …')}", err=True)
    sys.exit(status)
