"""Which times are believed: one record never moves everybody's clock.

A clock that follows the latest event time seen believes every record without bound. One mistyped year then makes all
correct records late, and a date that defaults to 1970 has decades pass before the first real event. Here a time is
believed by its distance from the clock, which is how far the records before it have come (a sweep by the wall clock
counts, too):

Near
    Up to `gap_ms` ahead of the clock, which follows; or earlier, down to as much before the beginning of time.
Ahead
    Further ahead. The record waits *in doubt*: it is folded for its own customer, and no time passes. Once `AGREEING`
    different customers have been ahead (all known ones, where there are fewer), they are believed: the clock goes to
    the earliest of their times, and those who are further ahead than the gap from there stay in doubt. They have to be
    as near each other as orders of the shop are: within the gap and `PACES` times the mean time between records so far,
    as in a slow shop each next order is a gap away; nothing is asked where fewer than `PACED_FROM` records are known,
    or once `CERTAIN` customers are ahead. And nobody may speak against them: once as many different customers have been
    near the clock after a doubtful record, it no longer counts, nor does it once its own customer is back. So wrong
    years that are sprinkled over a stream never add up, whichever customers have them, nor do those that sorting has
    put at a file's end; a pause of the whole shop ends with its third customer.
Behind
    Earlier than the beginning of time by more than the gap. It starts nothing. Time begins with the first record; if
    that was the wrong one, it begins *again*: where customers agree on a time that is a year or more ahead, and all
    before it had happened within the gap (as placeholder dates do, however many there are; a shop's own dates last
    longer), or, while the clock rests on less than `AGREEING` customers, where as many agree on a time far behind.
    Nothing passes in between.

A doubt is settled once the clock has come near it, by others' records or by the wall clock. One of the past stays.

Verdicts are a function of the records in their order and of the wall clock's sweeps, not of how records are cut.
`Trust` is all that they depend on besides the clock, and is kept with it. Where nobody is in doubt and nothing leaps,
which the running maximum of the times shows, nothing else is looked at: that is the common case, and costs a
few passes over a column.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.core.arrays import Instants
from stream_app.core.clock import DAY_MS, NO_TIME

AGREEING: Final = 3
"""Different customers that have to agree: two may be two tabs of one mistake; more would hold small shops up."""
NEVER_MS: Final = 2**62
"""Later than any record."""
PACES: Final = 20
"""So many mean times between records: three in a row that are spread as far are one in a million, if they come as they
used to (Poisson), and shops have quiet seasons."""
PACED_FROM: Final = 50
"""Records from which on the time between them is known."""
CERTAIN: Final = 16
"""So many customers ahead are no mistake, however they are spread, or one that nobody can tell from what is true."""
ANEW_MS: Final = 365 * DAY_MS
"""A gap behind what cannot be a shop's beginning."""
GAP_MS: Final = 14 * DAY_MS
"""The default of `records.trusted_gap_days`."""
LISTED_MAX: Final = 16
"""Doubtful records that are named; more are counted."""
_WINDOW: Final = 4_096
"""Records that are looked at again after a leap."""


class Doubt(NamedTuple):
    """A record far from its neighbours.

    Attributes
    ----------
    at_ms
        When it says that it happened.
    source, offset
        Its file or topic, by number, and its row or offset there.
    customer
        Hash of its customer.
    against
        Hashes of customers who have been near the clock since.
    """

    at_ms: int
    source: int
    offset: int
    customer: int
    against: tuple[int, ...] = ()


class Trust(NamedTuple):
    """What verdicts on times depend on, besides the clock.

    Attributes
    ----------
    begun_ms
        When time began, `NO_TIME` if that is not known: nothing is before it then.
    customers
        Hashes of up to `AGREEING` customers who have been seen.
    supporters
        The same for customers whose records were near the clock since time began.
    events
        How many records were near the clock since time began.
    first
        The first of them.
    ahead, behind
        Doubtful records that may still be agreed on, one a customer; those behind only while supporters are few.
    listed
        Doubtful records that are not settled, at most `LISTED_MAX`.
    unlisted_ahead, unlisted_to_ms
        How many more there are ahead, and the latest time of these.
    unlisted_behind
        The same for records behind.
    ahead_total, behind_total
        How many have ever been in doubt.
    """

    begun_ms: int = NO_TIME
    customers: tuple[int, ...] = ()
    supporters: tuple[int, ...] = ()
    events: int = 0
    first: tuple[Doubt, ...] = ()
    ahead: tuple[Doubt, ...] = ()
    behind: tuple[Doubt, ...] = ()
    listed: tuple[Doubt, ...] = ()
    unlisted_ahead: int = 0
    unlisted_to_ms: int = NO_TIME
    unlisted_behind: int = 0
    ahead_total: int = 0
    behind_total: int = 0

    @property
    def is_calm(self) -> bool:
        """Whether no verdict is under way, so that records near the clock change nothing."""
        return len(self.supporters) == AGREEING and not self.ahead

    @property
    def ahead_in_doubt(self) -> int:
        """How many records far ahead are in doubt."""
        return self.unlisted_ahead + sum(each.at_ms > self.begun_ms for each in self.listed)

    @property
    def behind_in_doubt(self) -> int:
        """How many records far behind are."""
        return self.unlisted_behind + sum(each.at_ms <= self.begun_ms for each in self.listed)

    @property
    def doubted(self) -> int:
        """How many records have ever been in doubt."""
        return self.ahead_total + self.behind_total


class Verdicts(NamedTuple):
    """What is believed of n records.

    Attributes
    ----------
    watermarks_ms
        How far time has come with each, shape `(n,)`; ascending but for where it begins again.
    anew
        Indices of the records with which time begins again.
    trusts
        What later verdicts depend on, by the index of the record after which it holds, ascending from -1. Between two
        of them `events` alone changes.
    """

    watermarks_ms: Instants
    anew: Sequence[int]
    trusts: Sequence[tuple[int, Trust]]

    def trust_before(self, stop: int, is_event: npt.NDArray[np.bool_]) -> Trust:
        """Return what verdicts on the record `stop` and later ones depend on."""
        place = bisect_left(self.trusts, stop, key=lambda noted: noted[0]) - 1
        index, trust = self.trusts[place]
        return trust._replace(events=trust.events + int(np.count_nonzero(is_event[index + 1 : stop])))


def believe(
    trust: Trust,
    watermark_ms: int,
    floor_ms: int,
    gap_ms: int,
    records: npt.NDArray[np.void],
    rows: npt.NDArray[np.int64] | None = None,
) -> Verdicts:
    """Judge the times of records, in their order.

    Parameters
    ----------
    trust
        What is known of the records before.
    watermark_ms
        How far they have come.
    floor_ms
        How far the wall clock has come: the instant of the last sweep; `NO_TIME` for none.
    gap_ms
        How far a single record may lead.
    records
        `EVENT_DTYPE`; what is no event is at `NO_TIME` and says nothing.
    rows
        What doubts name as their places; the records' offsets if None.
    """
    return _Judge(trust, watermark_ms, floor_ms, gap_ms, records, rows).judge()


def ending(trust: Trust, reached_ms: int, gap_ms: int, customers: int) -> tuple[int, Trust]:
    """Return how far time has come where no more records follow, and what is in doubt then.

    Where no more than `AGREEING` customers are known, there is nobody left to agree with one of them: what lies less
    than a year ahead is believed.
    """
    if customers <= AGREEING:
        ahead_ms = (each.at_ms for each in trust.listed if reached_ms < each.at_ms < reached_ms + ANEW_MS)
        reached_ms = max([reached_ms, *ahead_ms])
    return reached_ms, _settle(trust, reached_ms, gap_ms)


class _Judge:
    """Goes through records once."""

    def __init__(
        self,
        trust: Trust,
        watermark_ms: int,
        floor_ms: int,
        gap_ms: int,
        records: npt.NDArray[np.void],
        rows: npt.NDArray[np.int64] | None,
    ) -> None:
        self._records = records
        self._rows = records["offset"] if rows is None else rows
        self._times_ms: Instants = np.ascontiguousarray(records["at_ms"])
        self._gap_ms = gap_ms
        self._floor_ms = floor_ms
        self._watermark_ms = watermark_ms
        if trust.begun_ms == NO_TIME and max(watermark_ms, floor_ms) != NO_TIME:
            trust = trust._replace(supporters=tuple(range(AGREEING)), customers=tuple(range(AGREEING)))
        self._trust = _settle(trust, max(watermark_ms, floor_ms), gap_ms)
        self._anew: list[int] = []
        self._trusts: list[tuple[int, Trust]] = [(-1, self._trust)]

    def judge(self) -> Verdicts:
        times_ms, count = self._times_ms, len(self._times_ms)
        watermarks_ms = np.empty(count, np.int64)
        index = 0
        while index < count:
            if self._trust.is_calm:
                stop = self._calm_until(index, watermarks_ms)
                if stop > index:
                    index = stop
                    self._note(index - 1)
                    continue
            if times_ms[index] != NO_TIME:
                self._judge_one(index, int(times_ms[index]))
            watermarks_ms[index] = self._watermark_ms
            index += 1
        return Verdicts(watermarks_ms, self._anew, self._trusts)

    def _calm_until(self, start: int, watermarks_ms: Instants) -> int:
        """Let the clock follow records as long as they are near; return where that ends."""
        stop = len(self._times_ms)
        whole = self._times_ms[start:]
        lowest_ms = int(np.where(whole == NO_TIME, self._reached_ms, whole).min())
        if int(whole.max()) > self._reached_ms + self._gap_ms or lowest_ms < self._earliest_ms:
            stop = min(stop, start + _WINDOW)
        times_ms = self._times_ms[start:stop]
        reached_ms = np.maximum.accumulate(np.concatenate(([self._watermark_ms], times_ms)))
        led_ms = np.maximum(reached_ms[:-1], self._floor_ms)
        is_far = (times_ms > led_ms + self._gap_ms) | ((times_ms < self._earliest_ms) & (times_ms != NO_TIME))
        count = int(is_far.argmax()) if is_far.any() else stop - start
        if not count:
            return start
        settled = np.searchsorted(reached_ms[1:], _settled_from(self._trust, self._reached_ms) - self._gap_ms)
        count = min(count, int(settled) + 1)
        watermarks_ms[start : start + count] = reached_ms[1 : count + 1]
        self._watermark_ms = int(reached_ms[count])
        trust = _settle(self._trust, self._reached_ms, self._gap_ms)
        self._trust = trust._replace(events=trust.events + int(np.count_nonzero(times_ms[:count] != NO_TIME)))
        return start + count

    @property
    def _reached_ms(self) -> int:
        return max(self._watermark_ms, self._floor_ms)

    @property
    def _earliest_ms(self) -> int:
        """The earliest instant that is not far behind."""
        begun_ms = self._trust.begun_ms
        return NO_TIME if begun_ms == NO_TIME else begun_ms - self._gap_ms

    def _note(self, index: int) -> None:
        """Keep what holds after a record."""
        self._trusts.append((index, self._trust))

    # --- one record --------------------------------------------------------------------------------------------------

    def _judge_one(self, index: int, at_ms: int) -> None:
        record = self._records[index]
        doubt = Doubt(at_ms, int(record["source"]), int(self._rows[index]), int(record["customer_hash"]))
        trust = self._trust
        if self._reached_ms == NO_TIME:
            trust, self._watermark_ms = trust._replace(begun_ms=at_ms), at_ms
        self._trust = trust._replace(customers=_with(trust.customers, [doubt.customer]))
        if at_ms > self._reached_ms + self._gap_ms:
            self._doubt_ahead(index, doubt)
        elif at_ms < self._earliest_ms:
            self._doubt_behind(index, doubt)
        else:
            self._follow(doubt)
        self._note(index)

    def _follow(self, record: Doubt) -> None:
        """Let the clock follow a record near it, and let it speak against those that are far ahead."""
        is_witness = record.at_ms >= self._reached_ms - self._gap_ms
        self._watermark_ms = max(self._watermark_ms, record.at_ms)
        trust = self._trust
        self._trust = _settle(
            trust._replace(
                supporters=_with(trust.supporters, [record.customer]),
                events=trust.events + 1,
                first=(*trust.first, record) if len(trust.first) < AGREEING else trust.first,
                ahead=_less(trust.ahead, record.customer) if is_witness else trust.ahead,
            ),
            self._reached_ms,
            self._gap_ms,
        )

    def _doubt_ahead(self, index: int, doubt: Doubt) -> None:
        trust = self._trust
        ahead = _with_doubt(trust.ahead, doubt, max)
        self._trust = _list(trust._replace(ahead=ahead, ahead_total=trust.ahead_total + 1), doubt, is_ahead=True)
        believed = self._agreeing(sorted(ahead, key=lambda each: each.at_ms))
        if not believed:
            return
        to_ms = believed[0].at_ms
        agreeing = [each.customer for each in believed]
        lasted_ms = self._reached_ms - trust.begun_ms if trust.begun_ms != NO_TIME else ANEW_MS
        if to_ms - self._reached_ms >= ANEW_MS and lasted_ms <= self._gap_ms:
            self._begin_anew(index, to_ms, agreeing)
        self._watermark_ms = to_ms
        self._trust = self._trust._replace(supporters=_with(self._trust.supporters, agreeing))
        self._trust = _settle(self._trust, to_ms, self._gap_ms)

    def _agreeing(self, ahead: Sequence[Doubt]) -> Sequence[Doubt]:
        """Return those who are believed of customers in the order of their times, none if too few agree."""
        needed, trust = len(self._trust.customers), self._trust
        if len(ahead) >= CERTAIN:
            return ahead
        spread_ms = NEVER_MS
        if trust.events >= PACED_FROM and trust.begun_ms != NO_TIME:
            spread_ms = self._gap_ms + PACES * (self._reached_ms - trust.begun_ms) // trust.events
        groups = (ahead[first : first + needed] for first in range(len(ahead) - needed + 1))
        return next((group for group in groups if group[-1].at_ms - group[0].at_ms <= spread_ms), ())

    def _doubt_behind(self, index: int, doubt: Doubt) -> None:
        trust = self._trust
        self._trust = _list(trust._replace(behind_total=trust.behind_total + 1), doubt, is_ahead=False)
        if len(trust.supporters) == AGREEING or self._floor_ms > self._watermark_ms:
            return
        behind = _with_doubt(trust.behind, doubt, min)
        self._trust = self._trust._replace(behind=behind)
        if len(behind) == AGREEING:
            to_ms = max(each.at_ms for each in behind)
            self._begin_anew(index, to_ms, [each.customer for each in behind])
            self._watermark_ms = to_ms
            self._trust = _settle(self._trust, to_ms, self._gap_ms)

    def _begin_anew(self, index: int, at_ms: int, agreeing: Sequence[int]) -> None:
        """Let time begin at another instant: what happened at the one before is now far from it."""
        trust, is_back = self._trust, at_ms < self._reached_ms
        others = trust.events - len(trust.first)
        self._trust = trust._replace(
            begun_ms=at_ms,
            supporters=_with((), agreeing),
            events=0,
            first=(),
            behind=(),
            unlisted_ahead=trust.unlisted_ahead + others * is_back,
            unlisted_to_ms=max(trust.unlisted_to_ms, self._watermark_ms) if is_back else trust.unlisted_to_ms,
            unlisted_behind=trust.unlisted_behind + others * (not is_back),
            ahead_total=trust.ahead_total + trust.events * is_back,
            behind_total=trust.behind_total + trust.events * (not is_back),
        )
        for record in trust.first:
            self._trust = _list(self._trust, record, is_ahead=is_back)
        self._floor_ms = NO_TIME
        self._anew.append(index)


def _with(customers: tuple[int, ...], others: Iterable[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys((*customers, *others)))[:AGREEING]


def _with_doubt(doubts: tuple[Doubt, ...], doubt: Doubt, further: Callable[[list[int]], int]) -> tuple[Doubt, ...]:
    """Return the doubts with another one; of a customer the one furthest away stays."""
    own = [each.at_ms for each in doubts if each.customer == doubt.customer]
    others = (each for each in doubts if each.customer != doubt.customer)
    return (*others, doubt._replace(at_ms=further([doubt.at_ms, *own])))


def _less(doubts: tuple[Doubt, ...], customer: int) -> tuple[Doubt, ...]:
    """Return the doubts that are left once a customer has been near the clock."""
    weighed = (each._replace(against=_with(each.against, [customer])) for each in doubts if each.customer != customer)
    return tuple(each for each in weighed if len(each.against) < AGREEING)


def _list(trust: Trust, doubt: Doubt, *, is_ahead: bool) -> Trust:
    if len(trust.listed) < LISTED_MAX:
        return trust._replace(listed=(*trust.listed, doubt))
    if is_ahead:
        to_ms = max(trust.unlisted_to_ms, doubt.at_ms)
        return trust._replace(unlisted_ahead=trust.unlisted_ahead + 1, unlisted_to_ms=to_ms)
    return trust._replace(unlisted_behind=trust.unlisted_behind + 1)


def _settled_from(trust: Trust, reached_ms: int) -> int:
    """Return the time of the first doubt that a clock settles as it continues from an instant."""
    ahead_ms = [each.at_ms for each in trust.listed if each.at_ms > reached_ms]
    return min(ahead_ms, default=NEVER_MS) if not trust.unlisted_ahead else min([*ahead_ms, trust.unlisted_to_ms])


def _settle(trust: Trust, reached_ms: int, gap_ms: int) -> Trust:
    """Return what is left once the clock has come so far: what is near it is in doubt no more."""
    if not trust.listed and not trust.unlisted_ahead:
        return trust
    to_ms, from_ms = reached_ms + gap_ms, NO_TIME if trust.begun_ms == NO_TIME else trust.begun_ms - gap_ms
    ahead = tuple(each for each in trust.ahead if each.at_ms > to_ms)
    listed = tuple(each for each in trust.listed if not from_ms <= each.at_ms <= to_ms)
    unlisted_ahead = trust.unlisted_ahead if trust.unlisted_to_ms > to_ms else 0
    if (len(ahead), len(listed), unlisted_ahead) == (len(trust.ahead), len(trust.listed), trust.unlisted_ahead):
        return trust
    return trust._replace(ahead=ahead, listed=listed, unlisted_ahead=unlisted_ahead)
