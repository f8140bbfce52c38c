"""`segmenter metrics`: the table of all metrics, made from their declarations."""

from __future__ import annotations

from typing import Final

import click

from stream_app.adapters.metrics.declaration import (
    COMPONENTS,
    EVERY,
    LABEL_CHARACTERS_MAX,
    OTHER,
    SEGMENTATIONS_MAX,
    SERIES_MAX,
    Declaration,
)
from stream_app.adapters.metrics.declared import DECLARED

INTRODUCTION: Final = f"""\
# Metrics

Every command that runs for long serves `/metrics` beside `/live` and `/ready`. Alerts on them are in
`deploy/prometheus`, what to do about each in [the runbook](runbook.md).

Metrics export timestamps, not ages; subtract to get an age: `time() - segmenter_watermark_timestamp_seconds`.
`partition` and `topic` name what this process owns; the series of a partition disappear when it is given up.
Whatever belongs to one segmentation has the label `segmentation`; segment ids recur in others, so join
`on (segmentation, segment)`.

No label holds a customer, an event, or an error's text. A process has at most {SERIES_MAX:,} series. Each metric has at
most as many as stated; the rest is counted together, with the label value `{OTHER}`, and of up to {SEGMENTATIONS_MAX}
segmentations still by `segmentation` (and `cause`). Label values are cut at {LABEL_CHARACTERS_MAX} characters.

`segmenter metrics` prints this page.
"""
TITLES: Final = {EVERY: "Every command", **{name: f"`segmenter {name}`" for name in COMPONENTS}}


@click.command(name="metrics")
def metrics_table() -> None:
    """Print the table of all metrics as Markdown."""
    click.echo(describe_metrics(), nl=False)


def describe_metrics() -> str:
    """Return a page with a table for each command, in Markdown."""
    parts = [INTRODUCTION]
    for component, title in TITLES.items():
        parts.append(f"\n## {title}\n\n| metric | type | labels | series | meaning |\n|---|---|---|---|---|\n")
        parts += [_row(each) for each in DECLARED if each.component == component]
    parts.append(
        "\n`segmenter_process_…` (processor time, memory, open files, start) are those of the Prometheus client.\n"
    )
    return "".join(parts)


def _row(metric: Declaration) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    cells = (f"`{metric.name}`", metric.kind, labels, f"{metric.series_max:,}", metric.documentation)
    return f"| {' | '.join(cells)} |\n"
