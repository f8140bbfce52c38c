"""Where an operator sees models and decides on them: on Kafka, or in a replay's folder."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from stream_app.adapters.model_desk import ModelDesk, open_desk
from stream_app.bootstrap.kafka import create_connection, create_topic_names
from stream_app.contracts.model_shelf import ModelShelf
from stream_app.errors import ConfigurationError
from stream_app.settings.sections import Settings

FILE: Final = "models.jsonl"


def create_desk(settings: Settings) -> AbstractAsyncContextManager[ModelDesk]:
    """Return the desk of a deployment."""
    return open_desk(create_connection(settings), create_topic_names(settings))


def read_folder(folder: Path) -> ModelShelf:
    """Return the models that a replay wrote.

    Raises
    ------
    ConfigurationError
        If the folder has none.
    """
    shelf = ModelShelf()
    path = folder / FILE
    try:
        with path.open("rb") as lines:
            for line in lines:
                shelf.add(line)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read ({error.strerror}), expected a folder that `segmenter replay --out` wrote"
        ) from error
    except (ValueError, KeyError) as error:
        raise ConfigurationError(f"{path}: a line is no model ({error})") from error
    return shelf
