"""`segmenter settings`: the table of all settings, made from their definitions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from stream_app.segmentations.configuration import SEGMENTATIONS_MAX
from stream_app.segmentations.registry import KINDS
from stream_app.settings.sections import ENV_DELIMITER, ENV_PREFIX, Section, Settings

INTRODUCTION: Final = """\
# Settings

Defaults < a TOML file named by `--config` < environment variables < a command's own options. In the file a section is a
table (`[kafka]`), in the environment a part of the name; a setting that is a table is JSON there. A setting that does
not exist or is out of bounds stops the start with one line that names it.

`segmenter settings` prints this page.
"""


DEFAULT: Final = "If neither is set, customers are divided by the one learned segmentation `value`."


@click.command(name="settings")
def settings_table() -> None:
    """Print the table of all settings as Markdown."""
    click.echo(describe_settings(), nl=False)


def describe_settings() -> str:
    """Return a page with a table for each section, in Markdown."""
    parts = [INTRODUCTION]
    for name, info in Settings.model_fields.items():
        if not isinstance(info.default, Section):
            continue
        section = type(info.default)
        parts.append(
            f"\n## {name}\n{section.__doc__}\n\n"
            "| setting | environment variable | default | values | meaning |\n|---|---|---|---|---|\n"
        )
        parts += _rows(name, section)
    return "".join([*parts, *_describe_segmentations()])


def _describe_segmentations() -> Iterator[str]:
    """Yield the part on what is no table of single settings: the file of segmentations, or their list, kind by kind."""
    file, field = (Settings.model_fields[name] for name in ("segmentations_file", "segmentations"))
    yield (
        f"\n## segmentations_file\n{' '.join((file.description or '').split())} In the environment: "
        f"`{ENV_PREFIX}SEGMENTATIONS_FILE`; of a command: `--segmentations FILE`. {DEFAULT}\n"
        f"\n## segmentations\n{' '.join((field.description or '').split())} In the environment it is JSON: "
        f"`{ENV_PREFIX}SEGMENTATIONS`. At most {SEGMENTATIONS_MAX}.\n"
    )
    for name, kind in KINDS.items():
        yield f'\n### kind = "{name}"\n{kind.configuration.__doc__}\n\n| field | default | meaning |\n|---|---|---|\n'
        for field_name, info in kind.configuration.model_fields.items():
            default = info.get_default(call_default_factory=True)
            given = "required" if info.is_required() else "not set" if default is None else f"`{default}`"
            yield f"| `{field_name}` | {given} | {_cell(info.description or '')} |\n"


def _rows(name: str, section: type[Section]) -> Iterator[str]:
    for setting, schema in section.model_json_schema()["properties"].items():
        variable = f"{ENV_PREFIX}{name}{ENV_DELIMITER}{setting}".upper()
        default = schema["default"]
        cells = (
            f"`{setting}`",
            f"`{variable}`",
            "not set" if default is None else f"`{json.dumps(default)}`",
            _values(schema),
            schema["description"],
        )
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _values(schema: Mapping[str, Any]) -> str:
    """Return what a setting may be: a list, a pattern, bounds, or its type."""
    if "anyOf" in schema:
        schema = schema["anyOf"][0]  # or not set
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "pattern" in schema:
        return f"`{schema['pattern']}`"
    if "maxLength" in schema:
        return f"{schema['minLength']:,} to {schema['maxLength']:,} characters"
    if "minimum" in schema:
        greatest = schema["maximum"] if "maximum" in schema else schema["exclusiveMaximum"] - 1
        return f"{schema['minimum']:,} to {greatest:,}"
    if "exclusiveMinimum" in schema:
        least = f"above {schema['exclusiveMinimum']:g}"
        if "maximum" in schema:
            return f"{least}, up to {schema['maximum']:,}"
        return f"{least}, below {schema['exclusiveMaximum']:g}"
    return {"boolean": "`true`, `false`", "object": "a table", "array": "a list"}.get(schema["type"], "text")
