from __future__ import annotations

from pathlib import Path

import pytest

from stream_app import segmentations
from stream_app.cli import main
from tests.support.one_segmentation import VARIABLE
from tests.support.replays import Outputs
from tests.web.driving import Driver

SEVERAL = """
[[segmentations]]
kind = "learned"
name = "value"

[[segmentations]]
kind = "rules"
name = "lifecycle"
segments = [
  { id = "new", name = "New", when = { figure = "tenure_days", less_than = 30 } },
  { id = "vip", name = "VIP", when = { figure = "purchases", at_least = 1000 } },
  { id = "active", name = "Active & <b>well</b>", when = { figure = "recency_days", less_than = 45 } },
]
otherwise = { id = "lapsed", name = "Lapsed" }
"""
"""One learned and one by rules: of the latter's segments one stays empty, and one has a name that looks like markup."""


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """What a replay wrote under the definitions that are shipped: audiences among them, and more than fit on a line."""
    folder = tmp_path_factory.mktemp("shipped")
    main(["simulate", "--customers", "60", "--days", "120", "--seed", "1", "--out", str(folder / "population")])
    events = {topic: str(folder / "population" / f"{topic}.jsonl.gz") for topic in ("purchases", "engagements")}
    files = ["--purchases", events["purchases"], "--engagements", events["engagements"]]
    definitions = Path(segmentations.__file__).with_name("shipped.yaml")
    main(["replay", *files, "--segmentations", str(definitions), "--out", str(folder / "out")])
    return Outputs(folder / "out")


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """What a replay of a simulated population wrote under `SEVERAL`."""
    folder = tmp_path_factory.mktemp("several")
    config = folder / "several.toml"
    config.write_text(SEVERAL, encoding="utf-8")
    main(["simulate", "--customers", "300", "--days", "150", "--seed", "7", "--out", str(folder / "population")])
    events = {topic: str(folder / "population" / f"{topic}.jsonl.gz") for topic in ("purchases", "engagements")}
    files = ["--purchases", events["purchases"], "--engagements", events["engagements"]]
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv(VARIABLE)
        main(["replay", *files, "--config", str(config), "--out", str(folder / "out")])
    return Outputs(folder / "out")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    """Chromium."""
    return Driver(tmp_path_factory.mktemp("browser") / "place")
