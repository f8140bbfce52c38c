"""`segmenter privacy`: requests to erase, suppress and see, what became of them, and what is left of a customer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import click

from stream_app.adapters import wall_clock
from stream_app.adapters.logs import silence_kafka
from stream_app.bootstrap.privacy_requests import (
    Place,
    PlannedRequest,
    Receipts,
    gather_held,
    look_for,
    read_receipts,
    send_requests,
)
from stream_app.bootstrap.pseudonyms import read_pseudonyms
from stream_app.commands.groups import CONFIG, GuessingGroup, passes_config
from stream_app.commands.privacy_page import page_of
from stream_app.contracts.outputs.receipts import PrivacyReceipt
from stream_app.core.clock import format_instant
from stream_app.errors import ConfigurationError
from stream_app.exits import ExitCode
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Settings

IDS_MAX: Final = 5_000
"""Customers in one call: what is more belongs into several, which can be looked through."""
LISTED_MAX: Final = 10
_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True)
_WHAT: Final = {
    "input": "in the producers' hands",
    "retained": "gone by retention",
    "compacted": "must be gone by compaction",
    "redis": "in the view",
}


def _requests(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every kind of request takes."""
    for option in (
        click.argument("ids", metavar="[ID]...", nargs=-1),
        click.option("--ids", "file", type=_FILE, help=f"A file of ids, one a line; {IDS_MAX:,} a call at most."),
        click.option("--dry-run", is_flag=True, help="Send nothing; show what would be found where."),
        click.option("--source", metavar="TEXT", help="Where the request came in, such as helpdesk."),
        click.option("--jurisdiction", metavar="CODE", help="Whose law sets the deadline, such as DE or US-CA."),
        CONFIG,
    ):
        function = option(function)
    return function


@click.group(cls=GuessingGroup)
@passes_config
def privacy() -> None:
    """Erase customers, keep them out, and show what is held of them and what became of requests."""
    silence_kafka()


@privacy.command()
@_requests
def erase(**options: Any) -> None:
    """Have all that is known of customers erased; what happens later is taken in again."""
    _ask("erase", **options)


@privacy.command()
@_requests
def suppress(**options: Any) -> None:
    """Have customers erased, and nothing of them taken in from now on."""
    _ask("suppress", **options)


@privacy.command()
@_requests
def unsuppress(**options: Any) -> None:
    """Have what customers do from now on taken in again."""
    _ask("unsuppress", **options)


def _ask(
    type_: str,
    ids: Sequence[str],
    file: Path | None,
    dry_run: bool,
    source: str | None,
    jurisdiction: str | None,
    config: Path | None,
) -> None:
    settings = load_settings(config)
    chosen = _known_as(settings, _chosen(ids, file))
    if dry_run:
        places = asyncio.run(look_for(settings, chosen, with_redis=False))
        for line in _found(places):
            click.echo(line)
        click.echo(f"nothing was sent; without --dry-run, {_counted(len(chosen), 'customer')} would be asked for")
        return
    at = format_instant(wall_clock.now_ms())
    requests = [PlannedRequest(str(uuid4()), type_, each, at, source, jurisdiction) for each in chosen]
    asyncio.run(send_requests(settings, requests))
    for each in requests[:LISTED_MAX]:
        click.echo(each.request_id)
    if len(requests) > LISTED_MAX:
        click.echo(f"… and {len(requests) - LISTED_MAX:,} more")
    click.echo(
        f"sent {_counted(len(requests), 'request')}; `segmenter privacy status` says what becomes of them", err=True
    )


def _known_as(settings: Settings, ids: Sequence[str]) -> list[str]:
    """Return the ids under which the deployment knows customers: pseudonyms, if it has such."""
    pseudonyms = read_pseudonyms(settings)
    return list(ids) if pseudonyms is None else [pseudonyms.of(each) for each in ids]


def _chosen(ids: Sequence[str], file: Path | None) -> list[str]:
    """Return the ids of arguments and file, each once."""
    lines = [] if file is None else file.read_text("utf-8").splitlines()
    chosen = list(dict.fromkeys(each for each in (*ids, *map(str.strip, lines)) if each))
    if not chosen:
        raise click.UsageError("name at least one customer: ID, or --ids FILE")
    if len(chosen) > IDS_MAX:
        raise click.UsageError(f"{len(chosen):,} customers, expected at most {IDS_MAX:,} in one call")
    return chosen


@privacy.command()
@click.argument("request_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@CONFIG
def status(request_id: str | None, as_json: bool, config: Path | None) -> None:
    """Show what became of requests: done, what will be gone by when, and what is overdue.

    Ends with 1 if a request is overdue.
    """
    known, now = asyncio.run(read_receipts(load_settings(config))), format_instant(wall_clock.now_ms())
    if request_id is not None:
        if request_id not in known.receipts and request_id not in known.waiting:
            raise ConfigurationError(f"request {request_id!r}: neither its request nor a receipt is known")
        receipts = {key: value for key, value in known.receipts.items() if key == request_id}
        known = known._replace(receipts=receipts, waiting=[each for each in known.waiting if each == request_id])
    overdue = [each for each in known.receipts.values() if is_overdue(each, now)]
    if as_json:
        click.echo(json.dumps(_status_document(known, now), indent=2))
    else:
        for line in status_lines(known, now):
            click.echo(line)
    if overdue:
        raise SystemExit(ExitCode.FAILED)


def is_overdue(receipt: PrivacyReceipt, now: str) -> bool:
    """Return whether what the deployment itself removes is there after the deadline; instants are compared as text."""
    return any(store.how == "compaction" and store.by > now for store in receipt.stores) and receipt.due_at < now


def state_of(receipt: PrivacyReceipt, now: str) -> str:
    """Return how far a request is."""
    open_stores = [store for store in receipt.stores if store.by > now]
    if not open_stores:
        return "finished"
    if any(store.how == "compaction" for store in open_stores):
        return "overdue" if is_overdue(receipt, now) else "done, waits for compaction"
    return f"done, until {max(store.by for store in open_stores)} by retention"


def status_lines(known: Receipts, now: str) -> Iterator[str]:
    """Yield the lines that tell of requests."""
    for each in sorted(known.receipts.values(), key=lambda receipt: receipt.accepted_at):
        suppressed = ", suppressed" if each.is_suppressed else ""
        yield (
            f"{each.request_id} {each.type}: {state_of(each, now)}; asked {each.requested_at}, "
            f"done {each.accepted_at}, due {each.due_at}, customer {each.customer}{suppressed}"
        )
        for store in each.stores:
            if store.by > now:
                yield f"    {store.store}: by {store.by} at the latest ({store.how})"
    for request_id in known.waiting:
        yield f"{request_id}: waits for a worker"
    if known.view_behind is not None:
        yield "view: up to date" if not known.view_behind else f"view: {_counted(known.view_behind, 'record')} behind"
    if not known.receipts and not known.waiting:
        yield "no request is known"


def _status_document(known: Receipts, now: str) -> dict[str, Any]:
    requests = [each.model_dump() | {"state": state_of(each, now)} for each in known.receipts.values()]
    return {"requests": requests, "waiting": known.waiting, "view_behind": known.view_behind}


@privacy.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--no-redis", is_flag=True, help="Look at Kafka alone: there is no view.")
@click.option("--retained-ok", is_flag=True, help="Accept what the age of records will remove.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@CONFIG
def audit(ids: Sequence[str], no_redis: bool, retained_ok: bool, as_json: bool, config: Path | None) -> None:
    """Look for the ids of customers in every topic and in the view; exit with 1 if one is found.

    Input topics are listed apart and do not count: whoever puts records there has to see to them. Compacted topics keep
    former records until brokers have compacted them (docs/privacy.md says how to have that done at once).
    """
    settings = load_settings(config)
    looked_for = list(dict.fromkeys((*ids, *_known_as(settings, ids))))
    places = asyncio.run(look_for(settings, looked_for, with_redis=not no_redis))
    counted = [place for place in places if place.kind != "input" and not (retained_ok and place.kind == "retained")]
    if as_json:
        click.echo(json.dumps([_place_document(place) for place in places], indent=2))
    else:
        for line in _found(places):
            click.echo(line)
        others = f"{_counted(len(counted), 'place')} with a trace" if counted else "no trace"
        click.echo(f"{others}{' but in input topics' if len(places) > len(counted) and not counted else ''}")
    if counted:
        raise SystemExit(ExitCode.FAILED)


def _found(places: Iterable[Place]) -> Iterator[str]:
    """Yield a line for each place."""
    for place in places:
        gone = "" if place.gone_ms is None else f", by {format_instant(place.gone_ms)} at the latest"
        count = "" if place.kind == "redis" else f"{_counted(place.records, 'record')}, "
        yield f"{place.store}: {count}{_WHAT[place.kind]}{gone}"


def _place_document(place: Place) -> dict[str, Any]:
    traces = [trace._asdict() for trace in place.traces]
    gone = None if place.gone_ms is None else format_instant(place.gone_ms)
    return {"store": place.store, "kind": place.kind, "gone_by": gone, "traces": traces}


@privacy.command()
@click.argument("customer_id", metavar="ID")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="JSON goes here, not to standard output.")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="A page for people, HTML, goes here.")
@CONFIG
def export(customer_id: str, out: Path | None, page: Path | None, config: Path | None) -> None:
    """Write all that is held of a customer as JSON, and as a page that people can read.

    It is read from Kafka: what has been made of the inputs, and the inputs that are still there. Nothing is sent.
    """
    settings = load_settings(config)
    (known_as,) = _known_as(settings, [customer_id])
    document = asyncio.run(gather_held(settings, known_as))
    document = {"exported_at": format_instant(wall_clock.now_ms()), **document}
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if out is not None:
        out.write_text(text + "\n", "utf-8")
    elif page is None:
        click.echo(text)
    if page is not None:
        page.write_text(page_of(document), "utf-8")


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
