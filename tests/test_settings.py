from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from stream_app.bootstrap.decoding import create_decoders
from stream_app.errors import ConfigurationError
from stream_app.segmentations.registry import KINDS
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Section, Settings
from tests.support.one_segmentation import VARIABLE


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)


def toml(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path | None = None, **overrides: object) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load_settings(path, overrides)
    return str(refused.value)


def test_environment_overrides_file_and_options_override_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = toml(tmp_path, "[learning]\nseed = 1\nsample_size = 500\ntick_days = 14\n[holdout]\npercent = 3\n")
    monkeypatch.setenv("SEGMENTER_LEARNING__SEED", "2")
    monkeypatch.setenv("SEGMENTER_LEARNING__SAMPLE_SIZE", "800")
    settings = load_settings(path, {"learning": {"seed": 3}})
    assert (settings.learning.seed, settings.learning.sample_size, settings.learning.tick_days) == (3, 800, 14)
    assert settings.holdout.percent == 3
    assert settings.holdout.salt == Settings().holdout.salt


def test_defaults_hold_where_nothing_is_said() -> None:
    assert load_settings(None) == Settings()


def test_environment_may_give_a_whole_section_or_a_table_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMENTER_MONEY", '{"base_currency": "USD", "rates": {"CHF": 1.2}}')
    monkeypatch.setenv("segmenter_money__rates", '{"EUR": 1.1}')
    monkeypatch.setenv("SEGMENTER_HOLDOUT", '{"percent": 3}')
    settings = load_settings(None)
    assert (settings.money.base_currency, settings.money.rates["EUR"]) == ("USD", Decimal("1.1"))
    assert create_decoders(settings)["engagements"].policy.base_currency == "USD"
    assert settings.holdout.percent == 3


def test_every_setting_is_described_and_has_a_default() -> None:
    fields = Settings.model_fields.items()
    tables = {name: type(info.default) for name, info in fields if isinstance(info.default, Section)}
    others = {name: info.description for name, info in fields if name not in tables}
    assert set(others) == {"segmentations", "segmentations_file"}
    assert all(others.values())
    for section, model in tables.items():
        assert model.__doc__, section
        for name, field in model.model_fields.items():
            assert field.description, f"{section}.{name}"
            assert not field.is_required(), f"{section}.{name}"
    for name, kind in KINDS.items():
        assert all(field.description for field in kind.configuration.model_fields.values()), name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[learning]\nsede = 1", "setting learning.sede: no setting has this name"),
        ("[lerning]\nseed = 1", "setting lerning: no setting has this name"),
        ("seed = 1", "setting seed: no setting has this name"),
        ("[learning]\nseed = -1", "setting learning.seed: -1 is refused"),
        ("[learning]\nseed = 'one'", "setting learning.seed: 'one' is refused"),
        ("learning = 1", "setting learning: 1 is refused"),
        ("[[segmentations]]\nkind = 'rulez'\nname = 'x'", "kind: 'rulez', expected one of learned, rules"),
        ("[[segmentations]]\nkind = 'learned'\nname = 'A B'", "setting segmentations.name: 'A B' is refused"),
        ("[[segmentations]]\nkind = 'rules'\nname = 'x'", "setting segmentations.segments: what is given is refused"),
        ("[learning]\nalgorithm = 'dbscan'", "setting learning.algorithm: 'dbscan' is refused"),
        ("[money]\nbase_currency = 'euro'", "setting money.base_currency: 'euro' is refused"),
        ("[money.rates]\nUSD = nan", "setting money.rates.USD: nan is refused"),
        ("[assignment]\nhysteresis = inf", "setting assignment.hysteresis: inf is refused"),
        ("[learning", "not a TOML file"),
        ("a = " + "[" * 5_000, "not a TOML file"),
    ],
)
def test_wrong_file_is_refused_by_the_name_of_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(toml(tmp_path, text))


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}: cannot be read" in refusal(tmp_path)
    assert "absent.toml: cannot be read" in refusal(tmp_path / "absent.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"[money]\nbase_currency = '\xa3'")
    assert "latin.toml: not a TOML file" in refusal(latin)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SEGMENTER_LEARNING__SEED", "x", "setting learning.seed: 'x' is refused"),
        ("SEGMENTER_LEARNING__SEDE", "1", "setting learning.sede: no setting has this name"),
        ("SEGMENTER_LERNING__SEED", "1", "environment variable SEGMENTER_LERNING__SEED: no such setting"),
        ("SEGMENTER_SEED", "1", "environment variable SEGMENTER_SEED: no such setting"),
        ("SEGMENTER_LEARNING", "seed=1", "environment variable SEGMENTER_LEARNING: expected JSON ("),
        ("SEGMENTER_MONEY__RATES", "{", "environment variable SEGMENTER_MONEY__RATES: expected JSON ("),
    ],
)
def test_wrong_environment_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str) -> None:
    monkeypatch.setenv(variable, value)
    assert told in refusal()


@pytest.mark.parametrize("variable", ["SEGMENTER_API__TOKENS", "segmenter_Api"])
def test_environment_that_is_no_json_is_told_without_its_value(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv("SEGMENTER_API__PORT", "8001")
    monkeypatch.setenv("SEGMENTER_MONEY__RATES", "{}")
    monkeypatch.setenv(variable, "hunter2")
    told = refusal()
    assert told.startswith(f"environment variable {variable}: expected JSON")
    assert "hunter2" not in told


def test_currency_without_a_sensible_rate_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="currency_rates: USD 0"):
        create_decoders(load_settings(None, {"money": {"rates": {"USD": 0}}}))
