"""`segmenter help`: what `--help` says, for those who ask without the dashes."""

from __future__ import annotations

import click


@click.command(name="help")
@click.argument("names", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def help_command(context: click.Context, names: tuple[str, ...]) -> None:
    """List the commands, or explain one."""
    explained = context.find_root()
    for name in names:
        group = explained.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"`{explained.command_path}` has no subcommands")
        _, command, _ = group.resolve_command(explained, [name])
        if command is None:
            raise click.UsageError(f"{name} is not a command")
        explained = click.Context(command, info_name=name, parent=explained)
    click.echo(explained.get_help())
