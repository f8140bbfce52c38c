"""The segmenter as an object: what `segmenter replay` does with files, step by step and with a way to ask in between.

Records go through the very loop of the replay (`stream_app.replay.runtime`), and time with them. What can be asked in
between is `stream_app.notebook.answers`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_STORED

from stream_app.adapters import wall_clock
from stream_app.adapters.interruption import interruptible
from stream_app.bootstrap.decoding import create_decoders
from stream_app.bootstrap.loading import with_money_of
from stream_app.bootstrap.replay import create_run, resume_run, settings_of_state, state_of_run
from stream_app.contracts.fields import parse_instant
from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.contracts.readers import read_migration
from stream_app.contracts.rejections import NOBODY_REASONS
from stream_app.core.clock import to_milliseconds
from stream_app.core.records import Content, Rejection, batch_of
from stream_app.errors import ConfigurationError, CustomerUnnamed, EventRefused, InvalidRecord, LoadFailed
from stream_app.notebook.answers import Answers, AnyPath, Membership, Migration
from stream_app.notebook.configuration import AnyDefinitions, AnySettings, settings_of
from stream_app.notebook.events import payload_of, topic_of
from stream_app.notebook.tables import AnyTable, Reading, input_files, opened
from stream_app.replay.kept import DEAD_LETTERS, MIGRATIONS, KeptOutputs
from stream_app.replay.refusals import REFUSED_SHARE_MAX, has_failed, refusals_among
from stream_app.replay.runtime import Run
from stream_app.replay.saved import SavedRun, write_archive, write_saved
from stream_app.segmentations.registry import fields_looked_at
from stream_app.settings.sections import Settings
from stream_app.sources.files import SourceFile

__all__ = ["Membership", "Migration", "Segmenter"]


class Segmenter(Answers):
    """Puts customers into segments as their events come in, and says who moves, when and why.

    Parameters
    ----------
    config
        Settings: the path of a TOML file, tables as a dictionary (`{"money": {"base_currency": "USD"}}`), or
        `Settings`. What it does not say is taken from `SEGMENTER_…` variables of the environment, and then from what
        `docs/settings.md` says.
    segmentations
        In what ways customers are divided: the path of a YAML or JSON file, its content as a dictionary, or a list of
        segmentations. What the settings say if None.
    seed
        Fixes every random choice; `learning.seed` of the settings if None.
    now
        Records more than 5 minutes after this instant are refused. The clock if None; time that was let pass
        (`advance_to`) counts as passed in any case.

    Raises
    ------
    ConfigurationError
        If a setting or a definition is wrong; the message names it, its value and what was expected.

    Examples
    --------
    >>> import stream_app as seg
    >>> segmenter = seg.Segmenter({"money": {"base_currency": "USD"}})
    >>> order = {"customer_id": "ada", "occurred_at": "2024-05-01T10:00:00Z", "total": 59.9}
    >>> [migration] = segmenter.learn_one(order)
    >>> migration.change, migration.to_segment.name
    ('entered', 'New')
    >>> segmenter.segment_of("ada", "value").segment.name
    'New'
    >>> for migration in segmenter.advance_to("2026-05-01T00:00:00Z"):
    ...     print(migration.effective_at[:10], migration.to_segment.name)
    2024-06-05 Occasional
    2025-01-13 One-time
    """

    def __init__(
        self,
        config: AnySettings = None,
        *,
        segmentations: AnyDefinitions = None,
        seed: int | None = None,
        now: datetime | str | None = None,
    ) -> None:
        now_ms = None if now is None else _milliseconds("now", now)
        settings, kept = settings_of(config, segmentations, seed), KeptOutputs()
        self._hold(settings, now_ms, kept, create_run(settings, kept))

    def _hold(self, settings: Settings, now_ms: int | None, kept: KeptOutputs, run: Run) -> None:
        self._settings, self._now_ms, self._kept, self._run = settings, now_ms, kept, run
        self._decoders = create_decoders(settings, fields_looked_at(run.partition.segmentations), FILE_CONTRACTS)
        self._single_events = dict.fromkeys(FILE_CONTRACTS, 0)

    # --- taking in -----------------------------------------------------------------------------------------------

    def learn_one(self, event: Mapping[str, Any], *, topic: str | None = None) -> list[Migration]:
        """Take in an event, and let time pass up to it.

        An event that lies further ahead than `records.trusted_gap_days` counts for its own customer at once; time
        follows when others agree (`stream_app.core.trust`), or by `advance_to`.

        Parameters
        ----------
        event
            Fields of the contract of its topic (`schemas/`), as JSON has them, or with `datetime`, `Decimal` and
            numbers of numpy. `event_id` may be left out (the same event twice is then one), for an order `order_id` and
            `currency` (then the base currency), and `type` says `purchase` or `refund` as well as `order_completed` or
            `order_refunded`. A refund or cancellation of an order that is known may leave `customer_id` out.
        topic
            `purchases`, `engagements`, `profiles` or `identities`; found by the event's fields if None.

        Returns
        -------
        list
            Moves that came of it, this customer's and those of others whose silence was noticed meanwhile.

        Raises
        ------
        EventRefused
            If the event breaks its contract; a `ValueError` that names `field`, value and expectation. Nothing has come
            of it then.

        Examples
        --------
        >>> import stream_app as seg
        >>> seg.Segmenter().learn_one({"customer_id": "ada", "occurred_at": "yesterday", "total": 5})
        Traceback (most recent call last):
            ...
        stream_app.errors.EventRefused: occurred_at: "yesterday", expected an RFC 3339 time ...
        """
        name = topic_of(event) if topic is None else topic
        if name not in FILE_CONTRACTS:
            raise ConfigurationError(f"topic: {name!r}, expected one of {', '.join(FILE_CONTRACTS)}")
        payload = payload_of(event, FILE_CONTRACTS[name], self._settings.money.base_currency)
        content: Content
        try:
            content = self._decoders[name].decode(payload, self._now())
        except CustomerUnnamed as error:
            content = Rejection(error, payload)
        except InvalidRecord as error:
            raise EventRefused(error.reason, error.field, error.message) from None
        self._single_events[name] += 1
        self._run.open_inputs([(name, name)])
        batch = batch_of([content], 0, [self._single_events[name]], self._run.partition.clock.watermark_ms)
        refused = self._run.statistics.rejected.total()
        told = self._told(lambda: self._run.process(batch))
        if isinstance(content, Rejection) and self._run.statistics.rejected.total() > refused:
            raise EventRefused(content.error.reason, content.error.field, content.error.message)
        return told

    def learn_many(
        self,
        X: AnyTable,  # noqa: N803  (as scikit-learn and River call it)
        *,
        source: AnyPath | Mapping[str, Any] | None = None,
        topic: str | None = None,
        columns: Mapping[str, str] | None = None,
        constants: Mapping[str, str] | None = None,
        timezone: str | None = None,
        max_rejected: float = REFUSED_SHARE_MAX,
    ) -> Segmenter:
        """Take in all records of a data frame, an Arrow table or files, in order of time.

        The moves are those that `segmenter replay` writes for the same files, byte by byte. What is older than records
        taken in by earlier calls counts as late, as on Kafka. If the settings name no base currency, that of the first
        load's exports is taken.

        Parameters
        ----------
        X
            A pandas or Polars data frame, an Arrow table, the path of a file of any form, several of these as a list,
            or any of that by topic, as in `{"purchases": orders, "engagements": views}`.
        source
            How to read it: the name of a preset (`segmenter sources` lists them), `auto`, or a `sources.yaml`, its path
            or its content. If None, and nothing is said of topic and columns either, a preset that knows the columns
            is taken; if none does, they are called as the contract's fields.
        topic
            What the records are: `purchases` (if None), `engagements` or `profiles`.
        columns, constants
            Field of the contract → name of the column that holds it, and → value where no column has it; columns that
            have a field's name need not be named.
        timezone
            Zone of times that have none, the shop's (`business.timezone`) if None; `none` refuses them.
        max_rejected
            Greatest share of the records, in [0, 1], that may be refused without an error.

        Returns
        -------
        Segmenter
            Itself; `migrations` has what moved, `refused` what was not accepted and why.

        Raises
        ------
        ConfigurationError
            If it cannot be read, or lacks a column; nothing has been taken in then.
        LoadFailed
            If none of the records was accepted, or more were refused than `max_rejected` allows; those that were
            accepted have been taken in.
        KeyboardInterrupt
            If the user stops it: between two steps, so that what has been taken in by then is whole.

        Examples
        --------
        >>> import stream_app as seg
        >>> orders = [
        ...     {"customer": "ada", "day": "2024-05-01", "paid": "59.90"},
        ...     {"customer": "bob", "day": "2024-05-03", "paid": "7.50"},
        ... ]
        >>> import pandas
        >>> columns = {"customer_id": "customer", "occurred_at": "day", "total": "paid"}
        >>> segmenter = seg.Segmenter().learn_many(pandas.DataFrame(orders), columns=columns)
        >>> segmenter.memberships(as_="dicts")[0]["name"]
        'New'
        """
        files = input_files(X, Reading(source, topic, columns or {}, constants or {}, timezone), self._settings)
        if self._run.statistics.events == 0:
            self._count_money_of(files)
        before, start = self._counts(), self._kept.size(DEAD_LETTERS)
        reasons = self._run.statistics.rejected.copy()
        with opened(self._settings, files, self._now()) as readers, interruptible() as interrupted:
            self._run.take_in(readers, interrupted=interrupted)
        if interrupted():
            self._run.go_on()
            raise KeyboardInterrupt
        counts = {name: count - before[name] for name, count in self._counts().items()}
        refused = self._run.statistics.rejected - reasons
        guests = sum(refused[reason] for reason in NOBODY_REASONS)
        if counts["in"] and has_failed(counts, guests, max_rejected):
            raise LoadFailed(self._say_refused(counts, start, refused))
        return self

    def _count_money_of(self, files: Sequence[SourceFile]) -> None:
        """Count in the currency of exports, if the settings name none; before the first record alone."""
        settings = with_money_of(self._settings, files)
        if settings is not self._settings:
            kept = KeptOutputs()
            self._hold(settings, self._now_ms, kept, create_run(settings, kept))

    def advance_to(self, instant: datetime | str) -> list[Migration]:
        """Let time pass up to an instant without events; it stands where it is if that is later.

        Parameters
        ----------
        instant
            With a zone; text as in `2024-05-01T12:00:00Z`.

        Returns
        -------
        list
            Moves that silence alone has made.
        """
        until_ms = _milliseconds("instant", instant)
        return self._told(lambda: self._run.pass_time(until_ms))

    def _now(self) -> int:
        given = wall_clock.now_ms() if self._now_ms is None else self._now_ms
        return max(given, max(self._run.partition.clock))

    def _told(self, act: Callable[[], None]) -> list[Migration]:
        """Return the migrations that come of something."""
        start = self._kept.size(MIGRATIONS)
        act()
        return [read_migration(line) for line in self._kept.lines(MIGRATIONS, start)]

    def _counts(self) -> dict[str, int]:
        statistics = self._run.statistics
        return {"in": statistics.events, "rejected": statistics.rejected.total()}

    def _say_refused(self, counts: Mapping[str, int], start: int, reasons: Counter[str]) -> str:
        commonest = refusals_among(self._kept.lines(DEAD_LETTERS, start), reasons)
        examples = "; ".join(f"{each.reason} ({each.records:,}), {each.example}" for each in commonest)
        return f"{counts['rejected']:,} of {counts['in']:,} records are refused: {examples}"

    # --- keeping -------------------------------------------------------------------------------------------------

    def save(self, path: AnyPath) -> None:
        """Write everything into one file, from which `load` goes on exactly here; it may hold personal data.

        Raises
        ------
        OSError
            If it cannot be written; an earlier file of the name stays as it was.
        """
        write_saved(Path(path), self._state(), self._run.partition.table, self._kept)

    @classmethod
    def load(cls, path: AnyPath) -> Segmenter:
        """Return a segmenter as it was saved, with its settings and definitions.

        Raises
        ------
        SavedRunUnusable
            If the file is not one that `save` has written, or it is damaged, or of another release.
        """
        return cls._load(Path(path))

    def copy(self) -> Segmenter:
        """Return a segmenter that goes on from here apart from this one: to see what would happen if."""
        return _restore(self._pack())

    def __reduce__(self) -> tuple[Callable[[bytes], Segmenter], tuple[bytes]]:
        return _restore, (self._pack(),)

    def _state(self) -> dict[str, Any]:
        own = {"now_ms": self._now_ms, "single_events": self._single_events}
        return {"segmenter": own, **state_of_run(self._settings, self._run)}

    def _pack(self) -> bytes:
        packed = BytesIO()
        write_archive(packed, self._state(), self._run.partition.table, self._kept, ZIP_STORED)
        return packed.getvalue()

    @classmethod
    def _load(cls, file: Path | IO[bytes]) -> Segmenter:
        saved = SavedRun(file)
        try:
            own, settings, kept = saved.state["segmenter"], settings_of_state(saved.state), KeptOutputs()
            saved.restore_kept(kept)
            run = resume_run(settings, kept, saved.state)
            saved.restore_customers(run.partition.table)
        finally:
            saved.close()
        segmenter = cls.__new__(cls)
        segmenter._hold(settings, own["now_ms"], kept, run)
        segmenter._single_events |= own["single_events"]
        return segmenter


def _restore(packed: bytes) -> Segmenter:
    return Segmenter._load(BytesIO(packed))


def _milliseconds(name: str, instant: datetime | str) -> int:
    """Return an instant of Python's, or RFC 3339, in milliseconds.

    Raises
    ------
    ConfigurationError
        If it is none, or names no zone.
    """
    try:
        return to_milliseconds(instant) if isinstance(instant, datetime) else parse_instant(instant)
    except ValueError:
        raise ConfigurationError(
            f"{name}: {instant!r}, expected a time with a zone such as 2024-05-01T12:00:00Z"
        ) from None
