"""Every error this package raises on purpose, one class per condition, under one root."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from stream_app.exits import ExitCode


class SegmenterError(Exception):
    """Root of all errors of this package; its message is fit to be shown to a user as one line.

    Attributes
    ----------
    exit_code
        With which a command ends that such an error stops.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.REFUSED

    @property
    def lines(self) -> tuple[str, ...]:
        """What to show: one line, or one for each of several mistakes."""
        return (str(self),)


class ConfigurationError(SegmenterError):
    """A setting, option or input file is missing, unreadable or wrong; the start is refused."""


class TimeZoneChanged(ConfigurationError):
    """What is kept counts the days of another time zone than the one that is set, and cannot be counted anew.

    Parameters
    ----------
    place
        What is kept.
    counted, wanted
        Names of the zones.
    """

    def __init__(self, place: str, counted: str, wanted: str) -> None:
        super().__init__(
            f"setting business.timezone: {wanted!r}, expected {counted!r}, whose days {place} counts; set it back, or "
            "have the inputs counted anew under another kafka.app_id"
        )


class DefinitionsInvalid(ConfigurationError):
    """Definitions of segmentations have mistakes.

    Parameters
    ----------
    mistakes
        A line for each.
    """

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = tuple(mistakes)

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each mistake."""
        return self.mistakes


class AddressInUse(SegmenterError):
    """Another process listens where this one should."""

    exit_code = ExitCode.FAILED


class InvalidRecord(SegmenterError):
    """An input record breaks its contract and belongs in the dead letters.

    Parameters
    ----------
    reason
        One of `stream_app.contracts.rejections.REJECTION_REASONS`.
    field
        Name of the field at fault, `"$"` for the record as a whole.
    message
        Names the value seen and what was expected.
    """

    def __init__(self, reason: str, field: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field
        self.message = message


class CustomerUnnamed(InvalidRecord):
    """A refund or cancellation names its order alone: it is refused where that is not the order of one customer.

    Parameters
    ----------
    order_id
        As the record has it.
    event
        What the record says, an `Event` without a customer.
    """

    def __init__(self, order_id: str, message: str, event: Any) -> None:
        super().__init__("unknown_order", "order_id", message)
        self.order_id = order_id
        self.event = event


class TraitProtected(InvalidRecord):
    """A profile tells something that is specially protected; its dead letter does not tell it again."""


class EventRefused(InvalidRecord, ValueError):
    """An event that a caller has handed over breaks its contract; nothing has come of it."""


class LoadFailed(SegmenterError):
    """Too many records of a load were refused; the message names the commonest reasons, each with an example."""


class CustomerUnknown(SegmenterError, LookupError):
    """No record has named a customer of this id."""


class SavedRunUnusable(SegmenterError):
    """A file is not one that a run was saved in, or it is damaged, or of another release."""


class RowVersionUnknown(SegmenterError):
    """An encoded customer row was written by a version of the software that is newer than this one."""


class NativeLibraryUnusable(SegmenterError):
    """The compiled library is missing, or another one than this code was written for."""


class RowDamaged(SegmenterError):
    """An encoded customer row is not as long as it says."""


class BatchDamaged(SegmenterError):
    """A batch of Kafka records is not what its header says."""


class BatchFormatUnknown(SegmenterError):
    """A batch of Kafka records has another format than the one in use since Kafka 0.11."""


class ModelInvalid(SegmenterError):
    """A model is inconsistent (shapes, ids, non-finite numbers) and cannot be followed."""


class DecisionRefused(SegmenterError):
    """An operator decided on a model that is not there (any more), or that something else stands against."""


class DecisionPending(SegmenterError):
    """No trainer has carried out an operator's decision yet; it stands on the topic, and will be."""

    exit_code = ExitCode.FAILED


class CentresRefused(SegmenterError):
    """An algorithm found centres that no roles can have."""


class DeliveryFailed(SegmenterError):
    """It is not known whether a chunk was written; only a restart can find out."""


class RecordsLost(SegmenterError):
    """Input records are gone, or were passed over, before they were folded."""


class BrokerUnreachable(SegmenterError):
    """No Kafka broker answers at the address that was set."""

    exit_code = ExitCode.FAILED


class TopicRefused(SegmenterError):
    """The Kafka brokers refuse to make or describe a topic, or to take a record."""

    exit_code = ExitCode.FAILED


class SubscriptionsInvalid(SegmenterError):
    """The file of webhook subscriptions is missing, unreadable or wrong; the start is refused."""


class AddressRefused(SegmenterError):
    """A webhook's host has no address that may be called."""


class SegmentUnknown(SegmenterError):
    """No model has a segment, or a segmentation, of this id or name; the message names those that there are."""


class SegmentAmbiguous(SegmenterError):
    """Several segmentations have a segment of this id or name; the message names them."""
