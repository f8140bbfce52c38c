"""Settings: defaults < a TOML file < `SEGMENTER_…` environment variables < a command's options.

Only `stream_app.bootstrap` sees these; the rest of the package gets small frozen dataclasses made from them.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, SerializeAsAny, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from stream_app.contracts.ids import PLACEHOLDER_BYTES_MAX, PLACEHOLDER_IDS, PLACEHOLDERS_MAX
from stream_app.core.consent import (
    JURISDICTION_PATTERN,
    PURPOSE_PATTERN,
    PURPOSES,
    PURPOSES_MAX,
    RESERVED,
    SEGMENTATION,
)
from stream_app.core.identities import NAMESPACE_PATTERN
from stream_app.segmentations.configuration import SEGMENTATIONS_MAX, SegmentationConfiguration
from stream_app.segmentations.learned.configuration import Days, Probability
from stream_app.segmentations.registry import parse_segmentations
from stream_app.segmentations.rules.values import ZoneName
from stream_app.settings.definitions import Definitions, read_definitions

ENV_PREFIX: Final = "SEGMENTER_"
ENV_DELIMITER: Final = "__"
SIGNING_KEY_CHARACTERS: Final = 32
"""Of `api.signing_key`, at least, in the settings or in a file of its own."""


class Section(BaseModel):
    """A table of the settings file; an unknown key is an error, so that a typing mistake is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class BusinessSettings(Section):
    """What the shop calls its own."""

    timezone: ZoneName = "UTC"
    """Time zone of the shop, such as `Europe/Berlin`: its days are counted (active days and the gaps between them,
    dates in conditions, days and weeks of reports), and times without a zone in files are read in it. A deployment
    that has customers cannot change it."""


class LogSettings(Section):
    """What services write to standard error."""

    format: Literal["auto", "json", "text"] = "auto"
    """One JSON document a line, or text for people; `auto` is text on a terminal and JSON elsewhere."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level of our own lines that is written; libraries write from `warning` on, or from `error` on."""


class MoneySettings(Section):
    """Which money is summed, and how other currencies become it."""

    base_currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"
    """ISO 4217 code of the currency that all money is counted in."""
    rates: dict[str, Decimal] = {}
    """Base-currency units for one unit of another currency; a currency not listed is rejected."""


PlaceholderIds = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=PLACEHOLDER_BYTES_MAX)], ...],
    Field(max_length=PLACEHOLDERS_MAX // 2),
]


class RecordSettings(Section):
    """What is accepted from producers."""

    max_payload_bytes: Annotated[int, Field(ge=1024, le=1 << 20)] = 65_536
    """Longer records are rejected."""
    future_tolerance_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    """How far ahead of the clock a record's time may be."""
    trusted_gap_days: Annotated[int, Field(ge=1, le=365)] = 14
    """How far a single record may move a partition's time. One further ahead of those before it waits in doubt until
    three customers agree, or the wall clock does. Slips of days and a shop's Christmas holidays pass; mistyped months
    and years do not, and a partition without any record for two weeks waits for its next three customers."""
    keep_rejected_payload: bool = True
    """Whether dead letters carry the rejected record itself, which may hold personal data."""
    placeholder_ids: PlaceholderIds = PLACEHOLDER_IDS
    """Words that exports write where there is no customer, in capitals or not; such records are refused unless the list
    is empty. `0` is everything that is made of zeros and hyphens."""
    more_placeholder_ids: PlaceholderIds = ()
    """Further words of this kind that only this shop's systems write."""


class NamespaceSettings(Section):
    """A sort of identifiers."""

    priority: Annotated[int, Field(ge=1, le=100)] = 2
    """1 for what identifies a person."""
    limit: Annotated[int, Field(ge=1, le=1_000)] = 5
    """How many of a customer's there may be."""


class IdentitySettings(Section):
    """Which statements that two ids are one customer's are not believed; see `docs/identities.md`."""

    enabled: bool = False
    """Whether workers follow the topic `identities`. Set it for all commands alike; `segmenter topics create` then
    makes this topic and `identity-handovers`. Replays take statements in without it. Once on, it stays on."""

    namespaces: dict[Annotated[str, Field(pattern=NAMESPACE_PATTERN)], NamespaceSettings] = {
        "user_id": NamespaceSettings(priority=1, limit=1)
    }
    """Sorts of identifiers: `priority` (1 for those that identify a person) and `limit` (of one customer's). Of a sort
    that is not listed a customer has at most 5."""
    merges_max: Annotated[int, Field(ge=1, le=1_000)] = 100
    """Ids that may go by one customer's."""
    blocked_ids: PlaceholderIds = ()
    """Ids that are nobody's, beside those of `records`, in any case: a link of one would make many customers one."""
    merge_identified: bool = False
    """Whether two customers may become one who are identified both, each by an identifier of priority 1."""


class PrivacySettings(Section):
    """What becomes of requests to erase, suppress and see; see `docs/privacy.md`."""

    deadline_days: Annotated[int, Field(ge=1, le=365)] = 30
    """By when a request has to be finished, from when it was made: a month, by the law of the EU and the UK."""
    deadlines_days: dict[
        Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")], Annotated[int, Field(ge=1, le=365)]
    ] = {"US-CA": 45}
    """The same by jurisdiction, a country or a part of one, such as `US-CA`."""
    mark_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    """How long the salted hash of an erased customer's id is kept, by which late events are refused; as long as inputs
    are (`kafka.retention_days`) if it is not set. Less lets late events bring customers back."""
    pseudonym_key_file: Path | None = None
    """File that holds a secret of 32 bytes or more: `segmenter produce` puts a keyed hash in the place of every
    customer's id, and `segmenter privacy` in that of the ids it is given. Ids stay as they are if it is not set."""


OPT_IN: Final = "opt_in"
Default = Literal["opt_in", "opt_out"]
Purpose = Annotated[str, Field(pattern=PURPOSE_PATTERN)]


class ConsentSettings(Section):
    """What customers agree to who have said nothing; see `docs/privacy.md`."""

    purposes: Annotated[tuple[Purpose, ...], Field(max_length=PURPOSES_MAX)] = PURPOSES
    """What consents may name; `segmentation` is always among them."""
    defaults: dict[Purpose, Default] = {}
    """By purpose: `opt_in` where only those agree who have said so; `opt_out`, which is what holds of all others, where
    everybody does who has not said no."""
    jurisdictions: Annotated[
        dict[Annotated[str, Field(pattern=JURISDICTION_PATTERN)], dict[Purpose, Default]], Field(max_length=256)
    ] = {}
    """The same for customers of a jurisdiction, such as `{"EU": {"segmentation": "opt_in"}}`, where it differs. The
    defaults of `US` hold in `US-CA` unless that is listed with the purpose. Changed defaults hold for customers who are
    new from then on, and for others from their next consent on."""

    @model_validator(mode="after")
    def _purposes_are_listed(self) -> Self:
        if SEGMENTATION not in self.purposes:
            raise ValueError(f"purposes: expected {SEGMENTATION!r} among them")
        if reserved := set(RESERVED) & set(self.purposes):
            raise ValueError(f"purposes: {min(reserved)!r}, expected another name: this one is the segmenter's own")
        for name, defaults in {"defaults": self.defaults, **self.jurisdictions}.items():
            if unknown := defaults.keys() - set(self.purposes):
                raise ValueError(f"{name}: {min(unknown)!r}, expected one of {', '.join(self.purposes)}")
        return self


class AssignmentSettings(Section):
    """When customers change segment; see `docs/segmentations.md`."""

    hysteresis: Annotated[float, Field(ge=0, le=5)] = 0.4
    """How far past the middle between two roles a customer must be to change roles, in log units (.4 is a factor of
    1.5)."""
    no_return_days: Annotated[float, Field(ge=0, le=365)] = 30.0
    """How long a customer cannot return to its former role, unless the present role's statement becomes false."""
    risk_probability: Probability = 0.5
    """A customer is at risk once the probability that it is still active is no higher than this."""
    lapsed_probability: Probability = 0.1
    """The same for having lapsed; at most `risk_probability`."""
    one_time_probability: Probability = 0.2
    """The same for customers who have ordered at most once: they are then not expected to order again."""
    risk_days_min: Days = 10.0
    """Shorter silence puts no customer at risk."""
    lapsed_days_min: Days = 30.0
    """After shorter silence no customer has lapsed."""
    lost_days: Days = 365.0
    """Silence after which a customer is lost."""
    loyal_slack: Annotated[float, Field(ge=0, le=3)] = 0.5
    """How far below the middle between two centres VIP, Champions and Loyal may order before silence ends the role, in
    log units (.35 is a factor of 1.4)."""
    regular_slack: Annotated[float, Field(ge=0, le=3)] = 0.1
    """The same for Regular."""
    big_slack: Annotated[float, Field(ge=0, le=3)] = 0.4
    """The same for Big spenders."""
    visits_slack: Annotated[float, Field(ge=0, le=3)] = 0.2
    """The same for how often Regular and Big spenders come, which is enough instead."""
    browsers_slack: Annotated[float, Field(ge=0, le=3)] = 0.5
    """The same for how often Browsers come."""
    rare_slack: Annotated[float, Field(ge=0, le=3)] = 0.25
    """How far above the middle Browsers and Occasional may order."""
    value_slack: Annotated[float, Field(ge=0, le=3)] = 0.25
    """How far below the middle Big spenders may spend on an order."""
    sweep_interval_seconds: Annotated[int, Field(ge=60, le=7 * 86_400)] = 86_400
    """How often silent customers are looked at; a move's `effective_at` is exact in any case."""

    @model_validator(mode="after")
    def _require_order(self) -> AssignmentSettings:
        if self.lapsed_probability > self.risk_probability:
            raise ValueError(
                f"lapsed_probability: {self.lapsed_probability}, expected at most risk_probability "
                f"({self.risk_probability})"
            )
        return self


class LearningSettings(Section):
    """How segments are learned."""

    algorithm: Literal["role-centres", "river-kmeans", "river-streamkmeans", "river-clustream"] = "role-centres"
    """What places the centres of roles: our own clusterer, or one of River's."""
    sample_size: Annotated[int, Field(ge=100, le=100_000)] = 2000
    """Customers drawn at a tick to learn from."""
    tick_days: Annotated[int, Field(ge=1, le=90)] = 7
    """Days between two ticks."""
    max_publish_churn: Annotated[float, Field(ge=0, le=1)] = 0.02
    """No model moves more than this share of the customers, by its forecast; later models go the rest of the way."""
    approval: Literal["automatic", "manual"] = "automatic"
    """Whether models take over by themselves; `manual` holds every one but the first until an operator releases it."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Fixes every random choice."""
    wait_seconds: Annotated[int, Field(ge=0, le=3_600)] = 60
    """How long a partition that catches up waits at a tick until a model is learned: longer than a worker's restart
    takes. After that time continues, and the model takes over late; 0 never waits."""
    live_wait_seconds: Annotated[int, Field(ge=0, le=60)] = 5
    """The same for a partition that has caught up, whose customers' events wait meanwhile; it takes a tenth of a second
    where all partitions are live."""


class HoldoutSettings(Section):
    """Customers that campaigns are to leave alone, so that the campaigns' effect can be measured."""

    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """Share of customers that are held out."""
    salt: Annotated[str, Field(min_length=1, max_length=64)] = "holdout"
    """Another salt draws other customers."""


class KafkaSettings(Section):
    """Where the topics are."""

    bootstrap_servers: Annotated[str, Field(pattern=r"^[^\s,:]+:[0-9]+(,[^\s,:]+:[0-9]+)*$")] = "127.0.0.1:9092"
    """Brokers to connect to first, `host:port`, separated by commas."""
    app_id: Annotated[str, Field(pattern="^[a-zA-Z0-9._-]{1,80}$")] = "segmenter"
    """Name of the consumer group; transactional ids and the changelog's name begin with it."""
    topic_prefix: Annotated[str, Field(pattern="^[a-zA-Z0-9._-]{0,80}$")] = ""
    """Prefix of all topics and of the group, so that deployments can share a cluster."""
    partitions: Annotated[int, Field(ge=1, le=1024)] = 4
    """Partitions of every keyed topic; it cannot be changed once there is state."""
    replication_factor: Annotated[int, Field(ge=1, le=9)] = 1
    """Copies of every topic that `segmenter topics create` makes; 3 in production."""
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    """How long events and migrations are kept; Kafka counts from the records' own timestamps."""
    dead_letter_retention_days: Annotated[int, Field(ge=1, le=36_500)] = 90
    """How long dead letters are kept; counted the same way."""
    instance_id: Annotated[str, Field(pattern="^[a-zA-Z0-9._-]{1,80}$")] | None = None
    """Stable name of this worker (static membership): a restart then takes its partitions back at once."""
    session_timeout_seconds: Annotated[int, Field(ge=6, le=300)] = 10
    """How long a worker may be silent before it loses its partitions."""
    transaction_timeout_seconds: Annotated[int, Field(ge=5, le=300)] = 10
    """How long, at most, a worker that died in the middle of a chunk holds up readers of committed records."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How connections are protected; `SSL` with a client certificate is mTLS."""
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    """How the password is proved to the brokers, for the protocols with SASL."""
    username: str | None = None
    """For the protocols with SASL."""
    password: SecretStr | None = None
    """For the protocols with SASL."""
    password_file: Path | None = None
    """File that holds the password and nothing else, instead of `password`; read at the start."""
    ca_file: Path | None = None
    """Certificates (PEM) that the brokers' are verified by; if not set, those of the system."""
    client_certificate_file: Path | None = None
    """Certificate (PEM) that this process shows to the brokers."""
    client_key_file: Path | None = None
    """Its key (PEM); if not set, the certificate's file holds it too."""
    client_key_password: SecretStr | None = None
    """If the key is encrypted."""
    client_key_password_file: Path | None = None
    """File that holds the key's password, instead of `client_key_password`."""
    verify_hostname: bool = True
    """Whether a broker's certificate must name the host that was connected to."""


class WorkerSettings(Section):
    """How a Kafka worker runs."""

    sweep_interval_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    """How often silent customers are looked at once a partition has caught up."""
    clock: Literal["wall", "event"] = "wall"
    """Which clock applies once a partition has caught up: the wall clock, or always the events', for backtests."""
    idle_seconds: Annotated[int, Field(ge=1, le=86_400)] = 30
    """How long nothing may arrive before a drained partition with old events counts as caught up."""
    model_migrations_per_second: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000
    """Pace of the migrations that a new model causes, in each partition."""
    figures_interval_seconds: Annotated[int, Field(ge=1, le=3_600)] = 5
    """Shortest time between two records of a partition's segment figures, written where they changed: soon enough for a
    console, and under 2 kB a segmentation and partition each time."""
    max_chunk_records: Annotated[int, Field(ge=1, le=50_000)] = 8_000
    """How many input records are folded at once, at most; other partitions wait meanwhile."""
    max_transaction_records: Annotated[int, Field(ge=1, le=200_000)] = 32_000
    """How many input records one transaction may hold under load."""
    recovery_timeout_seconds: Annotated[int, Field(ge=10, le=3_600)] = 300
    """A worker that has not read its state back by then ends."""
    health_host: str = "127.0.0.1"
    """Address that liveness and readiness are served on."""
    health_port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Port for them; 0 serves nothing."""


class DeploymentSettings(Section):
    """Requirements of the deployment as a whole."""

    production: bool = False
    """Whether to refuse any connection to Kafka or Redis that is not encrypted and verified."""


class RedisSettings(Section):
    """Where the view is, for those who write it and those who read it."""

    url: Annotated[str, Field(pattern=r"^rediss?://[^\s@/?]+(/[0-9]{1,3})?$")] = "redis://127.0.0.1:6379/0"
    """`redis://host:port/database`, `rediss://…` for TLS; without user and password."""
    username: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """ACL user."""
    password: SecretStr | None = None
    """Password of the user."""
    password_file: Path | None = None
    """File that holds the password and nothing else, instead of `password`; read at the start."""
    ca_file: Path | None = None
    """Certificates to trust (PEM); the system's if not set."""
    certificate_file: Path | None = None
    """Certificate of the client (PEM), for mutual TLS."""
    key_file: Path | None = None
    """Key of the client's certificate (PEM)."""
    key_prefix: Annotated[str, Field(pattern="^[a-zA-Z0-9._:-]{1,80}$")] = "segmenter:"
    """Prefix of every key, so that deployments can share a database."""
    timeout_seconds: Annotated[float, Field(ge=0.05, le=60)] = 2.0
    """Limit for connecting, and for every answer."""


class ViewSettings(Section):
    """How the view in Redis is kept."""

    recent_migrations: Annotated[int, Field(ge=100, le=10_000_000)] = 10_000
    """About how many of the newest migrations are kept for the live stream to resume from; 1 kB to 2 kB each."""
    customer_migrations: Annotated[int, Field(ge=0, le=1_000)] = 20
    """Newest migrations that are kept of each customer, as its history; about 450 bytes each, 0 keeps none."""
    chunk_records: Annotated[int, Field(ge=1, le=10_000)] = 500
    """How many records Redis takes in at once, at most; meanwhile it answers nobody else, for about 10 µs a record."""
    health_host: str = "127.0.0.1"
    """Address that liveness, readiness and metrics are served on."""
    health_port: Annotated[int, Field(ge=0, le=65_535)] = 8081
    """Port for them; 0 serves nothing."""


class ApiToken(Section):
    """Who may call the API, and what for. `segmenter api token` makes one."""

    name: Annotated[str, Field(pattern="^[a-zA-Z0-9._-]{1,80}$")]
    """Of the client, for the logs."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Hash of the token; the token itself is kept by the client alone."""
    scopes: Annotated[
        frozenset[Literal["read:customers", "read:segments", "stream:migrations", "decide:models", "edit:actions"]],
        Field(min_length=1),
    ]
    """What the token is good for."""


class ApiSettings(Section):
    """How look-ups and the live stream are served."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """Port to listen on; 0 takes a free one."""
    tokens: tuple[ApiToken, ...] = ()
    """Clients: a list of tables with `name`, `sha256` (of the token) and `scopes`, which are any of `read:customers`,
    `read:segments`, `stream:migrations`, `decide:models` (approve and reject models) and `edit:actions` (say what to
    do with a segment's customers)."""
    tokens_file: Path | None = None
    """File that holds the tokens, instead of `tokens`: TOML with `[[api.tokens]]` or a list in JSON, as `segmenter api
    token` prints them. It is looked at every 2 s, so tokens change without a restart."""
    allow_anonymous: bool = False
    """Serve everybody, without tokens; only on a loopback address."""
    requests_per_second: Annotated[float, Field(gt=0, le=1_000_000)] = 500.0
    """Limit of each token, in each process; further requests are answered with 429."""
    burst_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """How many may come at once after a pause."""
    max_streams: Annotated[int, Field(ge=1, le=100_000)] = 500
    """Live streams open at once; further ones are answered with 503."""
    cors_origins: tuple[Annotated[str, Field(pattern=r"^https?://[^\s/?#*@]{1,255}$")], ...] = ()
    """Origins whose pages may call the API from a browser, with a token: a list such as `["https://shop.example"]`."""
    signing_key: SecretStr | None = None
    """Signs stream tokens and the console's sessions, at least 32 characters; processes behind one address share it. If
    neither is set, each has one of its own, and people sign in again after a restart."""
    signing_key_file: Path | None = None
    """File that holds the key and nothing else, instead of `signing_key`; read at the start."""
    access_log: bool = False
    """Whether each request has a line in the log: method, route, status, duration, client, id; never the path."""
    health_host: str = "127.0.0.1"
    """Address that liveness, readiness and metrics are served on, apart from the API."""
    health_port: Annotated[int, Field(ge=0, le=65_535)] = 8082
    """Port for them; 0 serves nothing."""


class WebhookSettings(Section):
    """How migrations are delivered to HTTP endpoints."""

    subscriptions_file: Path = Path("webhooks.yaml")
    """Which endpoints get which migrations: a YAML file, see `docs/webhooks.md`."""
    request_timeout_seconds: Annotated[float, Field(ge=0.1, le=300)] = 15.0
    """Limit for one request, until the head of the answer."""
    first_retry_seconds: Annotated[float, Field(ge=0.01, le=3_600)] = 1.0
    """About how long after a failure a migration is tried again; each further wait is twice as long."""
    longest_retry_seconds: Annotated[float, Field(ge=0.01, le=86_400)] = 300.0
    """The longest wait, unless the endpoint asks for more (`Retry-After`)."""
    give_up_after_seconds: Annotated[int, Field(ge=1, le=30 * 86_400)] = 86_400
    """Age at which a migration goes to the dead letters at its next failure, though not before its
    fifth."""
    max_in_flight: Annotated[int, Field(ge=1, le=1_000)] = 16
    """Requests to one endpoint at once."""
    max_waiting: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """Migrations of one subscription that are read and not delivered; then reading pauses."""
    allowed_networks: Annotated[str, Field(pattern="^[0-9a-fA-F.:/, ]*$")] = ""
    """Networks that may be called though they are not on the public internet, such as `10.1.0.0/16`, separated by
    commas."""
    allow_http: bool = False
    """Whether endpoints without TLS are accepted."""
    ca_file: Path | None = None
    """Certificates to trust in addition to the usual ones (PEM)."""
    health_host: str = "127.0.0.1"
    """Address that liveness, readiness and metrics are served on."""
    health_port: Annotated[int, Field(ge=0, le=65_535)] = 8083
    """Port for them; 0 serves nothing."""


class Settings(BaseSettings):
    """All settings of the application; the environment is read by `load_settings` alone."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    business: BusinessSettings = BusinessSettings()
    money: MoneySettings = MoneySettings()
    records: RecordSettings = RecordSettings()
    identities: IdentitySettings = IdentitySettings()
    privacy: PrivacySettings = PrivacySettings()
    consent: ConsentSettings = ConsentSettings()
    assignment: AssignmentSettings = AssignmentSettings()
    learning: LearningSettings = LearningSettings()
    segmentations_file: Path | None = None
    """The ways in which customers are divided: a YAML or JSON file, see `docs/segmentations.md`."""
    segmentations: (
        Annotated[
            tuple[SerializeAsAny[SegmentationConfiguration], ...],
            BeforeValidator(parse_segmentations),
            Field(min_length=1, max_length=SEGMENTATIONS_MAX),
        ]
        | None
    ) = None
    """The same without a file, lists and traits: a list of tables (`[[segmentations]]`) with `kind`, `name` and what
    the kind asks for, in order. A table that is removed makes everybody leave that segmentation."""
    holdout: HoldoutSettings = HoldoutSettings()
    kafka: KafkaSettings = KafkaSettings()
    worker: WorkerSettings = WorkerSettings()
    redis: RedisSettings = RedisSettings()
    view: ViewSettings = ViewSettings()
    api: ApiSettings = ApiSettings()
    webhooks: WebhookSettings = WebhookSettings()
    deployment: DeploymentSettings = DeploymentSettings()
    log: LogSettings = LogSettings()

    @cached_property
    def definitions(self) -> Definitions:
        """In what ways customers are divided; read once, so that a file that changes later changes nothing here.

        Raises
        ------
        ConfigurationError
            If the file cannot be read, or holds mistakes.
        """
        return read_definitions(self.segmentations_file, self.segmentations, self.business.timezone)

    def with_definitions(self, definitions: Definitions) -> Settings:
        """Return the same settings with other definitions, which no file and no table of them holds."""
        others = {name: value for name, value in self if name not in ("segmentations", "segmentations_file")}
        settings = Settings(**others)
        vars(settings)["definitions"] = definitions  # where `cached_property` keeps it
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  (pydantic-settings' signature)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take given values alone: the environment would override a command's options."""
        return (init_settings,)
