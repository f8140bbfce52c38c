"""What the bridge to Faust asks of those whose records it carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from stream_app.adapters.record_blocks import RecordBlock


class ChunkLike(Protocol):
    """What goes to the agent in one piece."""

    @property
    def partition(self) -> int:
        """Number of the partition."""
        ...


class BridgeHost(Protocol):
    """The owner of the partitions."""

    @property
    def inputs(self) -> Sequence[str]:
        """Topics whose records go in chunks."""
        ...

    @property
    def changelog(self) -> str:
        """Topic that holds the state."""
        ...

    def wants(self, topic: str, partition: int) -> bool:
        """Return whether more records of an input topic may be fetched."""
        ...

    def expected_offset(self, topic: str, partition: int) -> int | None:
        """Return the offset of the next record to be fed; None if the partition is not open."""
        ...

    def feed(self, topic: str, partition: int, records: RecordBlock) -> None:
        """Take in consecutive records."""
        ...

    def skip(self, topic: str, partition: int, offset: int, log_start: int) -> None:
        """Continue at a later offset: the brokers have nothing before it.

        Raises
        ------
        RecordsLost
            If the log begins after what was expected: records expired unread.
        """
        ...

    def emit_chunks(self, drained: frozenset[tuple[str, int]]) -> Iterable[ChunkLike]:
        """Return the chunks that may go to the agent now."""
        ...

    def start_offsets(self) -> Mapping[tuple[str, int], int]:
        """Return where each topic and partition is to be read from."""
        ...

    def committable(self, drained_positions: Mapping[tuple[str, int], int]) -> Mapping[tuple[str, int], int]:
        """Return the offsets to be committed for the group.

        Parameters
        ----------
        drained_positions
            The consumer's position where it is at the end: past the markers of producers' transactions, which are
            not records.
        """
        ...

    async def release(self) -> None:
        """Write what is unwritten and give up all partitions."""
        ...
