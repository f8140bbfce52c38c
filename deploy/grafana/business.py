"""What marketers ask of the dashboard: who is in which segment, what they are worth, and where they go."""

from __future__ import annotations

from typing import Final

from deploy.grafana.parts import Panel, Query, Row, graph, stat

_INFO: Final = "topk by (segmentation, segment) (1, max by (segmentation, segment, name) (segmenter_segment_info))"
"""One series for each segment in use, with its name: while workers take over a model, a segment may have two."""


def _by_name(metric: str) -> str:
    """Return a figure of segments by name; the name of one that is no longer in use is its id and "(former)"."""
    total = f"sum by (segmentation, segment) ({metric})"
    return (
        f"{total} * on (segmentation, segment) group_left (name) {_INFO}"
        f' or on (segmentation, segment) label_replace({total}, "name", "$1 (former)", "segment", "(.*)")'
    )


def _at_levels(metric: str, levels: str) -> str:
    """Return the sum of a figure over the segments whose level matches a pattern."""
    return (
        f"sum by (segmentation) (sum by (segmentation, segment) ({metric}) and on (segmentation, segment)"
        f' segmenter_segment_info{{level=~"{levels}"}})'
    )


def _names(end: str) -> str:
    """Return a series for each segment at one end of migrations, `from` or `to`, with its name as another label."""
    nobody = {"from": "(first seen)", "to": "(left)"}[end]
    of_ids = (
        f'label_replace(label_replace(group by (segmentation, {end}) (segmenter_migrations_total), "{end}_name", "$1",'
        f' "{end}", "(.+)"), "{end}_name", "{nobody}", "{end}", "")'
    )
    of_names = (
        f'label_replace(label_replace({_INFO}, "{end}", "$1", "segment", "(.*)"), "{end}_name", "$1", "name", "(.*)")'
    )
    return f"({of_names} or on (segmentation, {end}) {of_ids})"


def _flows(count: int) -> str:
    """Return the largest flows of an hour, with the names of both ends."""
    largest = f"topk({count}, sum by (segmentation, from, to) (increase(segmenter_migrations_total[1h])))"
    return (
        f"{largest} * on (segmentation, from) group_left (from_name) {_names('from')}"
        f" * on (segmentation, to) group_left (to_name) {_names('to')}"
    )


def _crossings(end: str, other: str) -> str:
    """Return the moves of a day from segments at or above level 0 to segments below, or the other way around."""

    def level(side: str, pattern: str) -> str:
        return (
            f'label_replace(group by (segmentation, segment) (segmenter_segment_info{{level=~"{pattern}"}}),'
            f' "{side}", "$1", "segment", "(.*)")'
        )

    moves = 'sum by (segmentation, from, to) (increase(segmenter_migrations_total{cause!~"model|definition"}[1d]))'
    return (
        f"sum by (segmentation) ({moves} and on (segmentation, {end}) {level(end, '-.*')}"
        f" and on (segmentation, {other}) {level(other, '[0-9].*')})"
    )


BUSINESS: Final = Row(
    "Business",
    (
        stat(
            "In segments",
            "Customers who are in a segment now, by segmentation.",
            "sum by (segmentation) (segmenter_customers)",
            legend="{{segmentation}}",
        ),
        stat(
            "Revenue at risk",
            "What customers in segments of level -1 (At risk) have spent over their lifetime, in the base currency.",
            _at_levels("segmenter_segment_revenue", "-1"),
            legend="{{segmentation}}",
        ),
        stat(
            "Revenue of the lapsed",
            "What customers in segments below level -1 (Hibernating, One-time, Lost) have spent over their lifetime, in"
            " the base currency.",
            _at_levels("segmenter_segment_revenue", "-([2-9]|[1-9][0-9]+)"),
            legend="{{segmentation}}",
        ),
        stat(
            "Lapsed in a day",
            "Moves into segments below level 0 from others; those that a new model or definition causes are left out.",
            _crossings("to", "from"),
            legend="{{segmentation}}",
        ),
        stat(
            "Won back in a day",
            "Moves out of segments below level 0; those that a new model or definition causes are left out.",
            _crossings("from", "to"),
            legend="{{segmentation}}",
        ),
        stat(
            "Held out",
            "Share of the customers whom campaigns are to leave alone, so that their effect can be measured"
            " (`holdout.percent`).",
            "max(segmenter_holdout_ratio)",
            "percentunit",
        ),
        graph(
            "Customers by segment",
            "By name; segments that are no longer in use are shown by id, as former ones.",
            _by_name("segmenter_customers"),
            "{{segmentation}} {{name}} ({{segment}})",
            stacked=True,
        ),
        graph(
            "Revenue by segment",
            "Over their lifetime, net of refunds, of the customers who are in each segment now, in the base currency.",
            _by_name("segmenter_segment_revenue"),
            "{{segmentation}} {{name}} ({{segment}})",
            stacked=True,
        ),
        Panel(
            "Flows of the last hour",
            "The ten largest, by name and id.",
            [Query(_flows(10), "{{segmentation}}: {{from_name}} ({{from}}) → {{to_name}} ({{to}})")],
            kind="bargauge",
        ),
        graph(
            "Migrations by cause",
            "What makes customers move.",
            "sum by (segmentation, cause) (rate(segmenter_migrations_total[5m]))",
            "{{segmentation}} {{cause}}",
            "mps",
            stacked=True,
        ),
        Panel(
            "Migrations an hour against the day before",
            "Without those that models and changed definitions cause.",
            [
                Query("segmenter:migrations:rate1h * 3600", "{{segmentation}} now"),
                Query(
                    "avg_over_time(segmenter:migrations:rate1h[1d] offset 1h) * 3600",
                    "{{segmentation}} usual",
                ),
            ],
            alerts=("SegmenterMigrationRateAnomaly", "SegmenterMigrationsStopped"),
        ),
        Panel(
            "Models that wait for approval",
            "The share of the customers that each is forecast to move. While a version is pinned, none is published.",
            [
                Query(
                    "max by (segmentation, version) (segmenter_model_held_expected_churn)",
                    "{{segmentation}} {{version}}",
                ),
                Query(
                    "max by (segmentation) (segmenter_model_pinned) == 1",
                    "{{segmentation}} is pinned",
                ),
            ],
            alerts=("SegmenterModelHeld",),
        ),
    ),
)
