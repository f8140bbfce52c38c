"""The key that signs sessions and stream tokens: as long as the setting says, wherever it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_app.bootstrap.api import create_api
from stream_app.errors import ConfigurationError
from stream_app.settings.loading import load_settings

SHORT, LONG = "a" * 31, "a" * 32


def create_with(**settings: Any) -> None:
    create_api(load_settings(None, {"api": {"allow_anonymous": True} | settings}))


def test_a_short_key_is_refused_alike_in_a_setting_and_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(SHORT + "\n", "utf-8")
    for settings, name in (
        ({"signing_key": SHORT}, "setting api.signing_key"),
        ({"signing_key_file": path}, f"setting api.signing_key_file: {path}"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            create_with(**settings)
        assert str(refused.value) == f"{name}: 31 characters, expected at least 32"


def test_a_key_that_is_long_enough_is_taken_from_both(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(LONG + "\n", "utf-8")
    create_with(signing_key=LONG)
    create_with(signing_key_file=path)
