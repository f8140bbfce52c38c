from __future__ import annotations

import re

from stream_app.exits import ExitCode
from tests.support.replays import ROOT


def test_table_of_exit_codes_has_each_once_and_no_other_page_has_another_table() -> None:
    listed = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "commands.md").read_text("utf-8"), re.MULTILINE)
    assert [int(code) for code in listed] == sorted(ExitCode)
    for page in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md"):
        assert page.name == "commands.md" or not re.search(r"^\| (70|130) \|", page.read_text("utf-8"), re.MULTILINE)


def test_supervisor_restarts_after_everything_but_a_refused_start() -> None:
    (snippet,) = re.findall(r"(?:^    .+\n)*^    Restart=.+\n(?:^    .+\n)*", kafka_page(), re.MULTILINE)
    options = dict(line.strip().split("=") for line in snippet.splitlines() if "=" in line)
    assert options["Restart"] == "on-failure"
    assert options["RestartPreventExitStatus"] == str(int(ExitCode.REFUSED))


def kafka_page() -> str:
    return (ROOT / "docs" / "kafka.md").read_text("utf-8")
