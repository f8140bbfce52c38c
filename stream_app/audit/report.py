"""What an audit found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from stream_app.audit.findings import CHECKS, EXAMPLES_KEPT, Finding
from stream_app.audit.verification import Verification
from stream_app.plurals import counted

NAME_WIDTH: Final = 44
TEXT_CHARACTERS: Final = 300
"""An example's line is cut here: ids and values come from outside."""


def lines(found: Verification) -> Iterator[str]:
    """Give the report line by line."""
    yield "records read"
    yield from (_figure(topic, count) for topic, count in found.records.items())
    yield "figures"
    yield from (_figure(name, count) for name, count in found.figures.items())
    yield from (_figure(f"refused: {reason}", count) for reason, count in sorted(found.refused.items()))
    yield "checks"
    for check, promise in CHECKS.items():
        breaches = found.tally.breaches[check]
        yield f"  {check:14} {breaches:>9,} breaches  {promise}"
        yield from (f"      {_example(finding)}" for finding in found.tally.examples[check])
        if breaches > EXAMPLES_KEPT:
            yield f"      … and {breaches - EXAMPLES_KEPT:,} more"
    breaches = found.tally.total
    verdict = "clean" if found.tally.is_clean else counted(breaches, "breach", "breaches")
    yield f"{verdict}, {sum(found.records.values()):,} records in {found.seconds:.1f} s"


def document(found: Verification) -> dict[str, Any]:
    """Return the report as JSON values."""
    return {
        "clean": found.tally.is_clean,
        "seconds": round(found.seconds, 3),
        "records": dict(found.records),
        "figures": dict(found.figures),
        "refused": dict(found.refused),
        "checks": {
            check: {
                "breaches": found.tally.breaches[check],
                "examples": [finding._asdict() for finding in found.tally.examples[check]],
            }
            for check in CHECKS
        },
    }


def _figure(name: str, count: int) -> str:
    return f"  {name:{NAME_WIDTH}} {count:>12,}"


def _example(finding: Finding) -> str:
    who = f"customer {finding.customer_id!r}" if finding.customer_id is not None else ""
    text = ", ".join(part for part in (who, finding.position) if part)
    text = f"{text}: {finding.message}" if text else finding.message
    text = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
    return text if len(text) <= TEXT_CHARACTERS else text[: TEXT_CHARACTERS - 1] + "…"
