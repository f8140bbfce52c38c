"""The table of example files in docs/sources.md is true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from tests.sources.presets.test_presets import FILES, READ, TOGETHER, told
from tests.support.replays import ROOT

GUIDE: Final = ROOT / "docs" / "sources.md"
HEADER: Final = "| file | rows | orders | refunds | updates, cancellations | engagements | customers | refused |"


def row_of(files: Sequence[str], lines: Sequence[str]) -> str:
    """Return what comes out of files as a row of the guide's table."""
    words = [line.split() for line in lines if not line.startswith("refused")]
    kinds = Counter(each[1] if each[1] in ("completed", "refunded", "updated", "cancelled") else "" for each in words)
    customers = {each[-1] if is_engagement(each) else each[3] for each in words}
    refused = Counter(line.split()[1] for line in lines if line.startswith("refused"))
    counts = [
        " + ".join(str(rows_in(file)) for file in files),
        kinds["completed"],
        kinds["refunded"],
        kinds["updated"] + kinds["cancelled"],
        kinds[""],
        len(customers),
        ", ".join(f"{count} `{reason}`" for reason, count in sorted(refused.items())) or "–",
    ]
    return f"| {', '.join(f'`{file}`' for file in files)} | {' | '.join(map(str, counts))} |"


def is_engagement(words: Sequence[str]) -> bool:
    return words[1] not in ("completed", "refunded", "updated", "cancelled")


def rows_in(file: str) -> int:
    text = (FILES / file).read_bytes()
    return text.count(b"\n") - (not file.endswith(("jsonl", "json")))


def rows() -> list[str]:
    alone = [row_of([file], told(text)) for (_, file), text in READ.items()]
    return alone + [row_of(files, told(text)) for files, text in TOGETHER.items()]


def test_table_of_examples_is_true() -> None:
    page = GUIDE.read_text("utf-8")
    table = page.partition(HEADER + "\n|---|---|---|---|---|---|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == rows()
