"""What is held of a customer as a page that people can read: one file, nothing to run, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Any, Final

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; width: 100%; }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; width: 16rem; }
td { overflow-wrap: anywhere; }
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEAD: Final = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{_STYLE_HASH}'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What is held of a customer</title>
<style>{_STYLE}</style>
"""
_TITLES: Final = {
    "profile": "What has been derived from your activity",
    "memberships": "The groups that you are in, and why",
    "migrations": "How you moved between groups",
    "notices": "Announced changes of group",
    "refused_records": "Records about you that were refused",
    "inputs": "Records about you that are still kept",
}


def page_of(document: Mapping[str, Any]) -> str:
    """Return the page of a document of `stream_app.audit.held`."""
    parts = [_HEAD, f"<h1>What is held of customer {escape(str(document['customer_id']))}</h1>"]
    parts.append(f"<p>As of {escape(str(document.get('exported_at', '')))}.</p>")
    for name, title in _TITLES.items():
        parts.append(f"<h2>{title}</h2>")
        parts.append(_shown(document[name]) or "<p>Nothing.</p>")
    return "\n".join([*parts, "</html>", ""])


def _shown(value: Any) -> str:
    """Return a value as HTML; empty for nothing."""
    if isinstance(value, Mapping):
        rows = [f"<tr><th>{escape(_named(name))}</th><td>{_shown(each)}</td></tr>" for name, each in value.items()]
        return f"<table>{''.join(rows)}</table>" if rows else ""
    if isinstance(value, list):
        return "".join(_shown(each) if isinstance(each, Mapping) else f"<p>{_shown(each)}</p>" for each in value)
    return "" if value is None else escape(str(value))


def _named(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")
