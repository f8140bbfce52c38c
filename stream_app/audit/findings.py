"""What an audit looks for, and what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

CHECKS: Final = {
    "history": "logs reach back to their first record",
    "contracts": "every output keeps its contract",
    "placement": "every customer is on one partition, that of murmur2(customer id)",
    "positions": "positions never go back and are within the inputs",
    "totals": "each row equals a recount of its customer's inputs",
    "traits": "each row's traits are those that were observed last",
    "consents": "who does not agree to be known is in no segment, and nothing of it is in its row",
    "dead letters": "exactly the invalid inputs, each once",
    "forwarding": "misplaced inputs were sent on to their own partition",
    "sequences": "each customer's migrations in a segmentation are numbered 1 to n, in the log's order",
    "chain": "each migration leaves the segment that the one before entered",
    "identity": "migration ids and headers follow from segmentation, customer and sequence",
    "membership": "last migration = membership = row, in every segmentation",
    "figures": "figures of segments' members are the sums over the rows of those who are in them",
    "direction": "own acts lead to no lower level and to no lapsed segment, silence to no higher level",
    "names": "what a learned segment's name says was true of everyone who entered it",
    "causes": "each migration's cause is a folded input of its customer",
    "rules": "customers are in the segments where the published rules put them",
    "models": "rows and migrations name published versions of their segmentation",
    "group offsets": "the group has committed nothing that is not folded",
    "drained": "positions and group offsets reach the end of the inputs",
}
"""What holds when all is well, by the check's name, in the order of the report."""

EXAMPLES_KEPT: Final = 5
"""Examples of a breach that are shown: a lost partition breaks a check once for each of its customers."""


class Finding(NamedTuple):
    """One breach of an invariant.

    Attributes
    ----------
    check
        Its name, one of `CHECKS`.
    message
        What was seen and what was expected.
    customer_id
        Whom it concerns, if anyone.
    position
        Where it was seen, `topic[partition]@offset`; empty if nowhere in particular.
    """

    check: str
    message: str
    customer_id: str | None = None
    position: str = ""


class Tally:
    """Counts breaches by check and keeps the first few of each.

    Attributes
    ----------
    accepted
        Checks whose breaches are reported but not counted in the verdict.
    """

    def __init__(self) -> None:
        self.accepted: set[str] = set()
        self.breaches: Counter[str] = Counter()
        self.examples: dict[str, list[Finding]] = {check: [] for check in CHECKS}

    def add(self, findings: Iterable[Finding]) -> None:
        """Count these breaches too."""
        for finding in findings:
            self.breaches[finding.check] += 1
            examples = self.examples[finding.check]
            if len(examples) < EXAMPLES_KEPT:
                examples.append(finding)

    @property
    def total(self) -> int:
        """Number of breaches, without those of accepted checks."""
        return sum(count for check, count in self.breaches.items() if check not in self.accepted)

    @property
    def is_clean(self) -> bool:
        """Whether there was none."""
        return not self.total


def place(topic: str, partition: int, offset: int | None = None) -> str:
    """Return a position as text."""
    return f"{topic}[{partition}]" + ("" if offset is None else f"@{offset}")
