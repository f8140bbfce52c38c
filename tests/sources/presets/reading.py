"""Files of presets as they are read, each record as one line of text, so that tests can be read like a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Final

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.errors import InvalidRecord
from stream_app.sources.choosing import choose, known_sources
from stream_app.sources.files import SourceFile
from stream_app.sources.loading import Line, Loading, LoadingOptions
from stream_app.sources.opening import planned
from stream_app.sources.staging import InputFile

FILES: Final = Path(__file__).parent / "files"
NOW_MS: Final = 1_800_000_000_000
RATES: Final = {code: Decimal(1) for code in ("USD", "GBP", "BRL", "JPY")}
PLACEHOLDERS: Final = ("0", "-1", "guest", "null", "none", "nan", "undefined", "anonymous", "unknown", "(not set)")


def read(*names: str | Path, source: str = "auto") -> list[str]:
    """Return each record of preset files as a line: what happened to which order, whose, when, for how much."""
    chosen = choose([FILES / name for name in names], source, known_sources(None))
    files = [
        SourceFile(each.path, "", {}, {}, UTC, (), None, each.source, each.name, each.join, each.member)
        for each in chosen
    ]
    policy = DecodingPolicy(base_currency="EUR", currency_rates=RATES)
    decoders = {topic: Decoder(contract, policy) for topic, contract in INPUT_CONTRACTS.items()}
    options = LoadingOptions(placeholders=PLACEHOLDERS)
    with planned(files, [file.path.name for file in files], options) as (inputs, own), Loading(inputs, own) as loading:
        return [shown(line, decoders, inputs) for block in loading.lines() for line in block]


def shown(line: Line, decoders: Mapping[str, Decoder], files: Sequence[InputFile]) -> str:
    record = json.loads(line.text)
    error = line.error
    if error is None:
        try:
            decoders[line.topic].decode(line.text.encode(), NOW_MS)
        except InvalidRecord as invalid:
            error = invalid
    if error is not None:
        return f"refused {error.reason} {files[line.file].name}:{line.row}"
    at = record["occurred_at"].removesuffix(".000Z").removesuffix("Z")
    if line.topic == "engagements":
        return " ".join([at, record["type"], record["customer_id"]])
    kind = record.get("type", "order_completed").removeprefix("order_")
    money = f"{float(record['total']):.2f} {record.get('currency', '-')}" if "total" in record else "all"
    what = ["+".join(record["products"])] if "products" in record else []
    items = [f"{record['items']}x"] if "items" in record else []
    stated = ["as of", record["updated_at"].removesuffix(".000Z")] if "updated_at" in record else []
    return " ".join([at, kind, record["order_id"], record.get("customer_id", "nobody"), money, *items, *what, *stated])
