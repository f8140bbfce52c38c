"""What pages have their readers type, as far as no other test runs it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from stream_app.webhooks.subscriptions import load_subscriptions
from tests.support.replays import ROOT


def test_subscriptions_that_the_recipe_makes_begin_with_what_is_on_the_topic(tmp_path: Path) -> None:
    lines = (ROOT / "docs" / "webhooks.md").read_text("utf-8").splitlines()
    making = [line.strip() for line in lines if "webhooks.yaml" in line and line.startswith(("    sed", "    echo"))]
    assert len(making) == 2
    for line in making:
        command = line.replace("deploy/compose", str(ROOT / "deploy" / "compose"))
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    (subscription,) = load_subscriptions(tmp_path / "webhooks.yaml")
    assert subscription.url.get_secret_value() == "http://127.0.0.1:8090/segments"
    assert subscription.start == "earliest"
