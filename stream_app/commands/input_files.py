"""The options that name input files, one for each input topic."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from stream_app.contracts.inputs.table import INPUT_CONTRACTS


def takes_input_files(type_: click.ParamType, hint: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option for each input topic to a command, which gets `files`: the paths by topic, one at least.

    Parameters
    ----------
    type_
        Of each path.
    hint
        For the help: what forms the files may have.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def gather(**values: Any) -> None:
            files = {topic: values.pop(_parameter(topic)) for topic in INPUT_CONTRACTS}
            if not any(files.values()):
                raise click.UsageError("name at least one file: " + " or ".join(f"--{topic} FILE" for topic in files))
            command(files=files, **values)

        for topic, contract in reversed(INPUT_CONTRACTS.items()):
            help_ = f"{contract.title}: {hint}"
            gather = click.option(f"--{topic}", _parameter(topic), type=type_, multiple=True, help=help_)(gather)
        return gather

    return decorate


def _parameter(topic: str) -> str:
    return "files_of_" + topic.replace("-", "_")
