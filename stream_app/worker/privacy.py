"""Privacy requests in a worker: what is written besides the last moves, all of it in one transaction.

For each request, beside the last moves and the ends of memberships that they bring with them:

- the changelog gets a tombstone in place of the customer's row, and a mark (`stream_app.core.marks`);
- `segment-migrations` and `segment-upcoming` get a record without a value (`stream_app.contracts.forgetting`): whoever
  reads them learns that everything before it is to be forgotten, also of customers who were in no segment;
- `privacy-receipts` says what was done, and what will be gone by when.

The position behind the request is in the same transaction, so a request is carried out once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_bytes
from typing import Final, NamedTuple

from stream_app.adapters.changelog import SALT_KEY, encode_mark, mark_key
from stream_app.adapters.delivery import OutgoingRecord
from stream_app.contracts.forgetting import ERASED, PRIVACY_HEADER
from stream_app.contracts.outputs.receipts import PrivacyReceipt, StoreReceipt
from stream_app.core.clock import DAY_MS, format_instant
from stream_app.core.marks import SALT_BYTES, Mark, Marks
from stream_app.core.privacy import Request, customer_hash, forgets, next_mark

EXPIRY_CHECK_MS: Final = 60_000
"""Between two looks at whether marks have had their time."""


@dataclass(frozen=True)
class PrivacyRules:
    """What the deployment decides about requests.

    Parameters
    ----------
    deadline_ms
        By when a request has to be finished, from when it was made.
    deadlines_ms
        The same by jurisdiction.
    mark_ms
        How long marks are kept: as long as inputs are.
    compacted_ms
        After a tombstone a compacted topic has none of a key's earlier records for longer than this.
    retained_ms
        By other topic, how long records are kept in it at the longest.
    compacted
        The compacted topics that hold customers.
    """

    deadline_ms: int = 30 * DAY_MS
    deadlines_ms: Mapping[str, int] = field(default_factory=dict)
    mark_ms: int = 30 * DAY_MS
    compacted_ms: int = DAY_MS
    retained_ms: Mapping[str, int] = field(default_factory=dict)
    compacted: Sequence[str] = ()

    def due_ms(self, request: Request) -> int:
        """Return when a request is due, by the longest part of its jurisdiction that has a deadline of its own."""
        country = request.jurisdiction.partition("-")[0]
        for name in (request.jurisdiction, country):
            if name in self.deadlines_ms:
                return request.at_ms + self.deadlines_ms[name]
        return request.at_ms + self.deadline_ms

    def stores(self, now_ms: int) -> list[StoreReceipt]:
        """Return what becomes of a customer who is erased now."""
        compacted = [("compaction", topic, self.compacted_ms) for topic in self.compacted]
        retained = [("retention", topic, kept_ms) for topic, kept_ms in self.retained_ms.items()]
        return [
            StoreReceipt(store=topic, how=how, by=format_instant(now_ms + after_ms))  # type: ignore[arg-type]
            for how, topic, after_ms in (*compacted, *retained)
        ]


class Requested(NamedTuple):
    """What came of one request.

    Attributes
    ----------
    changelog
        Records of marks.
    receipt
        For `privacy-receipts`.
    marker
        For `segment-migrations` and `segment-upcoming`; None if nothing is forgotten.
    """

    changelog: Sequence[OutgoingRecord]
    receipt: OutgoingRecord
    marker: OutgoingRecord | None


class OpenRequests(NamedTuple):
    """Requests whose former rows may not be compacted yet.

    Attributes
    ----------
    waiting, overdue
        How many there are, and how many of them should have been finished.
    oldest_ms
        When the oldest was made; None if there is none.
    """

    waiting: int
    overdue: int
    oldest_ms: int | None


class PrivacyDesk:
    """Keeps the marks of a partition, and says what requests lead to.

    Parameters
    ----------
    partition
        Its number.
    marks
        As restored.
    rules
        What the deployment decides.
    now_ms
        The wall clock.
    create_salt
        Makes the secret of the first mark.
    """

    def __init__(
        self,
        partition: int,
        marks: Marks,
        rules: PrivacyRules,
        now_ms: Callable[[], int],
        create_salt: Callable[[], bytes] = lambda: token_bytes(SALT_BYTES),
    ) -> None:
        self.marks = marks
        self._partition = partition
        self._rules = rules
        self._now_ms = now_ms
        self._create_salt = create_salt
        self._looks_at_ms = 0

    def take(self, request: Request, offsets: Mapping[str, int], sequences: bytes, *, was_known: bool) -> Requested:
        """Note a request that has been carried out, and return what is to be written.

        Parameters
        ----------
        offsets
            How far the inputs are folded.
        sequences
            What is left of the customer's row.
        was_known
            Whether there was one.
        """
        marks, rules, now_ms = self.marks, self._rules, self._now_ms()
        records = []
        if not marks.salt:
            marks.salt = self._create_salt()
            records.append(OutgoingRecord(SALT_KEY, marks.salt))
        mark_hash, due_ms = marks.hash_of(customer_hash(request.customer_id)), rules.due_ms(request)
        mark = next_mark(marks.by_hash.get(mark_hash), request, offsets, now_ms, due_ms, sequences)
        if mark is not None:
            marks.put(mark_hash, mark)
            records.append(OutgoingRecord(mark_key(mark_hash), encode_mark(mark)))
        present = marks.by_hash.get(mark_hash)
        receipt = PrivacyReceipt(
            request_id=request.request_id,
            type=request.type,  # type: ignore[arg-type]
            customer=f"{mark_hash:016x}",
            partition=self._partition,
            jurisdiction=request.jurisdiction or None,
            requested_at=format_instant(request.at_ms),
            accepted_at=format_instant(now_ms),
            due_at=format_instant(due_ms),
            was_known=was_known,
            is_suppressed=present is not None and present.is_suppressed,
            stores=rules.stores(now_ms) if forgets(request.type) else [],
            marked_until=self._marked_until(present),
        )
        written = OutgoingRecord(request.request_id.encode(), receipt.model_dump_json().encode())
        marker = OutgoingRecord(request.customer_id.encode(), None, [(PRIVACY_HEADER, ERASED)])
        return Requested(records, written, marker if forgets(request.type) else None)

    def drop_expired(self) -> Iterator[OutgoingRecord]:
        """Forget the marks that have had their time; yield what is to be written to the changelog."""
        now_ms = self._now_ms()
        if not len(self.marks) or now_ms < self._looks_at_ms:
            return
        self._looks_at_ms = now_ms + EXPIRY_CHECK_MS
        for each in self.marks.expired(now_ms - self._rules.mark_ms):
            self.marks.drop(each)
            yield OutgoingRecord(mark_key(each), None)

    def open_requests(self) -> OpenRequests:
        """Return what is not finished yet: former rows are there until they are compacted."""
        now_ms, since_ms = self._now_ms(), self._now_ms() - self._rules.compacted_ms
        waiting = [mark for mark in self.marks.by_hash.values() if mark.accepted_ms > since_ms]
        overdue = sum(mark.due_ms < now_ms for mark in waiting)
        return OpenRequests(len(waiting), overdue, min((mark.requested_ms for mark in waiting), default=None))

    def _marked_until(self, mark: Mark | None) -> str | None:
        if mark is None or mark.is_suppressed:
            return None
        return format_instant(mark.accepted_ms + self._rules.mark_ms)
