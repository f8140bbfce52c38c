"""Who may call the API: tokens of the settings, or of a file that may change while the API runs.

The file holds what `segmenter api token` prints: TOML with `[[api.tokens]]`, or a JSON list. A mounted Kubernetes
Secret is replaced in place, so its tokens change without a restart.
"""

from __future__ import annotations

import asyncio
import json
import logging
import tomllib
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from stream_app.api.access import BearerTokens, Client
from stream_app.errors import ConfigurationError
from stream_app.settings.sections import ApiToken, Settings

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0
"""Between two looks at the file."""
_read_entries: Final = TypeAdapter(tuple[ApiToken, ...]).validate_python


def create_tokens(settings: Settings) -> BearerTokens | None:
    """Return the tokens of those who may call the API; None where everybody may.

    Raises
    ------
    ConfigurationError
        If tokens are given twice, or those of a file cannot be read.
    """
    section = settings.api
    if section.tokens and section.tokens_file is not None:
        raise ConfigurationError("settings api.tokens, api.tokens_file: both are given, expected one of them")
    if section.tokens_file is not None:
        return BearerTokens(read_tokens_file(section.tokens_file))
    return BearerTokens(_clients(section.tokens, "setting api.tokens")) if section.tokens else None


def read_tokens_file(path: Path) -> list[Client]:
    """Return the clients of a file.

    Raises
    ------
    ConfigurationError
        If it cannot be read, has none, or holds a mistake; the message never quotes it.
    """
    place = f"setting api.tokens_file: {path}"
    try:
        entries = _entries(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{place}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError):  # whose message may quote the content
        raise ConfigurationError(f"{place}: expected TOML with [[api.tokens]], or a list in JSON") from None
    try:
        clients = _clients(_read_entries(entries), place)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{place}: {field or 'what it holds'} is refused: {first['msg']}") from None
    if not clients:
        raise ConfigurationError(f"{place}: has no token; `segmenter api token` makes one")
    return clients


def _entries(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        found = tomllib.loads(text)
    return found.get("api", {}).get("tokens", []) if isinstance(found, dict) else found


def _clients(entries: tuple[ApiToken, ...], place: str) -> list[Client]:
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"{place}: names {names}, expected each once")
    return [Client(entry.name, entry.sha256, frozenset(entry.scopes)) for entry in entries]


async def follow_tokens_file(path: Path, tokens: BearerTokens) -> None:
    """Let in whom the file names, for ever; while it cannot be read, those stay who were let in before."""
    seen = _state(path)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        found = _state(path)
        if found == seen:
            continue
        try:
            clients = read_tokens_file(path)
        except ConfigurationError as error:
            logger.error("the tokens stay as they were: %s", error)  # noqa: TRY400  (no failure of the program)
        else:
            tokens.replace(clients)
            logger.info("tokens read again: %s", ", ".join(sorted(tokens.by_name)))
        seen = found


def _state(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file's content; None for one that is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
