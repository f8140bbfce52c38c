"""A command imports what it runs on, and nothing of the others."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import click
import pytest

from stream_app import commands
from stream_app.cli import COMMANDS, segmenter
from tests.support.replays import ROOT

LIST_COMMANDS = """
import sys
from stream_app.cli import segmenter
segmenter.main(["--help"], standalone_mode=False)
print(sorted(sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_list_of_commands_says_of_each_what_its_own_help_begins_with(name: str) -> None:
    command = segmenter.get_command(click.Context(segmenter), name)
    assert command is not None
    assert command.name == name
    assert command.help is not None
    assert " ".join(command.help.split()).startswith(COMMANDS[name].summary)
    # To its full stop: the list would not differ if the command itself were asked.
    assert command.get_short_help_str(limit=200) == COMMANDS[name].summary


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    command = segmenter.get_command(click.Context(segmenter), name)
    assert command is not None
    for each in (command, *getattr(command, "commands", {}).values()):
        assert not [option.name for option in each.params if isinstance(option, click.Option) and not option.help]


def test_list_of_commands_is_complete() -> None:
    listed = {entry.place.rpartition(":")[0].rpartition(".")[2] for entry in COMMANDS.values()}
    shared = {"__init__", "groups", "input_files", "model_text", "privacy_page", "serving", "statements", "trials"}
    modules = {path.stem for path in Path(commands.__path__[0]).glob("*.py")} - shared
    assert listed == modules


def test_page_of_commands_is_complete() -> None:
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    for name in COMMANDS:
        assert f"`segmenter {name}" in page, name


def test_listing_the_commands_imports_none_of_them() -> None:
    listing = subprocess.run([sys.executable, "-c", LIST_COMMANDS], capture_output=True, check=True, text=True)
    assert all(f"\n  {name} " in listing.stdout for name in COMMANDS)
    imported = ast.literal_eval(listing.stderr)
    ours = {name for name in imported if name.startswith("stream_app")}
    assert ours == {
        "stream_app",
        "stream_app.cli",
        "stream_app.commands",
        "stream_app.commands.groups",
        "stream_app.errors",
        "stream_app.exits",
        "stream_app.extras",
    }
    assert not {"numpy", "pydantic", "faust", "fastapi"} & set(imported)


@pytest.mark.parametrize("name", ["produce", "topics", "verify", "view", "webhooks"])
def test_worker_alone_imports_the_driver_of_faust(name: str) -> None:
    told = f"import sys; import stream_app.commands.{name}; print('faust.transport.drivers.aiokafka' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", told], text=True) == "False\n"


def test_unknown_command_is_no_command() -> None:
    assert segmenter.get_command(click.Context(segmenter), "groups") is None
