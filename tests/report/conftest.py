from __future__ import annotations

import pytest

from stream_app.cli import main
from tests.support.replays import Outputs

SEVERAL = """
[[segmentations]]
kind = "learned"
name = "value"

[[segmentations]]
kind = "rules"
name = "lifecycle"
segments = [
  { id = "new", name = "New", when = { figure = "tenure_days", operator = "<", value = 30 } },
  { id = "vip", name = "VIP", when = { figure = "purchases", operator = ">=", value = 1000 } },
  { id = "active", name = "Active & <b>well</b>", when = { figure = "recency_days", operator = "<", value = 45 } },
]
otherwise = { id = "lapsed", name = "Lapsed" }
"""
"""One learned and one by rules: of the latter's segments one stays empty, and one has a name that looks like markup."""


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """What a replay of a simulated population wrote under `SEVERAL`."""
    folder = tmp_path_factory.mktemp("several")
    config = folder / "several.toml"
    config.write_text(SEVERAL, encoding="utf-8")
    main(["simulate", "--customers", "300", "--days", "150", "--seed", "7", "--out", str(folder / "population")])
    events = {topic: str(folder / "population" / f"{topic}.jsonl.gz") for topic in ("purchases", "engagements")}
    files = ["--purchases", events["purchases"], "--engagements", events["engagements"]]
    main(["replay", *files, "--config", str(config), "--out", str(folder / "out")])
    return Outputs(folder / "out")
