"""Tokens that stand in a file of their own, and change while the API runs."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stream_app.api.access import BearerTokens, hash_token
from stream_app.bootstrap import tokens as following
from stream_app.bootstrap.api import tokens_of
from stream_app.bootstrap.tokens import follow_tokens_file, read_tokens_file
from stream_app.cli import segmenter
from stream_app.errors import ConfigurationError
from stream_app.settings.loading import load_settings


def entry(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hash_token(name), "scopes": ["read:customers"]} | changes


def names(tokens: BearerTokens | None) -> set[str]:
    assert tokens is not None
    return set(tokens.by_name)


def write(path: Path, text: str) -> None:
    """Put another file in the place of one, as Kubernetes does."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text, "utf-8")
    fresh.replace(path)


def test_file_holds_what_the_command_prints(tmp_path: Path) -> None:
    printed = CliRunner().invoke(segmenter, ["api", "token", "--name", "shop", "--scope", "read:customers"]).output
    path = tmp_path / "tokens.toml"
    path.write_text(printed[printed.index("[[") :], "utf-8")
    (client,) = read_tokens_file(path)
    assert (client.name, client.scopes) == ("shop", {"read:customers"})


def test_settings_may_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps([entry("a"), entry("b")]), "utf-8")
    assert names(tokens_of(load_settings(None, {"api": {"tokens_file": path}}))) == {"a", "b"}
    with pytest.raises(ConfigurationError, match=r"settings api\.tokens, api\.tokens_file: both are given"):
        tokens_of(load_settings(None, {"api": {"tokens_file": path, "tokens": [entry("c")]}}))
    with pytest.raises(ConfigurationError, match=r"allow_anonymous: True, expected False"):
        tokens_of(load_settings(None, {"api": {"tokens_file": path, "allow_anonymous": True}}))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[]", "has no token"),
        ("", "has no token"),
        ("{", r"expected TOML with \[\[api.tokens\]\], or a list in JSON"),
        ("secret", r"expected TOML with \[\[api.tokens\]\], or a list in JSON"),
        ("3", "what it holds is refused"),
        (json.dumps([entry("a", sha256="secret")]), r"0\.sha256 is refused"),
        (json.dumps([entry("a", scopes=["all"])]), r"0\.scopes.* is refused"),
        (json.dumps([entry("a"), entry("a")]), "names .*, expected each once"),
    ],
)
def test_mistake_in_the_file_is_named_and_not_quoted(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(content, "utf-8")
    with pytest.raises(ConfigurationError, match=told) as refused:
        read_tokens_file(path)
    assert "secret" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_tokens_file(tmp_path / "none")


def test_who_is_added_may_call_and_who_is_taken_out_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.01)
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps([entry("a")]), "utf-8")
    tokens = BearerTokens(read_tokens_file(path))

    async def until(is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not is_so():
                await asyncio.sleep(0.01)

    async def change() -> None:
        task = asyncio.create_task(follow_tokens_file(path, tokens))
        await asyncio.sleep(0.05)
        write(path, json.dumps([entry("b")]))
        await until(lambda: names(tokens) == {"b"})
        write(path, "[")
        await until(lambda: "the tokens stay as they were" in caplog.text)
        path.unlink()
        await until(lambda: "cannot be read" in caplog.text)
        assert names(tokens) == {"b"}
        write(path, json.dumps([entry("b"), entry("c")]))
        await until(lambda: names(tokens) == {"b", "c"})
        os.utime(path)
        await asyncio.sleep(0.05)
        task.cancel()

    caplog.set_level("INFO")
    asyncio.run(change())
    found = asyncio.run(tokens({"headers": [(b"authorization", b"Bearer c")]}))
    assert found is not None
    assert found.name == "c"
