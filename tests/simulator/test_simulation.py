import csv
import gzip
import hashlib
import json
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_app.contracts.decoding import Decoder
from stream_app.contracts.inputs.table import INPUT_CONTRACTS
from stream_app.contracts.policy import DecodingPolicy
from stream_app.core.clock import DAY_MS, to_milliseconds
from stream_app.errors import ConfigurationError, InvalidRecord
from stream_app.simulator.shop import LATENT_TYPES, order_kept
from stream_app.simulator.simulation import Faults, SimulationCounts, simulate

CUSTOMERS, DAYS, SEED = 900, 400, 5
HORIZON_SECONDS = DAYS * 86_400
START = datetime(2024, 1, 1, tzinfo=UTC)
FAULTS = Faults(duplicate_rate=0.02, malformed_rate=0.01, late_rate=0.05)
INPUTS = ("purchases.jsonl.gz", "engagements.jsonl.gz")
TRUTH = ("events.csv.gz", "truth.csv.gz", "changes.csv.gz")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulationCounts]:
    folder = tmp_path_factory.mktemp("clean")
    return folder, simulate(CUSTOMERS, DAYS, SEED, folder)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulationCounts]:
    folder = tmp_path_factory.mktemp("faulty")
    return folder, simulate(CUSTOMERS, DAYS, SEED, folder, faults=FAULTS)


def read_csv(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def read_lines(folder: Path) -> list[bytes]:
    return [line for name in INPUTS for line in gzip.decompress((folder / name).read_bytes()).splitlines()]


def read_records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def digests(folder: Path, names: tuple[str, ...] = INPUTS + TRUTH) -> list[str]:
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]


def phases_of(folder: Path) -> dict[int, list[dict[str, str]]]:
    phases = defaultdict(list)
    for phase in read_csv(folder / "truth.csv.gz"):
        phases[int(phase["customer_id"])].append(phase)
    return phases


def type_at(phases: list[dict[str, str]], seconds: float) -> str:
    return next(phase["type"] for phase in reversed(phases) if float(phase["t_from"]) <= seconds)


def test_same_seed_gives_identical_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        simulate(60, 200, 3, tmp_path / folder, faults=FAULTS)
    simulate(60, 200, 4, tmp_path / "other", faults=FAULTS)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert not set(digests(tmp_path / "one")) & set(digests(tmp_path / "other"))


def test_phases_cover_each_customers_time_without_gap(clean: tuple[Path, SimulationCounts]) -> None:
    phases = phases_of(clean[0])
    assert sorted(phases) == list(range(CUSTOMERS))
    for life in phases.values():
        assert 0 <= float(life[0]["t_from"]) < HORIZON_SECONDS
        assert float(life[-1]["t_to"]) == HORIZON_SECONDS
        for before, after in pairwise(life):
            assert before["t_to"] == after["t_from"]
            assert float(before["t_to"]) - float(before["t_from"]) >= 75 * 86_400


def test_changes_are_the_borders_between_phases(clean: tuple[Path, SimulationCounts]) -> None:
    borders = {
        (customer, after["t_from"], before["type"], after["type"])
        for customer, life in phases_of(clean[0]).items()
        for before, after in pairwise(life)
    }
    changes = read_csv(clean[0] / "changes.csv.gz")
    assert {(int(row["customer_id"]), row["t"], row["from"], row["to"]) for row in changes} == borders
    assert len(changes) == len(borders) == clean[1].changes > 100


def test_a_change_is_one_the_type_can_make_and_is_called_by_its_kind(clean: tuple[Path, SimulationCounts]) -> None:
    possible = {(latent.name, name, kind) for latent in LATENT_TYPES for name, _, kind in latent.next_types}
    seen = {(row["from"], row["to"], row["kind"]) for row in read_csv(clean[0] / "changes.csv.gz")}
    assert seen <= possible
    assert {kind for _, _, kind in seen} == {"lapse", "up", "down", "winback"}


def test_shares_of_types_and_of_changes_are_as_declared() -> None:
    assert sum(latent.arrivals for latent in LATENT_TYPES) == pytest.approx(1)
    for latent in LATENT_TYPES:
        assert sum(share for _, share, _ in latent.next_types) == pytest.approx(1)


def test_orders_come_at_each_types_rate(clean: tuple[Path, SimulationCounts]) -> None:
    phases = phases_of(clean[0])
    kept_by_day = np.cumsum(order_kept((np.arange(DAYS) + 0.5) * DAY_MS))
    expected: Counter[str] = Counter()
    for life in phases.values():
        expected[life[0]["type"]] += 1  # the order of arrival
        for phase in life:
            latent = next(latent for latent in LATENT_TYPES if latent.name == phase["type"])
            days = np.array([float(phase["t_from"]), float(phase["t_to"])]) / 86_400
            expected[latent.name] += latent.orders_per_day * float(
                np.diff(np.interp(days, np.arange(DAYS), kept_by_day))[0]
            )
    orders = [row for row in read_csv(clean[0] / "events.csv.gz") if row["type"] == "purchase"]
    observed = Counter(type_at(phases[int(row["customer_id"])], float(row["ts"])) for row in orders)
    assert observed["dormant"] == 0
    for name in ("champion", "loyal", "potential", "bigspender", "onetimer"):
        assert observed[name] == pytest.approx(expected[name], rel=0.15)


def test_order_values_have_each_types_mean(clean: tuple[Path, SimulationCounts]) -> None:
    phases = phases_of(clean[0])
    amounts = defaultdict(list)
    for row in read_csv(clean[0] / "events.csv.gz"):
        if row["type"] == "purchase":
            amounts[type_at(phases[int(row["customer_id"])], float(row["ts"]))].append(float(row["amount"]))
    for latent in LATENT_TYPES:
        if latent.arrivals:
            assert np.mean(amounts[latent.name]) == pytest.approx(latent.order_value_minor / 100, rel=0.12)


def test_sessions_come_at_each_types_rate(clean: tuple[Path, SimulationCounts]) -> None:
    phases = phases_of(clean[0])
    opened: Counter[str] = Counter()
    for row in read_csv(clean[0] / "events.csv.gz"):
        if row["type"] == "email_open":
            opened[type_at(phases[int(row["customer_id"])], float(row["ts"]))] += 1
    days: Counter[str] = Counter()
    for life in phases.values():
        for phase in life:
            days[phase["type"]] += (float(phase["t_to"]) - float(phase["t_from"])) / 86_400
    for latent in LATENT_TYPES:
        if latent.sessions_per_day > 0.01:
            assert opened[latent.name] / days[latent.name] == pytest.approx(0.5 * latent.sessions_per_day, rel=0.2)


def test_december_sells_more_than_november(clean: tuple[Path, SimulationCounts]) -> None:
    orders = [float(row["ts"]) / 86_400 for row in read_csv(clean[0] / "events.csv.gz") if row["type"] == "purchase"]
    by_day = np.histogram(orders, DAYS, (0, DAYS))[0]
    assert by_day[333:347].mean() > 1.15 * by_day[298:312].mean()


def test_refunds_give_back_at_most_the_order_and_follow_it(clean: tuple[Path, SimulationCounts]) -> None:
    orders, refunds = {}, []
    for record in read_records(clean[0] / "purchases.jsonl.gz"):
        if record["type"] == "order_completed":
            orders[record["order_id"]] = record
        else:
            refunds.append(record)
    assert len({record["order_id"] for record in refunds}) == len(refunds)
    assert len(refunds) == pytest.approx(0.03 * len(orders), rel=0.25)
    for refund in refunds:
        order = orders[refund["order_id"]]
        assert refund["customer_id"] == order["customer_id"]
        assert refund["occurred_at"] > order["occurred_at"]
        assert 0 < float(refund["total"]) <= float(order["total"])


def test_refund_rate_leaves_the_other_events_alone(tmp_path: Path) -> None:
    kept = []
    for rate in (0.0, 0.5):
        simulate(40, 120, 9, tmp_path / str(rate), refund_rate=rate)
        rows = read_csv(tmp_path / str(rate) / "events.csv.gz")
        kept.append([(row["customer_id"], row["ts"], row["type"]) for row in rows if row["type"] != "refund"])
    assert kept[0] == kept[1]


def test_input_files_hold_the_true_events_in_order_of_time(clean: tuple[Path, SimulationCounts]) -> None:
    folder, counts = clean
    events = read_csv(folder / "events.csv.gz")
    purchases, engagements = (read_records(folder / name) for name in INPUTS)
    assert (len(purchases), len(engagements), len(events)) == (counts.purchases, counts.engagements, counts.events)
    for records in (purchases, engagements):
        instants = [record["occurred_at"] for record in records]
        assert instants == sorted(instants)
    by_id = {record["event_id"]: record for record in purchases + engagements}
    for row in events:
        record = by_id.pop(f"e{row['event_id']}")
        seconds = (datetime.fromisoformat(record["occurred_at"]) - START).total_seconds()
        assert record["customer_id"] == f"c{row['customer_id']}"
        assert seconds == float(row["ts"])
        assert record.get("total", "0.00") == row["amount"]
        assert record.get("items", 0) == int(row["items"])
    assert not by_id


def test_each_customer_arrives_with_an_order(clean: tuple[Path, SimulationCounts]) -> None:
    arrivals = {customer: life[0]["t_from"] for customer, life in phases_of(clean[0]).items()}
    first: dict[int, str] = {}
    for row in read_csv(clean[0] / "events.csv.gz"):
        if row["type"] == "purchase":
            first.setdefault(int(row["customer_id"]), row["ts"])
    assert first == arrivals


def test_start_moves_every_instant(tmp_path: Path) -> None:
    simulate(5, 30, 1, tmp_path, start=date(2023, 6, 1))
    first = read_records(tmp_path / "purchases.jsonl.gz")[0]["occurred_at"]
    assert "2023-06-01T00:00:00.000Z" <= first < "2023-07-01T00:00:00.000Z"


def test_faults_touch_the_input_files_alone(
    clean: tuple[Path, SimulationCounts], faulty: tuple[Path, SimulationCounts]
) -> None:
    assert digests(clean[0], TRUTH) == digests(faulty[0], TRUTH)
    assert set(read_lines(clean[0])) < set(read_lines(faulty[0]))


def test_each_fault_is_counted(clean: tuple[Path, SimulationCounts], faulty: tuple[Path, SimulationCounts]) -> None:
    counts = faulty[1]
    sound = set(read_lines(clean[0]))
    delivered = Counter(read_lines(faulty[0]))
    assert sum(delivered.values()) == counts.purchases + counts.engagements
    assert sum(delivered[line] - 1 for line in sound) == counts.duplicates
    assert sum(times for line, times in delivered.items() if line not in sound) == counts.malformed
    assert counts.duplicates == pytest.approx(0.02 * counts.events, rel=0.15)
    assert counts.malformed == pytest.approx(0.01 * counts.events, rel=0.15)
    assert counts.late == pytest.approx(0.05 * counts.events, rel=0.15)
    assert (clean[1].duplicates, clean[1].malformed, clean[1].late) == (0, 0, 0)


def test_sound_records_decode_and_each_malformed_one_is_rejected(
    clean: tuple[Path, SimulationCounts], faulty: tuple[Path, SimulationCounts]
) -> None:
    end_ms = to_milliseconds(START) + DAYS * DAY_MS
    sound = set(read_lines(clean[0]))
    rejected: Counter[str] = Counter()
    for topic in ("purchases", "engagements"):
        decoder = Decoder(INPUT_CONTRACTS[topic], DecodingPolicy())
        for line in gzip.decompress((faulty[0] / f"{topic}.jsonl.gz").read_bytes()).splitlines():
            try:
                decoder.decode(line, end_ms)
            except InvalidRecord as error:
                assert line not in sound
                rejected[error.reason] += 1
    assert rejected.total() == faulty[1].malformed
    assert set(rejected) == {"malformed", "no_customer", "invalid_time", "damaged_id", "placeholder_id"}


def test_late_records_stand_behind_later_ones_by_at_most_three_days(tmp_path: Path) -> None:
    counts = simulate(200, 200, 2, tmp_path, faults=Faults(late_rate=0.1))
    behind = 0
    for name in INPUTS:
        latest = START
        for record in read_records(tmp_path / name):
            instant = datetime.fromisoformat(record["occurred_at"])
            behind += instant < latest
            latest = max(latest, instant)
            assert (latest - instant).total_seconds() < 3 * 86_400
    assert 0.8 * counts.late < behind <= counts.late


def test_orders_told_again_leave_the_truth_as_it_is(tmp_path: Path) -> None:
    simulate(100, 120, 3, tmp_path / "clean")
    counts = simulate(100, 120, 3, tmp_path / "again", faults=Faults(restated_rate=0.5))
    assert digests(tmp_path / "clean", TRUTH) == digests(tmp_path / "again", TRUTH)
    records = read_records(tmp_path / "again" / "purchases.jsonl.gz")
    types = Counter(record["type"] for record in records)
    assert min(types["order_updated"], types["order_cancelled"]) > 0
    assert len({record["event_id"] for record in records}) == len(records)
    told = read_records(tmp_path / "clean" / "purchases.jsonl.gz")
    assert len(records) - len(told) == counts.restated > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 10, 1), "customers: 0, expected at least 1"),
        ((10, 0, 1), "days: 0, expected at least 1"),
        ((10, 10, -1), "seed: -1, expected at least 0"),
    ],
)
def test_sizes_out_of_range_are_refused(tmp_path: Path, arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        simulate(*arguments, tmp_path)


def test_a_rate_that_is_no_probability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"late_rate: 1\.5, expected a probability from 0 to 1"):
        simulate(1, 1, 1, tmp_path, faults=Faults(late_rate=1.5))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ConfigurationError, match=r"out: .*taken, expected a writable folder"):
        simulate(1, 1, 1, tmp_path / "taken")


@pytest.mark.parametrize(("customers", "days"), [(1, 1), (3, 2), (50, 45), (20, 106)])
def test_short_horizons_hold_together(tmp_path: Path, customers: int, days: int) -> None:
    counts = simulate(customers, days, 1, tmp_path)
    assert counts.customers == customers
    assert len(phases_of(tmp_path)) == customers
    assert all(float(row["ts"]) < days * 86_400 for row in read_csv(tmp_path / "events.csv.gz"))
