"""What groups of commands share: a guess for a mistyped name, and the one place for `--config`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import click

CONFIG: Final = click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Settings, a TOML file."
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


class GuessingGroup(click.Group):
    """Names the command that was probably meant, where there is no such command."""

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
        return super().resolve_command(ctx, args)


def misplaced_config(kind: str) -> Callable[[Any], Any]:
    """Return the option `--config` of a group that has no use for it, and says where it belongs."""

    def refuse(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None and not context.resilient_parsing:
            raise _misplaced(kind, f"{context.command_path} {kind.upper()}")

    return click.option("--config", hidden=True, expose_value=False, callback=refuse, help=f"Belongs to the {kind}.")


def runs_itself(context: click.Context, config: Path | None) -> bool:
    """Return whether a group is to run itself, and none of its subcommands.

    Raises
    ------
    click.UsageError
        If `config` was given to the group and not to the subcommand that is to run.
    """
    name = context.invoked_subcommand
    if name is not None and config is not None:
        raise _misplaced("subcommand", f"{context.command_path} {name}")
    return name is None


def _misplaced(kind: str, path: str) -> click.UsageError:
    return click.UsageError(f"put --config after the {kind}: `{path} --config FILE`")
