"""What groups of commands share: a guess for a mistyped name, and `--config`, which any part of a command may carry.

A `--config` that stands before a command, or between a command and its subcommand, counts as if it came last; the last
one wins. A command that reads no settings refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import click

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_EARLIER: Final = "stream_app.config"
"""Where contexts keep the `--config` that stands before the command."""


def _earlier_config() -> Path | None:
    found: Path | None = click.get_current_context().meta.get(_EARLIER)
    return found


CONFIG: Final = click.option(
    "--config", type=_FILE, metavar="FILE", default=_earlier_config, help="Settings, a TOML file."
)
SEGMENTATIONS: Final = click.option(
    "--segmentations",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="In what ways customers are divided, a YAML file; the shipped one if none is named here or in the settings.",
)


def with_segmentations(path: Path | None, overrides: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Return a command's own settings, with the file that `--segmentations` names; it takes the place of tables."""
    named = {} if path is None else {"segmentations_file": path, "segmentations": None}
    return {**overrides, **named}


def printable(text: str) -> str:
    """Return a text on one line, with nothing that a terminal would obey, whatever a file's name or a value holds."""
    return "".join(character if character.isprintable() else " " for character in text)


SENTENCE_CHARACTERS_MAX: Final = 500
"""Of a command's summary, which is the first sentence of its help and is never cut."""


class GuessingGroup(click.Group):
    """Names the command that was probably meant, where there is no such command; lists whole sentences."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their summaries, over as many lines as they take."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.summary_of(ctx, name)) for name in self.list_commands(ctx)])

    def summary_of(self, ctx: click.Context, name: str) -> str:
        """Return the first sentence of a command's help."""
        command = self.get_command(ctx, name)
        return "" if command is None else command.get_short_help_str(SENTENCE_CHARACTERS_MAX)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names.

        Raises
        ------
        click.UsageError
            If there is none of that name.
        """
        name, names = args[0], self.list_commands(ctx)
        if name not in names and not name.startswith("-") and not ctx.resilient_parsing:
            guesses = " or ".join(f"'{guess}'" for guess in get_close_matches(name, names, n=2))
            ctx.fail(f"no such command: '{name}'" + (f"; did you mean {guesses}?" if guesses else ""))
        found = super().resolve_command(ctx, args)
        command = found[1]
        is_given = _EARLIER in ctx.meta or ctx.params.get("config") is not None
        if is_given and command is not None and not _takes_config(command):
            ctx.fail(f"`{ctx.command_path} {name}` reads no settings, so it takes no --config")
        return found


def _takes_config(command: click.Command) -> bool:
    return isinstance(command, click.Group) or any(option.name == "config" for option in command.params)


def passes_config(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a group that has no use for `--config` itself hand it to the command that is to run."""

    def keep(context: click.Context, _: click.Parameter, value: Path | None) -> None:
        if value is not None:
            context.meta[_EARLIER] = value

    explained = "Settings, a TOML file; may stand behind the command as well."
    option = click.option("--config", type=_FILE, metavar="FILE", expose_value=False, callback=keep, help=explained)
    return option(command)


def runs_itself(context: click.Context, config: Path | None) -> bool:
    """Return whether a group is to run itself, and none of its subcommands; these get its `--config`, if it has one."""
    if config is not None:
        context.meta[_EARLIER] = config
    return context.invoked_subcommand is None
