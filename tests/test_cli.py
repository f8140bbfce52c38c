from __future__ import annotations

import csv
import gzip
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC
from importlib.metadata import version
from pathlib import Path

import pytest

from stream_app.bootstrap.replay import create_readers
from stream_app.cli import COMMANDS, main
from stream_app.core.clock import DAY_MS, format_instant
from stream_app.core.events import Event
from stream_app.replay.outputs import UNFINISHED
from stream_app.settings.loading import load_settings
from stream_app.simulator.populations import POPULATIONS
from stream_app.simulator.simulation import simulate
from stream_app.sources.files import SourceFile, merge_by_time
from tests.contracts.records import AT_MS
from tests.support.batches import contents_of
from tests.support.replays import (
    OUTPUTS,
    ROOT,
    Outputs,
    engagement_at,
    purchase_at,
    refused,
    replay,
    start,
    write_lines,
)

SHARED_DATA = ROOT.parent / "shared" / "data"
PATIENCE_SECONDS = 300
"""Only ever waited for in full by a test that fails."""


def real_data(name: str) -> Path:
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not in {SHARED_DATA.name}")
    return path


@pytest.fixture
def purchases(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "purchases.jsonl", [purchase_at(1, "2024-05-01T12:00:00Z")])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "purchases.csv", ["ts,customer_id,amount", "2024-05-01,c1,5"])


# --- a refused start ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "name at least one file: --purchases FILE or --engagements FILE"),
        (["--purchases", "absent.jsonl"], "absent.jsonl: cannot be read (No such file or directory)"),
        (["--purchases", "purchases.jsonl", "absent\n.jsonl"], "absent .jsonl: cannot be read"),
        (["--purchases", "."], "File '.' is a directory"),
        (["purchases.jsonl"], "fits no known source"),
        (["--purchase", "purchases.jsonl"], "No such option"),
        (["--purchases", "purchases.jsonl", "--config", "absent.toml"], "absent.toml: cannot be read"),
        (["--purchases", "purchases.jsonl", "--config", "purchases.jsonl"], "purchases.jsonl: not a TOML file"),
        (["--purchases", "purchases.jsonl", "--seed", "one"], "'one' is not a valid integer"),
        (["--purchases", "purchases.jsonl", "--seed", "-1"], "setting learning.seed: -1 is refused"),
        (["--purchases", "purchases.jsonl", "--until", "2024-05-01"], "expected a time with a zone"),
        (["--purchases", "purchases.jsonl", "--now", "today"], "expected a time with a zone"),
        (["--purchases", "purchases.jsonl", "--timezone", "Europe"], "--timezone: 'Europe'"),
        (["--purchases", "purchases.jsonl", "--timezone", "../UTC"], "--timezone: '../UTC'"),
        (["--purchases", "purchases.jsonl", "--timezone", "Mars/Base"], "--timezone: 'Mars/Base'"),
        (["--purchases", "purchases.jsonl", "--timezone", ""], "--timezone: ''"),
        (["--purchases", "purchases.jsonl", "--column", "total=amount"], "are for tables"),
        (["--purchases", "purchases.csv"], "no column for occurred_at, total in the header"),
        (["--purchases", "purchases.csv", "--column", "total"], "'total', expected NAME=VALUE"),
        (["--purchases", "purchases.csv", "--column", "totl=amount"], "'totl' is no field, expected one of event_id"),
        (["--purchases", "purchases.csv", "--constant", "currenzy=USD"], "'currenzy' is no field"),
        (["--purchases", "purchases.csv", "--column", "total=x", "occurred_at=ts"], "column 'x' (for total) is not in"),
    ],
)
@pytest.mark.usefixtures("purchases", "table")
def test_wrong_start_is_one_line_and_leaves_nothing(
    args: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in refused(capsys, "replay", *args, "--out", "out")
    assert not (tmp_path / "out").exists()


def test_wrong_environment_is_one_line(
    purchases: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGMENTER_LEARNING__SEED", "x" * 100_000)
    line = refused(capsys, "replay", "--purchases", purchases)
    assert "setting learning.seed" in line
    assert len(line) < 1_100


def test_unwritable_folder_is_one_line(purchases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "name another folder with --out" in refused(capsys, "replay", "--purchases", purchases, "--out", purchases)
    assert "name another folder with --out" in refused(capsys, "demo", "--out", purchases)


def test_demo_does_not_begin_where_it_could_not_serve_in_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(capsys, "demo", "--serve", "--port", port, "--out", tmp_path / "demo", status=1)
    assert f"--port: cannot listen on 127.0.0.1:{port} (A" in line
    assert not (tmp_path / "demo").exists()


def test_other_commands_refuse_in_one_line_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "customers: 0" in refused(capsys, "simulate", "--customers", 0, "--out", tmp_path)
    assert "'--purchases' requires an argument" in refused(capsys, "replay", "--purchases")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["replai"], "no such command: 'replai'; did you mean 'replay'? see `segmenter --help`"),
        (["zzz"], "no such command: 'zzz'; see `segmenter --help`"),
        (["topics", "chek"], "no such command: 'chek'; did you mean 'check'? see `segmenter topics --help`"),
        (["help", "replai"], "no such command: 'replai'; did you mean 'replay'?"),
        (["help", "replay", "more"], "`segmenter replay` has no subcommands"),
        (["--config", "x", "simulate"], "`segmenter simulate` reads no settings, so it takes no --config"),
        (["api", "--config", "x", "token"], "`segmenter api token` reads no settings, so it takes no --config"),
        (
            ["replay", "--purchase", "x"],
            "(Possible options: --purchases, --source, --sources); see `segmenter replay --help`",
        ),
    ],
)
def test_mistyped_command_is_answered_with_what_was_probably_meant(
    args: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refused(capsys, *args)


@pytest.mark.parametrize(
    "args",
    [
        ["--config", "gone.toml", "view"],
        ["view", "--config", "gone.toml"],
        ["--config", "gone.toml", "view", "rebuild"],
        ["view", "--config", "gone.toml", "rebuild"],
        ["view", "rebuild", "--config", "gone.toml"],
        ["--config", "other.toml", "topics", "--config", "gone.toml", "check"],
        ["topics", "--config", "other.toml", "check", "--config", "gone.toml"],
        ["--config", "gone.toml", "model", "show"],
        ["--config", "gone.toml", "replay", "--purchases", "purchases.jsonl"],
    ],
)
def test_settings_may_be_named_before_or_behind_a_command_and_the_last_file_counts(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "gone.toml: cannot be read" in refused(capsys, *args)


@pytest.mark.parametrize("args", [["-h"], ["--help"], ["help"]])
def test_list_of_commands_is_in_whole_sentences(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        main(args)
    listing = " ".join(capsys.readouterr().out.split())
    assert "..." not in listing.partition("Commands:")[2]
    for name, entry in COMMANDS.items():
        assert f" {name} {entry.summary}" in listing


@pytest.mark.parametrize("name", ["api", "model", "schemas", "segmentations", "sources", "topics", "view", "webhooks"])
def test_list_of_subcommands_is_in_whole_sentences(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        main([name, "--help"])
    listing = capsys.readouterr().out.partition("Commands:")[2]
    assert listing
    assert "..." not in listing
    assert all(entry.endswith((".", "…")) for entry in re.split(r"\n  (?=\w)", listing.rstrip())[1:])


@pytest.mark.parametrize(
    "args", [["help", "topics", "create"], ["topics", "create", "-h"], ["topics", "create", "--help"]]
)
def test_help_of_a_command_is_the_same_however_it_is_asked_for(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with suppress(SystemExit):
        main(args)
    assert capsys.readouterr().out.startswith("Usage: segmenter topics create [OPTIONS]")


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"segmenter {version('stream-segmenter')}\n"


def test_shell_completes_commands_and_options() -> None:
    words = {"COMP_WORDS": "segmenter webhooks re", "COMP_CWORD": "2", "_SEGMENTER_COMPLETE": "bash_complete"}
    run = subprocess.run(
        [sys.executable, "-c", "from stream_app.cli import main; main()"],
        env=os.environ | words,
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    assert run.stdout == "plain,replay\n"


def test_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, purchases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full")
    (tmp_path / "out" / UNFINISHED).mkdir(parents=True)
    (tmp_path / "out" / UNFINISHED / "models.jsonl").symlink_to("/dev/full")
    with pytest.raises(SystemExit) as exit_:
        main(["replay", "--purchases", str(purchases), "--out", str(tmp_path / "out")])
    assert exit_.value.code == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("segmenter: stopped: [Errno 28] No space left on device")
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_said_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 2
    assert "Commands:" in capsys.readouterr().err


# --- what can be asked for ----------------------------------------------------------------------------------------


def test_option_takes_several_files_in_every_way_of_writing(tmp_path: Path) -> None:
    a, b, c = (
        write_lines(tmp_path / f"{name}.jsonl", [purchase_at(n, f"2024-05-0{n}T12:00:00Z", f"c{n}")])
        for n, name in enumerate("abc", 1)
    )
    v = write_lines(tmp_path / "v.jsonl.gz", [engagement_at(9, "2024-05-01T18:00:00Z")])
    first = replay(tmp_path / "1", "--purchases", c, a, b, "--engagements", v)
    assert [file["file"] for file in first.summary["inputs"]] == ["c.jsonl", "a.jsonl", "b.jsonl", "v.jsonl.gz"]
    assert [migration["customer_id"] for migration in first.migrations] == ["c1", "c2", "c3"]
    assert first.summary["counts"]["applied"] == 4
    second = replay(tmp_path / "2", "--purchases", c, "--engagements", v, f"--purchases={a}", b)
    assert second.contents() == first.contents()


def test_tables_are_read_with_columns_constants_and_zone(tmp_path: Path, table: Path) -> None:
    mail = write_lines(tmp_path / "mail.csv.gz", ["ts,customer_id", "2024-05-02 01:00:00,c1"])
    options = ["--column", "occurred_at=ts", "--constant", "type=email_clicked", "--timezone", "Asia/Tokyo"]
    outputs = replay(tmp_path / "mail", "--engagements", mail, *options)
    assert outputs.migrations[0]["effective_at"] == "2024-05-01T16:00:00.000Z"
    assert outputs.migrations[0]["cause"]["event_id"].startswith("engagements/")
    outputs = replay(tmp_path / "out", "--purchases", table, "--column", "occurred_at=ts", "total=amount")
    assert outputs.summary["segments"][0]["revenue"] == 5.0
    assert outputs.migrations[0]["cause"]["position"] == {"topic": "purchases.csv", "partition": 0, "offset": 1}


def test_another_seed_is_noted_and_the_environment_does_not_overrule_it(
    tmp_path: Path, purchases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMENTER_LEARNING__SEED", "4")
    assert replay(tmp_path / "a", "--purchases", purchases).summary["seed"] == 4
    assert replay(tmp_path / "b", "--purchases", purchases, "--seed", 9).summary["seed"] == 9


def test_simulated_population_can_be_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["simulate", "--customers", "20", "--days", "60", "--out", str(tmp_path / "s"), "--malformed-rate", "0.1"])
    assert "events of 20 customers" in capsys.readouterr().out
    files = [tmp_path / "s" / f"{topic}.jsonl.gz" for topic in ("purchases", "engagements")]
    outputs = replay(tmp_path / "out", "--purchases", files[0], "--engagements", files[1], status=1)
    assert 0 < outputs.summary["customers"] <= 20
    assert outputs.summary["counts"]["rejected"] > 0
    assert "Report: " in capsys.readouterr().out


@pytest.mark.parametrize("population", POPULATIONS)
def test_each_population_can_be_simulated_and_replayed(population: str, tmp_path: Path) -> None:
    main(["simulate", "--population", population, "--customers", "20", "--days", "60", "--out", str(tmp_path / "s")])
    files = [tmp_path / "s" / f"{topic}.jsonl.gz" for topic in ("purchases", "engagements")]
    outputs = replay(tmp_path / "out", "--purchases", files[0], "--engagements", files[1])
    assert 0 < outputs.summary["customers"] <= 20


def test_an_unknown_population_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = refused(capsys, "simulate", "--population", "festival", "--out", tmp_path)
    assert "festival" in line
    assert all(name in line for name in POPULATIONS)


def test_refunds_are_refused_for_a_population_without_any(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = refused(capsys, "simulate", "--population", "one-off", "--refund-rate", 0.1, "--out", tmp_path)
    assert "refund_rate: 0.1" in line


def test_schemas_are_written_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "schemas")
    main(["schemas", "write", "--folder", folder])
    assert "purchases.v1.json" in capsys.readouterr().out
    main(["schemas", "check", "--folder", folder])
    (tmp_path / "schemas" / "purchases.v1.json").unlink()
    with pytest.raises(SystemExit) as exit_:
        main(["schemas", "check", "--folder", folder])
    assert exit_.value.code == 1
    assert "purchases.v1.json: missing" in capsys.readouterr().err


# --- real processes -----------------------------------------------------------------------------------------------


def test_same_input_gives_the_same_bytes_anywhere(tmp_path: Path) -> None:
    simulate(250, 200, 3, tmp_path)
    args = ["--purchases", tmp_path / "purchases.jsonl.gz", "--engagements", tmp_path / "engagements.jsonl.gz"]
    runs = [
        start("replay", *args, "--out", tmp_path / out, hash_seed=hash_seed)
        for out, hash_seed in (("a", "1"), ("deep/er/b", "2"))
    ]
    for run in runs:
        _, error = run.communicate(timeout=PATIENCE_SECONDS)
        assert (run.returncode, error) == (0, b"")
    first, second = Outputs(tmp_path / "a").contents(), Outputs(tmp_path / "deep/er/b").contents()
    assert set(first) == OUTPUTS
    assert Outputs(tmp_path / "a").summary["model_version"] > 0, "something was learned, so chance had its say"
    for name in OUTPUTS:
        assert first[name] == second[name], name


def pipe_events(path: Path) -> subprocess.Popen[bytes]:
    """Start a replay of a pipe, which only gives what the test has written so far."""
    os.mkfifo(path)
    return start("replay", "--purchases", path, "--out", path.parent / "out", start_new_session=True)


def lines_of_events(first: int, last: int) -> bytes:
    return b"".join(
        b'{"event_id":"e%d","customer_id":"c%d","occurred_at":"%s","order_id":"o%d","total":"5","currency":"EUR"}\n'
        % (n, n % 500, format_instant(AT_MS - 400 * DAY_MS + n * DAY_MS // 200).encode(), n)
        for n in range(first, last)
    )


def wait_for_migrations(run: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until the run is in the middle, which its growing output tells."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    growing = folder / UNFINISHED / "migrations.jsonl"
    while not (growing.exists() and growing.stat().st_size):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_replay_says_what_it_does_before_it_has_read_anything(tmp_path: Path) -> None:
    path = tmp_path / "purchases.jsonl"
    run = pipe_events(path)
    assert run.stdout is not None
    assert run.stdout.readline() == f"reading purchases.jsonl, and writing to {tmp_path / 'out'} …\n".encode()
    with path.open("wb", buffering=0) as pipe:
        pipe.write(lines_of_events(0, 10))
    output, error = run.communicate(timeout=PATIENCE_SECONDS)
    assert (run.returncode, error) == (0, b"")
    assert b"Report: " in output


def test_simulation_says_what_it_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["simulate", "--customers", "20", "--days", "60", "--out", str(tmp_path)])
    first, second, last, *_ = capsys.readouterr().out.splitlines()
    assert first == "drawing 20 customers over 60 days …"
    assert second.startswith("writing ")
    assert second.endswith(f" records to {tmp_path} …")
    assert "events of 20 customers" in last


def test_ctrl_c_leaves_complete_outputs(tmp_path: Path) -> None:
    path = tmp_path / "purchases.jsonl"
    run = pipe_events(path)
    with path.open("wb", buffering=0) as pipe:
        pipe.write(lines_of_events(0, 25_000))  # more than a block of 1 MB, so that some of it is worked on
        wait_for_migrations(run, tmp_path / "out")
        run.send_signal(signal.SIGINT)
        rest = (lines_of_events(first, first + 500) for first in range(25_000, 80_000, 500))
        with pytest.raises(BrokenPipeError):
            pipe.writelines(rest)
    output, error = run.communicate(timeout=PATIENCE_SECONDS)
    assert (run.returncode, error) == (130, b"")
    assert b"Stopped early" in output
    outputs = Outputs(tmp_path / "out")
    assert set(outputs.contents()) == OUTPUTS
    summary = outputs.summary
    assert summary["interrupted"] is True
    assert 0 < summary["counts"]["applied"] == summary["counts"]["in"] < 80_000
    assert summary["inputs"][0]["records"] == summary["counts"]["in"]
    assert summary["migrations"]["total"] == len(outputs.migrations)
    last = {migration["customer_id"]: migration["to_segment"]["id"] for migration in outputs.migrations}
    assert last == {membership["customer_id"]: membership["segment"]["id"] for membership in outputs.memberships}


def test_second_ctrl_c_stops_at_once_and_leaves_earlier_outputs_as_they_were(tmp_path: Path) -> None:
    earlier = replay(
        tmp_path / "out", "--purchases", write_lines(tmp_path / "p.jsonl", [purchase_at(1, "2024-05-01T12:00:00Z")])
    ).contents()
    path = tmp_path / "purchases.jsonl"
    run = pipe_events(path)
    with path.open("wb", buffering=0) as pipe:
        pipe.write(lines_of_events(0, 25_000))
        wait_for_migrations(run, tmp_path / "out")
        # The second one comes while the run finishes its outputs, or waits for the pipe; a further one only if the
        # system delivered two as one.
        for pause_seconds in (0.002, *[5] * (PATIENCE_SECONDS // 5)):
            run.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                run.wait(timeout=pause_seconds)
                break
    _, error = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 130
    assert b"Traceback" not in error
    left = Outputs(tmp_path / "out")
    # Unless the first one had been enough: outputs are put in place within milliseconds.
    assert left.contents() == earlier or left.summary["interrupted"]


def test_killed_run_leaves_earlier_outputs_as_they_were_and_the_next_one_clears_up(tmp_path: Path) -> None:
    events = write_lines(tmp_path / "p.jsonl", [purchase_at(1, "2024-05-01T12:00:00Z")])
    earlier = replay(tmp_path / "out", "--purchases", events).contents()
    run = pipe_events(tmp_path / "purchases.jsonl")
    with (tmp_path / "purchases.jsonl").open("wb", buffering=0) as pipe:
        pipe.write(lines_of_events(0, 25_000))
        wait_for_migrations(run, tmp_path / "out")
        run.kill()
        run.communicate(timeout=PATIENCE_SECONDS)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in earlier} == earlier
    assert (tmp_path / "out" / UNFINISHED).exists()
    assert replay(tmp_path / "out", "--purchases", events).contents() == earlier


def test_run_that_fails_in_its_report_leaves_earlier_outputs_as_they_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_lines(tmp_path / "p.jsonl", [purchase_at(1, "2024-05-01T12:00:00Z")])
    earlier = replay(tmp_path / "out", "--purchases", first).contents()
    (tmp_path / "out" / UNFINISHED).mkdir()
    (tmp_path / "out" / UNFINISHED / "report.html").mkdir()  # where the report cannot be written
    second = write_lines(tmp_path / "q.jsonl", [purchase_at(2, "2024-05-01T12:00:00Z", "c2")])
    with pytest.raises(SystemExit) as exit_:
        main(["replay", "--purchases", str(second), "--out", str(tmp_path / "out")])
    assert exit_.value.code == 1
    assert "stopped: " in capsys.readouterr().err
    assert {name: (tmp_path / "out" / name).read_bytes() for name in earlier} == earlier


# --- real data ----------------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_demo_uses_all_purchases_of_cdnow(tmp_path: Path) -> None:
    main(["demo", "--out", str(tmp_path / "demo")])
    outputs = Outputs(tmp_path / "demo")
    assert outputs.summary["counts"] == {
        "in": 69_659,
        "applied": 69_659,
        "duplicate": 0,
        "late_applied": 0,
        "rejected": 0,
    }
    assert (outputs.summary["customers"], outputs.summary["currency"]) == (23_570, "USD")
    assert {path.name for path in outputs.folder.iterdir()} == OUTPUTS | {"cdnow.csv", "origin.txt"}


@pytest.mark.real_data
def test_retail_table_needs_nothing_but_its_columns_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = real_data("online_retail_orders.csv.gz")
    monkeypatch.setenv("SEGMENTER_MONEY__BASE_CURRENCY", "GBP")
    outputs = replay(tmp_path / "out", "--purchases", path, "--column", "occurred_at=ts", "--column", "total=amount")
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    assert outputs.summary["counts"]["applied"] == outputs.summary["counts"]["in"] == len(rows) == 22_190
    buyers = {row["customer_id"] for row in rows if row["type"] == "purchase"}  # others have returns alone
    assert {membership["customer_id"] for membership in outputs.memberships} == buyers
    assert outputs.summary["currency"] == "GBP"
    assert outputs.summary["migrations"]["own_moves"]["by_cause"]["refund"] > 0
    segments = outputs.summary["segments"]
    revenue = sum(float(row["amount"]) for row in rows if row["customer_id"] in buyers)  # a refund's is negative
    assert sum(segment["revenue"] for segment in segments) == pytest.approx(revenue, abs=0.01 * len(segments))


@pytest.mark.real_data
def test_every_row_of_the_cdnow_table_is_accepted() -> None:
    columns = {"occurred_at": "date", "total": "amount"}
    table = SourceFile(real_data("cdnow_transactions.csv.gz"), "purchases", columns, {"currency": "USD"}, UTC)
    (reader,) = create_readers(load_settings(None, {"money": {"base_currency": "USD"}}), [table], AT_MS)
    contents = [content for batch in merge_by_time([reader]) for content in contents_of(batch)]
    reader.close()
    assert len(contents) == 69_659
    assert all(isinstance(content, Event) for content in contents)
