"""Which endpoint gets which migrations: the file of subscriptions, checked before anything starts.

A message never shows the value found where a secret may be: a URL may hold one, and so may any misspelt key.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

import yaml  # type: ignore[import-untyped]
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from stream_app.contracts.migration_conditions import read_condition
from stream_app.contracts.migration_filter import HoldoutChoice, MigrationFilter, SegmentChoice
from stream_app.contracts.outputs.migrations import CauseKind, Change, Direction
from stream_app.contracts.outputs.upcoming import NoticeStatus
from stream_app.core.consent import PURPOSE_PATTERN
from stream_app.errors import SubscriptionsInvalid

FILE_BYTES_MAX: Final = 1 << 20
SUBSCRIPTIONS_MAX: Final = 40
"""Each has its own consumer, connections and time series."""
SECRET_BYTES: Final = range(24, 65)
"""Length of a key in Standard Webhooks."""
SECRETS_MAX: Final = 4
SECRET_PREFIX: Final = "whsec_"
NOT_OF_NOTICES: Final = ("change", "direction", "min_margin", "where")
"""Settings of filters that fit migrations alone."""
SCHEMES: Final = {"https": 443, "http": 80}


def split_url(url: str) -> SplitResult:
    """Return the parts of an address that can be called.

    Raises
    ------
    ValueError
        If it is not one.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname or parts.username or parts.password or parts.fragment:
        raise ValueError
    if parts.port == 0 or not url.isascii() or any(char.isspace() for char in url):
        raise ValueError
    return parts


def _check_url(value: SecretStr) -> SecretStr:
    try:
        split_url(value.get_secret_value())
    except ValueError:
        raise PydanticCustomError(
            "url", "expected https://host/path (ASCII, without a user, a password and a fragment)"
        ) from None
    return value


def decode_secrets(text: str) -> tuple[bytes, ...]:
    """Return the keys of a secret, which may be several that are separated by white space.

    Raises
    ------
    ValueError
        If one does not conform to Standard Webhooks.
    """
    words = text.split()
    keys = []
    for word in words:
        if not word.startswith(SECRET_PREFIX):
            raise ValueError
        try:
            keys.append(base64.b64decode(word.removeprefix(SECRET_PREFIX), validate=True))
        except binascii.Error:
            raise ValueError from None
    if not 1 <= len(keys) <= SECRETS_MAX or any(len(key) not in SECRET_BYTES for key in keys):
        raise ValueError
    return tuple(keys)


def _check_secret(value: SecretStr) -> SecretStr:
    try:
        decode_secrets(value.get_secret_value())
    except ValueError:
        raise PydanticCustomError(
            "secret",
            f"expected {SECRET_PREFIX} and 24 to 64 bytes in base64, or up to {SECRETS_MAX} such separated by spaces",
        ) from None
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Secret = Annotated[SecretStr, AfterValidator(_check_secret)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1, max_length=100)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)


class FilterSettings(_Part):
    """A `MigrationFilter` as the file has it; each setting is optional, one value or several.

    A segment is named `value/s3`, by segmentation and id or name, or by a bare id or name where one segmentation alone
    has it. The id stays, the name may change with the model.
    """

    segmentation: Names | None = None
    from_segments: Names | None = Field(None, alias="from")
    to_segments: Names | None = Field(None, alias="to")
    change: Annotated[tuple[Change, ...], BeforeValidator(_as_list), Field(min_length=1)] | None = None
    direction: Annotated[tuple[Direction, ...], BeforeValidator(_as_list), Field(min_length=1)] | None = None
    cause: Annotated[tuple[CauseKind, ...], BeforeValidator(_as_list), Field(min_length=1)] | None = None
    min_margin: Annotated[float, Field(allow_inf_nan=False)] | None = None
    holdout: HoldoutChoice = "exclude"
    status: Annotated[tuple[NoticeStatus, ...], BeforeValidator(_as_list), Field(min_length=1)] | None = None
    where: Annotated[Any, AfterValidator(read_condition)] = None
    purpose: Annotated[str, Field(pattern=PURPOSE_PATTERN)] | None = None

    def migration_filter(self) -> MigrationFilter:
        """Return the filter."""
        return MigrationFilter(
            self.segmentation,
            _choices(self.from_segments),
            _choices(self.to_segments),
            self.change,
            self.direction,
            self.cause,
            self.min_margin,
            self.holdout,
            self.status,
            self.where,
            self.purpose,
        )


class Subscription(_Part):
    """One endpoint and the migrations, or the notices of upcoming moves, that it gets.

    The name is part of the consumer group: under another name it starts afresh.
    """

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,39}$")]
    url: Annotated[SecretStr, AfterValidator(_check_url)]
    secret: Secret
    topic: Literal["migrations", "upcoming"] = "migrations"
    body: Literal["cloudevents", "segment"] = "cloudevents"
    start: Literal["latest", "earliest"] = "latest"
    filter: FilterSettings = FilterSettings()

    @model_validator(mode="before")
    @classmethod
    def _read_secret_file(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "secret_file" not in values:
            return values
        if "secret" in values:
            raise PydanticCustomError("secret", "expected secret or secret_file, not both")
        values = dict(values)
        path = values.pop("secret_file")
        try:
            with Path(path).open("rb") as file:
                values["secret"] = file.read(FILE_BYTES_MAX).decode("ascii")
        except (OSError, TypeError, ValueError):
            raise PydanticCustomError("secret_file", "secret_file cannot be read; name a readable text file") from None
        return values

    @model_validator(mode="after")
    def _require_fitting(self) -> Subscription:
        strange = NOT_OF_NOTICES if self.topic == "upcoming" else ("status",)
        for name in strange:
            if getattr(self.filter, name) is not None:
                raise PydanticCustomError("filter", f"records of {self.topic} have no {name}; remove it")
        if self.topic == "upcoming" and self.body != "cloudevents":
            raise PydanticCustomError("body", "expected body: cloudevents, the only form for upcoming moves")
        return self

    @property
    def parts(self) -> SplitResult:
        """The parts of the address."""
        return split_url(self.url.get_secret_value())

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys that every message is signed with; several while one replaces another."""
        return decode_secrets(self.secret.get_secret_value())


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that is given twice, as YAML does; PyYAML would take the last."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise SubscriptionsInvalid(f"line {key.start_mark.line + 1}: key {key.value!r} is given twice")
                seen.add(key.value)
        return node


class _Subscriptions(_Part):
    subscriptions: Annotated[tuple[Subscription, ...], Field(min_length=1, max_length=SUBSCRIPTIONS_MAX)]


def load_subscriptions(path: Path) -> tuple[Subscription, ...]:
    """Return the subscriptions of a YAML file.

    Raises
    ------
    SubscriptionsInvalid
        If it cannot be read or something in it is wrong; the message is one line that names it.
    """
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SubscriptionsInvalid(
            f"{path}: cannot be read ({error.strerror}); setting webhooks.subscriptions_file names the file"
        ) from None
    if len(text) > FILE_BYTES_MAX:
        raise SubscriptionsInvalid(f"{path}: longer than {FILE_BYTES_MAX} bytes")
    try:
        values = yaml.load(text, _Loader)
    except SubscriptionsInvalid as error:
        raise SubscriptionsInvalid(f"{path}: {error}") from None
    except yaml.MarkedYAMLError as error:  # its own text quotes the line
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SubscriptionsInvalid(f"{path}: not YAML{line}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise SubscriptionsInvalid(f"{path}: not YAML") from None
    try:
        subscriptions = _Subscriptions.model_validate(values).subscriptions
    except ValidationError as error:
        raise SubscriptionsInvalid(f"{path}: {_first_problem(error, values)}") from None
    names = [subscription.name for subscription in subscriptions]
    for name in names:
        if names.count(name) > 1:
            raise SubscriptionsInvalid(f"{path}: two subscriptions are named {name}; their names must differ")
    return subscriptions


def _first_problem(error: ValidationError, values: object) -> str:
    """Return the place of the first problem and the value expected, without the value found."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    name = _name_at(values, first["loc"])
    shown = f"{place} (subscription {name})" if name else place or "the file"
    if first["type"] == "extra_forbidden":
        return f"{shown}: no setting has this name; correct it"
    return f"{shown}: {first['msg']}"


def _name_at(values: object, place: tuple[int | str, ...]) -> str | None:
    if len(place) < 2 or not isinstance(values, dict):
        return None
    found = values["subscriptions"][place[1]] if isinstance(values.get("subscriptions"), list) else None
    name = found.get("name") if isinstance(found, dict) else None
    return name if isinstance(name, str) and place[-1] != "name" else None


def _choices(names: tuple[str, ...] | None) -> tuple[SegmentChoice, ...] | None:
    return None if names is None else tuple(SegmentChoice.parse(name) for name in names)
