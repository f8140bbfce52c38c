"""Consents held against rows: who does not agree to be known is in no segment, and nothing of it is in the row.

What was said last of each purpose does not depend on the order in which topics were read, so who has to be barred is
known exactly. What a customer has done since it agreed again is not: which of its records came before that
consent and which after is nowhere written. So the totals of those are held against bounds, and not recounted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from stream_app.audit.checks import Log, Standings
from stream_app.audit.findings import Finding, place
from stream_app.audit.recount import Entry
from stream_app.audit.rows import CustomerRow
from stream_app.audit.traits import Told, recount_traits
from stream_app.core.clock import NO_TIME
from stream_app.core.consent import SEGMENTATION, SINCE, STATEMENTS, ConsentRules
from stream_app.core.events import CONSENT
from stream_app.core.traits import FIELD_FALSE, FIELD_TEXT, FIELD_TRUE, TraitValue

BARRED_MS: Final = -NO_TIME + 2
"""Stands in place of the first instant of who is not to be known."""
_SINCE: Final = STATEMENTS + SINCE
Anything = TypeVar("Anything")


@dataclass(frozen=True)
class Consented:
    """Customers of a partition by what can be recounted of them.

    Parameters
    ----------
    apart
        Those who are barred, or have been, or would need a consent that they have not given.
    left_out
        Number of their records.
    findings
        Breaches.
    """

    apart: frozenset[str]
    left_out: int
    findings: tuple[Finding, ...]


def check_consents(
    rows: Mapping[str, CustomerRow],
    standings: Standings,
    acts: Mapping[str, Sequence[Entry]],
    profiles: Mapping[str, Sequence[Entry]],
    rules: ConsentRules,
    log: Log,
) -> Consented:
    """Compare the rows of a partition with what consents say.

    Parameters
    ----------
    acts, profiles
        Inputs by customer; the latter hold consents, too.
    log
        Of the changelog.
    """
    barred = {customer_id for customer_id, row in rows.items() if row.totals.first_at_ms == BARRED_MS}
    began = {customer_id for customer_id, row in rows.items() if _SINCE in row.traits}
    said = {customer_id: told for customer_id, entries in profiles.items() if (told := _statements(entries))}
    unasked = {each for each in acts.keys() | profiles.keys() if each not in rows and each not in said}
    findings = [
        Finding("consents", message, customer_id, place(*log))
        for customer_id in sorted(barred | began | said.keys())
        for message in _faults(rows.get(customer_id), said.get(customer_id, {}), rules)
    ]
    findings += [
        Finding("consents", f"{segmentation}: in a segment without consent", customer_id, place(*log))
        for customer_id in sorted(barred)
        for segmentation, standing in standings[customer_id].items()
        if standing.segment_id is not None
    ]
    findings += [
        Finding(
            "consents", f"{counted} records are counted, expected at most {known} since the consent", each, place(*log)
        )
        for each in sorted(began - barred)
        for counted, known in (_bounds(rows[each], acts.get(each, ())),)
        if counted > known
    ]
    apart = frozenset(barred | began | (unasked if rules.opts_in else set()))
    return Consented(apart, sum(len(acts.get(each, ())) for each in apart), tuple(findings))


def without(customers: Mapping[str, Anything], apart: frozenset[str]) -> Mapping[str, Anything]:
    """Return what there is of all customers but some."""
    if not apart:
        return customers
    return {customer_id: each for customer_id, each in customers.items() if customer_id not in apart}


def _statements(entries: Sequence[Entry]) -> dict[str, Told]:
    return recount_traits([entry for entry in entries if entry.event.kind == CONSENT])


def _faults(row: CustomerRow | None, said: Mapping[str, Told], rules: ConsentRules) -> Iterator[str]:
    if row is None:
        yield "no row for a consent"
        return
    kept = {name: Told(each.observed_ms, each.kind, each.value) for name, each in row.traits.items()}
    statements = {name: told for name, told in kept.items() if name.startswith(STATEMENTS) and name != _SINCE}
    if wrong := [name for name in sorted(statements.keys() | said.keys()) if statements.get(name) != said.get(name)]:
        yield f"{', '.join(wrong)}: differs from what was said last"
    is_barred = row.totals.first_at_ms == BARRED_MS
    if is_barred == rules.grants({name: _value(told) for name, told in said.items()}, SEGMENTATION):
        yield "barred in spite of consent" if is_barred else "not barred for lack of consent"
    if not is_barred:
        return
    totals = row.totals
    if totals.purchases or totals.refunds or totals.engagements or totals.revenue_minor:
        yield "totals are kept without consent"
    if others := sorted(name for name in kept if not name.startswith(STATEMENTS)):
        yield f"{', '.join(others)}: kept without consent"


def _value(told: Told) -> TraitValue:
    if told.kind in (FIELD_FALSE, FIELD_TRUE):
        return told.kind == FIELD_TRUE
    return told.value.decode() if told.kind == FIELD_TEXT else ""


def _bounds(row: CustomerRow, acts: Sequence[Entry]) -> tuple[int, int]:
    """Return how many records a row has counted, and how many there are since its consent."""
    since_ms = row.traits[_SINCE].observed_ms
    totals = row.totals
    known = sum(entry.event.at_ms >= since_ms for entry in acts)
    return totals.purchases + totals.refunds + totals.engagements, known
