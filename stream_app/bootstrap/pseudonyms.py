"""The secret that customers' ids are hashed with, where they are."""

from __future__ import annotations

from stream_app.contracts.pseudonyms import Pseudonyms
from stream_app.errors import ConfigurationError
from stream_app.settings.sections import Settings


def read_pseudonyms(settings: Settings) -> Pseudonyms | None:
    """Return what puts pseudonyms in the place of ids; None if ids stay as they are.

    Raises
    ------
    ConfigurationError
        If the key cannot be read, or is too short.
    """
    path = settings.privacy.pseudonym_key_file
    if path is None:
        return None
    try:
        return Pseudonyms(path.read_bytes().strip())
    except OSError as error:
        raise ConfigurationError(f"setting privacy.pseudonym_key_file: {path}: {error.strerror}") from error
