"""Answers that name segments: lists of segments, flows, versions."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

from stream_app.adapters.view_schema import UNKNOWN_MONEY, FlowField, TotalsValue
from stream_app.api.figures import ToldFigures
from stream_app.api.store import Ahead, DayTrade, Flow, Leaver, Segment, SegmentList
from stream_app.contracts.readers import ModelRecord
from stream_app.contracts.segment_index import SegmentIndex
from stream_app.core.members import NO_MEMBERS, MemberFigures, life_cycle_order, member_figures

NOBODY: Final = member_figures({"": NO_MEMBERS}, 0, 1)[""]


def segment_list(model: ModelRecord, told: ToldFigures | None) -> SegmentList:
    """Return a model's segments by life cycle and value, then those of earlier models that still have customers.

    Parameters
    ----------
    model
        The newest published version.
    told
        What is known of the members; None while nothing is.
    """
    figures = told.segments if told else {}

    def figures_of(segment_id: str) -> MemberFigures | None:
        return figures.get(segment_id, NOBODY) if told else None

    segments = [
        Segment(
            each.id,
            each.name,
            False,
            figures_of(each.id),
            level=each.level,
            statement=each.statement,
            action=each.action,
            open=each.open,
            sentence=each.sentence,
        )
        for each in model.segments
    ]
    segments += [
        Segment(each.id, each.name, True, figures[each.id]) for each in model.retired_segments if each.id in figures
    ]
    segments.sort(key=lambda each: (each.is_retired, life_cycle_order(each.level, each.figures or NOBODY, each.id)))
    as_of, currency, everybody = (told.as_of, told.currency, told.all_segments) if told else (None, None, None)
    return SegmentList(model.segmentation, model.version, model.as_of, as_of, currency, everybody, segments)


def flows_of(counts: Mapping[str, int], segmentation: str, index: SegmentIndex) -> list[Flow]:
    """Return counts by the fields of flows as flows, the greatest first, whatever the change."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for field, count in counts.items():
        flow = FlowField.decode(field)
        sums[flow.from_segment or "", flow.to_segment or "", flow.cause] += count
    flows = []
    for (*ends, cause), count in sorted(sums.items(), key=lambda item: (-item[1], item[0])):
        origin, target = (index.reference(segmentation, end) if end else None for end in ends)
        flows.append(Flow(origin, target, cause, count))
    return flows


def money_by_field(counts: Mapping[str, int]) -> dict[str, int | None]:
    """Return what customers had brought by the fields of flows; None for a field some of whose moves do not say."""
    told: dict[str, int | None] = dict(counts)
    for field in counts:
        if field.startswith(UNKNOWN_MONEY):
            del told[field]
            told[field.removeprefix(UNKNOWN_MONEY)] = None
    return told


def trade_by_day(totals: Mapping[str, TotalsValue]) -> list[DayTrade]:
    """Return what each day brought: how far each partition's sums are above those that it published before.

    Parameters
    ----------
    totals
        By `day/partition`.
    """
    told: dict[str, TotalsValue] = {}
    found = []
    for day, fields in groupby(sorted(totals), key=lambda field: field.partition("/")[0]):
        now = {field.partition("/")[2]: totals[field] for field in fields}
        steps = [(now[each], told[each]) for each in now if each in told]
        if steps or told:
            orders = sum(after.purchases - before.purchases for after, before in steps)
            revenue_minor = sum(after.revenue_minor - before.revenue_minor for after, before in steps)
            found.append(DayTrade(day, orders, revenue_minor))
        told |= now
    return found


def most_first(found: Iterable[Ahead]) -> list[Ahead]:
    """Return paths ahead in the order of how many take them."""
    return sorted(found, key=lambda each: (-each.customers, *each[:2], each.to_segment or ""))


def page_of_leavers(found: Iterable[Leaver], limit: int, after: tuple[int, str] | None) -> list[Leaver]:
    """Return the first of some leavers that come after a place in their order: by instant, then by the id's bytes."""
    ordered = sorted(found, key=lambda each: byte_order(each[:2]))
    start = 0 if after is None else bisect_right(ordered, byte_order(after), key=lambda each: byte_order(each[:2]))
    return ordered[start : start + limit]


def byte_order(place: tuple[int, str]) -> tuple[int, bytes]:
    """Return the sort key that Redis uses for members of a sorted set."""
    return place[0], place[1].encode()


def newest_first(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return models in the order of listing; one that was held and published later follows its published form."""
    return sorted(
        documents, key=lambda document: (document["version"], document["status"] == "published"), reverse=True
    )
