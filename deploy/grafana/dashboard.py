"""Makes `segmenter.json`, the Grafana dashboard, from `panels`: `python -m deploy.grafana.dashboard`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from deploy.grafana.panels import ROWS
from deploy.grafana.parts import DEPLOYMENT, RUNBOOK, Panel, scoped

TARGET: Final = Path(__file__).with_name("segmenter.json")
COLUMNS: Final = 24
"""Width of Grafana's grid."""
HEIGHT: Final = 7
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
MATCHES_ALL: Final = ".*"
TROUBLE, CALM = "red", "green"


def expressions(segmentation: str = MATCHES_ALL, deployment: str = MATCHES_ALL) -> list[str]:
    """Return every expression of the panels and annotations, with patterns in place of the variables."""
    written = [query.expr for row in ROWS for panel in row.panels for query in panel.queries]
    written += [each["expr"] for each in ANNOTATIONS]
    return [filled_in(expr, segmentation, deployment) for expr in written]


def filled_in(expr: str, segmentation: str = MATCHES_ALL, deployment: str = MATCHES_ALL) -> str:
    """Return an expression as the dashboard asks it, with patterns in place of the variables."""
    chosen = {"segmentation": segmentation, "deployment": deployment, "job": MATCHES_ALL, "instance": MATCHES_ALL}
    expr = scoped(expr)
    for variable, pattern in chosen.items():
        expr = expr.replace(f"${variable}", pattern)
    return expr


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
        "links": [{"title": "Runbook", "type": "link", "url": "${runbook}", "targetBlank": True, "icon": "doc"}],
        "annotations": {"list": [_annotation(**each) for each in ANNOTATIONS]},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                # One at a time: figures of two deployments never add up. Without that label, the value is empty.
                _variable("deployment", "Deployment", "label_values(segmenter_build_info, deployment)"),
                _variable("job", "Job", f"label_values(segmenter_build_info{{{DEPLOYMENT}}}, job)", is_multiple=True),
                _variable(
                    "instance",
                    "Instance",
                    f'label_values(segmenter_build_info{{{DEPLOYMENT}, job=~"$job"}}, instance)',
                    is_multiple=True,
                ),
                _variable(
                    "segmentation",
                    "Segmentation",
                    f"label_values(segmenter_model_info{{{DEPLOYMENT}}}, segmentation)",
                    is_multiple=True,
                ),
                {"name": "runbook", "type": "constant", "query": RUNBOOK, "hide": 2, "skipUrlSync": True},
            ]
        },
        "panels": list(_laid_out()),
    }


ANNOTATIONS: Final[tuple[dict[str, str], ...]] = (
    {
        "name": "Models and definitions",
        "colour": "blue",
        "expr": "group by (segmentation, version) (segmenter_model_info)"
        " unless on (segmentation, version) segmenter_model_info offset 5m",
        "title": "{{segmentation}}: version {{version}}",
    },
    {
        "name": "Releases",
        "colour": "purple",
        "expr": "group by (component, version) (segmenter_build_info)"
        " unless on (component, version) segmenter_build_info offset 5m",
        "title": "{{component}} {{version}}",
    },
    {
        "name": "Alerts",
        "colour": "red",
        "expr": 'group by (alertname, severity) (ALERTS{alertname=~"Segmenter.*", alertstate="firing"})',
        "title": "{{alertname}}",
    },
)
"""What is marked on all panels over time."""


def _variable(name: str, label: str, definition: str, *, is_multiple: bool = False) -> dict[str, Any]:
    variable: dict[str, Any] = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": definition,
        "query": {"query": definition, "refId": name},
        "refresh": 2,  # with the time range
        "sort": 1,
        "multi": is_multiple,
        "includeAll": is_multiple,
    }
    if is_multiple:
        variable |= {"allValue": MATCHES_ALL, "current": {"text": ["All"], "value": ["$__all"]}}
    return variable


def _annotation(name: str, colour: str, expr: str, title: str) -> dict[str, Any]:
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": colour,
        "expr": scoped(expr),
        "titleFormat": title,
        "step": "60s",
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
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "expr": scoped(query.expr),
            "legendFormat": query.legend,
        }
        for index, query in enumerate(panel.queries)
    ]
    links = [
        {"title": f"Runbook: {alert}", "url": f"${{runbook}}#{alert.lower()}", "targetBlank": True}
        for alert in panel.alerts
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.explanation,
        "links": links,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        "targets": targets,
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    below, above = (TROUBLE, CALM) if panel.is_floor else (CALM, TROUBLE)
    steps: list[dict[str, Any]] = [{"color": CALM if panel.limit is None else below, "value": None}]
    if panel.limit is not None:
        steps.append({"color": above, "value": panel.limit})
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "fillOpacity": 10,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "off" if panel.limit is None else "dashed"},
        }
    return defaults


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind != "stat":
        return {}
    legend = panel.queries[0].legend
    named = "name" if "version" in legend else "value_and_name"  # a version is shown by its name alone
    return {"textMode": named if legend else "value", "colorMode": "value"}


def text() -> str:
    """Return the file's content."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), "utf-8")
