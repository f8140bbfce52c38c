"""The reference of the configuration language as a page, made from its models: forms, keys, figures, traits.

The docstring of an attribute is the one place that says what its key means; the JSON Schema for editors repeats it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stream_app.segmentations.configuration import LEARNED_MAX, SEGMENTATIONS_MAX
from stream_app.segmentations.file import SegmentationsFile
from stream_app.segmentations.learned.configuration import LearnedConfiguration
from stream_app.segmentations.references import DEPTH_MAX, LEAVES_MAX
from stream_app.segmentations.rules.catalogue import FIGURES, MONEY
from stream_app.segmentations.rules.comparing import Compared, FieldTest, Tested
from stream_app.segmentations.rules.conditions import FORMS, Scored
from stream_app.segmentations.rules.definition import (
    AudienceConfiguration,
    DefaultSegment,
    RulesConfiguration,
    RuleSegment,
)
from stream_app.segmentations.rules.leaves import Anniversary, Bucket, HeldFor, TraitLeaf
from stream_app.segmentations.rules.values import FIELDS
from stream_app.segmentations.rules.windows import Calendar, Windowed
from stream_app.segmentations.sensitive import TOPICS
from stream_app.segmentations.traits import TESTS_OF, TraitDefinition

INTRODUCTION: Final = f"""\
# Reference of `segmentations.yaml`

YAML 1.2 or JSON. `segmenter segmentations check FILE` names every mistake and says each definition as a sentence;
`schemas/segmentations.v1.json` completes and checks keys in editors. [segmentations.md](segmentations.md) is the guide.

At most {SEGMENTATIONS_MAX} segmentations and audiences, {LEARNED_MAX} of them learned; {LEAVES_MAX} conditions in one,
{DEPTH_MAX} inside one another. Durations are whole numbers with a unit: `30s`, `5m`, `4h`, `7d`, `2w`; a day has 24
hours. Instants are RFC 3339 with a zone: `2026-01-31T00:00:00+01:00`.

`segmenter segmentations reference` prints this page.
"""
CONVENTIONS: Final = """
## What holds everywhere

- Windows are half-open: an event is in `last: 30d` from its instant on, and out exactly 30 days later.
- A number of events that is 0 passes `at_most`, `less_than` and `equals: 0`, for every customer who is known by an
  event or a profile.
- `not`, `not_equals` and `not_in` include customers about whom nothing is known.
- Text is not a number: `"120"` never passes `at_least`. Capitals differ from small letters. Empty text does not exist.
- A sum over no event is 0; the least, greatest and average of no event pass no comparison.
- `contains` looks into lists; of a text it is false. A text that is not a date passes no test of dates.
- A customer moves at most once at an instant in each segmentation. The order in which events arrive does not affect
  where customers are in the end.
"""
WORDS_SHOWN: Final = 6
"""How many of the words that a value can be are listed."""


def reference_page() -> str:
    """Return the page in Markdown."""
    return "".join(_parts())


def features_page() -> str:
    """Return the table of figures in Markdown."""
    return "".join(_figures())


def _parts() -> Iterator[str]:
    yield INTRODUCTION
    yield "\n## The file\n\n"
    yield from _table(SegmentationsFile)
    yield "\n### traits: NAME\n\n"
    yield from _table(TraitDefinition)
    topics = ", ".join(topic.name for topic in TOPICS)
    yield f"\nNames that suggest {topics} are refused without `legal_basis`, here and when profiles are taken in.\n"
    for title, model in _KINDS.items():
        yield f"\n### {title}\n\n{_words(model.__doc__)}\n\n"
        yield from _table(model)
    yield CONVENTIONS
    yield "\n## Conditions\n\nA condition is a mapping with one of these keys.\n"
    for form in FORMS:
        yield f"\n### {form.tag}\n\n{_words(form.__doc__)}\n\n"  # type: ignore[attr-defined]
        yield from _table(form, leave_out=_shared(form))
        shared = [f"[{title}]({link})" for part, title, link in _SHARED if issubclass(form, part)]
        if shared:
            yield f"\nAnd {', '.join(shared)}.\n"
    for part, title, _ in _SHARED:
        yield f"\n### {title[0].upper()}{title[1:]}\n\n{_words(part.__doc__)}\n\n"
        yield from _table(part)
    for title, model in _NESTED.items():
        yield f"\n### {title}: keys\n\n{_words(model.__doc__)}\n\n"
        yield from _table(model, leave_out=_shared(model))
    yield "\n### Tests by type of trait\n\n| type | tests that can hold |\n|---|---|\n"
    for name, tests in TESTS_OF.items():
        known = [key for key in TraitLeaf.test_keys() if key in tests]
        yield f"| `{name}` | {', '.join(f'`{key}`' for key in known)} |\n"
    yield f"\n### Fields of events\n\n{', '.join(f'`{name}`' for name in FIELDS)}, and `properties.NAME`, with "
    yield "dots for what lies inside. `amount` is that of orders and refunds, in units of the base currency.\n"
    yield "\n## Figures\n\n"
    yield from _figures()


_KINDS: Final[Mapping[str, type[BaseModel]]] = {
    "kind: rules": RulesConfiguration,
    "segments": RuleSegment,
    "otherwise": DefaultSegment,
    "kind: audience": AudienceConfiguration,
    "kind: learned": LearnedConfiguration,
}
_NESTED: Final[Mapping[str, type[BaseModel]]] = {
    "where, has": FieldTest,
    "calendar": Calendar,
    "anniversary": Anniversary,
    "held_for": HeldFor,
    "random": Bucket,
    "score": Scored,
}
_SHARED: Final[tuple[tuple[type[BaseModel], str, str], ...]] = (
    (Tested, "tests of a value", "#tests-of-a-value"),
    (Compared, "comparators", "#comparators"),
    (Windowed, "windows", "#windows"),
)


def _shared(model: type[BaseModel]) -> frozenset[str]:
    """Return the attributes that a model takes from parts that differ by form."""
    return frozenset(
        name for part, _, _ in _SHARED if issubclass(model, part) and model is not part for name in part.model_fields
    )


def _figures() -> Iterator[str]:
    yield "| figure | unit | meaning | changed by |\n|---|---|---|---|\n"
    for name, figure in FIGURES.items():
        unit = "base currency" if figure.unit == MONEY else figure.unit or "0 to 1"
        yield f"| `{name}` | {unit} | {figure.meaning} | {figure.changed_by} |\n"


def _table(model: type[BaseModel], leave_out: frozenset[str] = frozenset()) -> Iterator[str]:
    yield "| key | value | |\n|---|---|---|\n"
    for name, field in model.model_fields.items():
        if name not in leave_out:
            yield f"| `{field.alias or name}` | {_value(field)} | {_words(field.description)} |\n"


def _value(field: FieldInfo) -> str:
    kind = _kind(field.annotation)
    if field.is_required():
        return f"{kind}, required"
    default = field.get_default(call_default_factory=True)
    if default in (None, (), {}):
        return kind
    shown = str(default).lower() if isinstance(default, bool) else default
    return f"{kind}, `{shown}`"


def _kind(annotation: Any) -> str:
    """Return what a value is, in a word or two."""
    origin, parts = get_origin(annotation), [part for part in get_args(annotation) if part is not type(None)]
    if origin is Annotated:
        return _kind(parts[0])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts) if len(parts) <= WORDS_SHOWN else "name"
    if origin is tuple:
        fixed = Ellipsis not in parts
        inner = [_kind(part) for part in parts if part is not Ellipsis]
        return f"[{', '.join(inner)}]" if fixed else f"list of {_plural(inner[0])}"
    if origin is dict:
        return "mapping"
    if origin is UnionType or (origin is not None and len(parts) > 1):
        if len(parts) == len(FORMS):
            return "condition"
        return " or ".join(dict.fromkeys(_kind(part) for part in parts))
    if len(parts) == 1:
        return _kind(parts[0])
    return _NAMES.get(annotation.__name__, "mapping" if issubclass(annotation, BaseModel) else annotation.__name__)


_NAMES: Final = {
    "str": "text",
    "float": "number",
    "int": "whole number",
    "bool": "true or false",
    "Duration": "duration",
    "Instant": "instant",
}


def _plural(kind: str) -> str:
    return {"text": "texts", "mapping": "mappings", "condition": "conditions"}.get(kind, kind)


def _words(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
