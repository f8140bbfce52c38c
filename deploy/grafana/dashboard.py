"""Makes `segmenter.json`, the Grafana dashboard, from `panels`: `python -m deploy.grafana.dashboard`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from deploy.grafana.panels import ROWS, Panel

TARGET: Final = Path(__file__).with_name("segmenter.json")
COLUMNS: Final = 24
"""Width of Grafana's grid."""
HEIGHT: Final = 7
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
NAMES: Final = "label_values(segmenter_model_info, segmentation)"
"""What there is to choose from."""


def expressions(segmentation: str = ".*") -> list[str]:
    """Return every expression of the dashboard, for the segmentations that match a pattern."""
    queries = [query for row in ROWS for panel in row.panels for query in panel.queries]
    return [query.expr.replace("$segmentation", segmentation) for query in queries]


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    return {
        "uid": "stream-segmenter",
        "title": "Stream segmenter",
        "tags": ["segmenter"],
        "timezone": "utc",
        "editable": False,
        "refresh": "30s",
        "schemaVersion": 38,
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                {
                    "name": "segmentation",
                    "label": "Segmentation",
                    "type": "query",
                    "datasource": DATASOURCE,
                    "definition": NAMES,
                    "query": {"query": NAMES, "refId": "segmentations"},
                    "refresh": 2,  # with the time range
                    "sort": 1,
                    "multi": True,
                    "includeAll": True,
                    "allValue": ".*",
                    "current": {"text": ["All"], "value": ["$__all"]},
                },
            ]
        },
        "panels": list(_laid_out()),
    }


def _laid_out() -> Iterator[dict[str, Any]]:
    """Yield rows and panels, numbered and placed from left to right and from top to bottom."""
    number, top = 1, 0
    for row in ROWS:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        number, top, left = number + 1, top + 1, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left = top + HEIGHT, 0
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": HEIGHT})
            number, left = number + 1, left + panel.width
        top += HEIGHT


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    custom = {"fillOpacity": 10, "stacking": {"mode": "normal" if panel.stacked else "none"}}
    targets = [
        {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": query.expr, "legendFormat": query.legend}
        for index, query in enumerate(panel.queries)
    ]
    options = {"textMode": "name" if panel.queries[0].legend else "value"} if panel.kind == "stat" else {}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.explanation,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0} | ({"custom": custom} if panel.kind == "timeseries" else {}),
            "overrides": [],
        },
        "options": options,
        "targets": targets,
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), "utf-8")
