"""Names of all topics."""

from __future__ import annotations

from dataclasses import dataclass

from stream_app.contracts.inputs.privacy_requests import PRIVACY_REQUESTS
from stream_app.contracts.inputs.table import INPUT_CONTRACTS


@dataclass(frozen=True)
class TopicNames:
    """The topics of one deployment.

    Parameters
    ----------
    prefix
        Stands before every name, so that deployments can share a cluster.
    app_id
        Name of the application; with the prefix it is the consumer group, and begins the transactional ids.
    with_identities
        Whether statements on ids are followed, and rows go from one partition to another for that.
    """

    prefix: str
    app_id: str
    with_identities: bool = False

    @property
    def group(self) -> str:
        """The consumer group, which is also Faust's application id."""
        return self.prefix + self.app_id

    def input_topic(self, contract: str) -> str:
        """Return the topic of an input contract, one of `INPUT_CONTRACTS`."""
        return self.prefix + contract

    @property
    def inputs(self) -> tuple[str, ...]:
        """The topics that events arrive on, in the order of `INPUT_CONTRACTS`."""
        return tuple(self.input_topic(contract) for contract in INPUT_CONTRACTS)

    @property
    def taken_in(self) -> tuple[str, ...]:
        """The topics whose records change customers: the inputs, and rows that other partitions hand over."""
        return (*self.inputs, self.handovers) if self.with_identities else self.inputs

    @property
    def identities(self) -> str:
        """Statements on ids, in one partition: all workers take them in the same order."""
        return self.prefix + "identities"

    @property
    def handovers(self) -> str:
        """Rows of ids that have ended, on their way to the partitions of their customers."""
        return self.prefix + "identity-handovers"

    @property
    def migrations(self) -> str:  # noqa: D102  (these names say all)
        return self.prefix + "segment-migrations"

    @property
    def memberships(self) -> str:  # noqa: D102
        return self.prefix + "segment-memberships"

    @property
    def upcoming(self) -> str:  # noqa: D102
        return self.prefix + "segment-upcoming"

    @property
    def figures(self) -> str:  # noqa: D102
        return self.prefix + "segment-figures"

    @property
    def models(self) -> str:  # noqa: D102
        return self.prefix + "segment-models"

    @property
    def samples(self) -> str:  # noqa: D102
        return self.prefix + "population-samples"

    @property
    def dead_letters(self) -> str:  # noqa: D102
        return self.prefix + "dead-letters"

    @property
    def receipts(self) -> str:  # noqa: D102
        return self.prefix + "privacy-receipts"

    @property
    def privacy_requests(self) -> str:
        """The input topic of requests, which are about customers and no events."""
        return self.input_topic(PRIVACY_REQUESTS.topic)

    @property
    def webhook_dead_letters(self) -> str:  # noqa: D102
        return self.prefix + "webhook-dead-letters"

    def webhooks_group(self, subscription: str) -> str:
        """Return the consumer group of a webhook subscription; that of its replay ends in `-replay`."""
        return f"{self.group}-webhooks-{subscription}"

    @property
    def changelog(self) -> str:
        """The compacted log of all customer rows, named as Faust names the changelog of a table."""
        return f"{self.group}-customers-changelog"

    @property
    def trainer_changelog(self) -> str:
        """The compacted log of the trainer's state, of one partition."""
        return f"{self.group}-trainer-changelog"
