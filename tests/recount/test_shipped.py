"""Every shipped definition on real and simulated customers, against a recount in plain pandas."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from stream_app.bootstrap.replay import create_readers, create_replay
from stream_app.contracts.fields import parse_instant
from stream_app.segmentations.file import shipped_text
from stream_app.settings.loading import load_settings
from stream_app.sources.files import SourceFile
from tests.recount.recounting import TIERS, Recount
from tests.recount.shops import Shop, cdnow_shop, retail_shop, simulated_shop

Move = tuple[int, str, str, str | None]
NOW_MS = 2**42
BY_TIME = {"lapse"}


class Replayed:
    """What a replay of a shop under the shipped definitions has told of rules and audiences."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        path = folder / "segmentations.yaml"
        path.write_text(shipped_text())
        settings = load_settings(None, {"segmentations_file": path, "assignment": {"sweep_interval_seconds": 86_400}})
        sources = [SourceFile(file, topic, {}, {}, None) for topic, file in shop.write(folder).items()]
        readers = create_readers(settings, sources, NOW_MS)
        summary = create_replay(settings, folder / "out", shop.end_ms).run(readers)
        assert summary["counts"]["rejected"] == 0
        for reader in readers:
            reader.close()
        self.moves: set[Move] = set()
        self.causes: Counter[str] = Counter()
        count = 0
        for line in (folder / "out" / "migrations.jsonl").read_bytes().splitlines():
            migration = json.loads(line)
            if migration["segmentation"] != "value":
                self.moves.add(_move_of(migration))
                self.causes[migration["cause"]["kind"]] += 1
                count += 1
        assert count == len(self.moves), "nobody moves twice in a segmentation at an instant"


def _move_of(migration: dict[str, object]) -> Move:
    to = migration["to_segment"]
    assert to is None or isinstance(to, dict)
    return (
        parse_instant(str(migration["effective_at"])),
        str(migration["segmentation"]),
        str(migration["customer_id"]),
        None if to is None else str(to["id"]),
    )


def differing(recounted: set[Move], told: set[Move]) -> list[Move]:
    """Return the moves that only one of both has; a fading sum may pass its border a millisecond earlier or later."""
    missing, excess = recounted - told, told - recounted
    for at_ms, name, customer, segment in sorted(missing):
        nearby = {(at_ms + shift, name, customer, segment) for shift in (-1, 1)} & excess
        if name == "value_tier" and nearby:
            missing.discard((at_ms, name, customer, segment))
            excess -= nearby
    return sorted(missing | excess, key=str)


def assert_recounted(shop: Shop, folder: Path) -> Replayed:
    replayed = Replayed(shop, folder)
    recounted = Recount(shop).moves()
    wrong = differing(recounted, replayed.moves)
    assert not wrong, f"{len(wrong)} of {len(recounted)}: {wrong[:6]}"
    return replayed


@pytest.mark.real_data
def test_shipped_definitions_of_cdnow_are_recounted(tmp_path: Path) -> None:
    replayed = assert_recounted(cdnow_shop(tmp_path), tmp_path)
    assert replayed.causes["lapse"] > 1_000
    assert {name for _, name, _, _ in replayed.moves} >= {"lifecycle", "value_tier", "rfm_cells", "one_and_done"}


@pytest.mark.real_data
def test_shipped_definitions_of_online_retail_are_recounted_with_refunds_and_countries(tmp_path: Path) -> None:
    replayed = assert_recounted(retail_shop(), tmp_path)
    assert replayed.causes["refund"] > 0
    regions = {segment for _, name, _, segment in replayed.moves if name == "region"}
    assert regions >= {"british_isles", "dach", "france_benelux", "elsewhere"}


def test_shipped_definitions_of_the_simulator_are_recounted(tmp_path: Path) -> None:
    replayed = assert_recounted(simulated_shop(tmp_path), tmp_path)
    assert set(replayed.causes) >= {"purchase", "refund", "engagement", "profile", "lapse"}
    everything = {(name, segment) for _, name, _, segment in replayed.moves}
    assert everything >= {("value_tier", tier) for tier in TIERS}
    for audience in ("cart_abandoners", "vip_slipping", "one_and_done", "lapsed_but_browsing", "price_sensitive"):
        assert (audience, audience) in everything
        assert (audience, None) in everything
    assert everything >= {("life_moment", each) for each in ("renewal", "new_parents", "birthday_month", "none")}
    assert {("brand_advocates", "brand_advocates"), ("vip_in_italy_slipping", "vip_in_italy_slipping")} <= everything
