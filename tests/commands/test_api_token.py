"""`segmenter api token`: an entry for each place that settings are read from, and the token apart from it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_app.api.access import hash_token
from stream_app.cli import main
from stream_app.settings.loading import load_settings
from tests.support.replays import refused

NAME = "shop.1"


def of_toml(text: str) -> Any:
    return tomllib.loads(text)["api"]["tokens"]


def of_secret(text: str) -> Any:
    secret = yaml.safe_load(text)
    assert (secret["kind"], secret["metadata"]["name"]) == ("Secret", "segmenter-api")
    return json.loads(secret["stringData"]["tokens"])


FORMS: dict[str, Callable[[str], Any]] = {"toml": of_toml, "json": json.loads, "kubernetes": of_secret}


def test_name_that_no_setting_may_have_makes_no_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert "setting api.tokens.0.name" in refused(capsys, "api", "token", "--name", "my shop")


def make(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[str, str]:
    """Return the entry and the token."""
    main(["api", "token", "--name", NAME, *options])
    entry, told = capsys.readouterr()
    token = told.strip().rpartition(" ")[2]
    assert token not in entry
    return entry, token


@pytest.mark.parametrize("form", FORMS)
def test_entry_says_the_same_in_each_form_and_is_the_token_s(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    entry, token = make(capsys, "--format", form, "--scope", "read:customers", "--scope", "read:customers")
    assert FORMS[form](entry) == [{"name": NAME, "sha256": hash_token(token), "scopes": ["read:customers"]}]


def test_entry_in_a_file_and_in_the_environment_is_accepted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, _ = make(capsys)
    (tmp_path / "api.toml").write_text(entry, "utf-8")
    assert [token.name for token in load_settings(tmp_path / "api.toml").api.tokens] == [NAME]
    entry, _ = make(capsys, "--format", "json")
    monkeypatch.setenv("SEGMENTER_API__TOKENS", entry)
    assert [token.name for token in load_settings(None).api.tokens] == [NAME]
