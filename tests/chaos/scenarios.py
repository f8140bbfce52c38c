"""All faults that must be survived, by name."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tests.chaos.broker_faults import freeze_broker, kill_broker, stop_broker
from tests.chaos.fleet import COMMAND
from tests.chaos.input_faults import disorder, kill_trainer, poison
from tests.chaos.redis_faults import lose_redis
from tests.chaos.stage import Outcome, Stage
from tests.chaos.traffic import Traffic
from tests.chaos.worker_faults import (
    change_definitions,
    fill_disk,
    freeze_beyond_session,
    kill_during_rebalance,
    kill_one_of_two,
    kill_while_recovering,
    scale_up_and_down,
    terminate_one_of_two,
)
from tests.support.kafka import KafkaBroker

FULL_DISK: Final = (
    "mkdir -p full && mount -t tmpfs -o size=64k,nr_inodes=3 tmpfs full && cd full"
    ' && { cat /dev/zero > filler 2>/dev/null; TMPDIR="$PWD" exec "$0" "$@"; }'
)
"""Starts a command in a folder of its own that is full to the last byte, and where no file can be made either."""


@dataclass(frozen=True)
class Scenario:
    """A fault, and the deployment that it befalls.

    Parameters
    ----------
    fault
        Does it, so many times (`freeze_broker`, `lose_redis`: for so many seconds).
    full, short
        How many times for `make chaos`, and in tests; 0 if a like one is enough there.
    has_own_broker
        Whether it does harm to the broker.
    traffic
        Arguments of `Traffic` beside the seed.
    stage
        Arguments of `Stage` beside.
    is_live
        Whether the events' times lead up to now.
    has_full_disk
        Whether workers run where nothing can be written.
    """

    fault: Callable[[Stage, int], None]
    full: int
    short: int
    has_own_broker: bool = False
    traffic: Mapping[str, Any] = field(default_factory=dict)
    stage: Mapping[str, Any] = field(default_factory=dict)
    is_live: bool = False
    has_full_disk: bool = False


STATIC: Final = {"is_static": True}
SCENARIOS: Final[Mapping[str, Scenario]] = {
    "kill-worker": Scenario(
        kill_one_of_two,
        20,
        3,
        traffic={"link_rate": 0.02},
        stage={"settings": {"IDENTITIES__ENABLED": "true"}},
    ),
    "kill-worker-wall-clock": Scenario(
        kill_one_of_two,
        5,
        1,
        is_live=True,
        stage=STATIC
        | {
            "settings": {
                "WORKER__CLOCK": "wall",
                "WORKER__SWEEP_INTERVAL_SECONDS": "5",
                "WORKER__IDLE_SECONDS": "3",
            }
        },
    ),
    "terminate-worker": Scenario(terminate_one_of_two, 5, 2, stage=STATIC),
    "change-definitions": Scenario(change_definitions, 3, 1, stage=STATIC),
    "kill-broker": Scenario(kill_broker, 5, 1, has_own_broker=True, stage=STATIC),
    "terminate-broker": Scenario(stop_broker, 5, 1, has_own_broker=True),
    "kill-in-rebalance": Scenario(kill_during_rebalance, 3, 1),
    "kill-in-recovery": Scenario(kill_while_recovering, 5, 2, traffic={"customers": 20_000}, stage=STATIC),
    "freeze-worker": Scenario(freeze_beyond_session, 3, 1),
    "freeze-static-worker": Scenario(freeze_beyond_session, 2, 0, stage=STATIC),
    "scale": Scenario(scale_up_and_down, 10, 1),
    "freeze-broker": Scenario(freeze_broker, 60, 25, has_own_broker=True),
    "kill-trainer": Scenario(kill_trainer, 5, 1, stage=STATIC | {"settings": {"LEARNING__TICK_DAYS": "1"}}),
    "poison": Scenario(poison, 1_000, 1_000, traffic={"malformed_rate": 0.0}),
    "disorder": Scenario(disorder, 3, 1, traffic={"late_rate": 0.05, "future_rate": 0.05}),
    "full-disk": Scenario(fill_disk, 2, 1, has_full_disk=True),
    "redis-outage": Scenario(lose_redis, 60, 3),
}


def play(name: str, seed: int, folder: Path, bootstrap_servers: str | None, *, is_short: bool = False) -> Outcome:
    """Run a scenario.

    Parameters
    ----------
    name
        A key of `SCENARIOS`.
    seed
        Fixes the input and which worker is hit.
    folder
        For logs and data.
    bootstrap_servers
        Of a broker to share; not needed by scenarios that have their own.
    is_short
        Whether the fault is done as often as in tests, and no time is asserted.
    """
    scenario = SCENARIOS[name]
    repeats = scenario.short if is_short else scenario.full
    options: dict[str, Any] = dict(scenario.stage)
    traffic = dict(scenario.traffic)
    if scenario.is_live:
        traffic["start"] = datetime.now(UTC) - timedelta(days=30 * repeats)
    if scenario.has_full_disk:
        unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
        options["command"] = [*unshare, "sh", "-c", FULL_DISK, sys.executable, *COMMAND[1:]]
    with ExitStack() as opened:
        if scenario.has_own_broker:
            options["broker"] = opened.enter_context(KafkaBroker(folder / "kafka"))
            bootstrap_servers = options["broker"].bootstrap_servers
        assert bootstrap_servers is not None
        prefix = f"{name}-{uuid.uuid4().hex[:6]}-"
        stage = Stage(
            name,
            prefix,
            bootstrap_servers,
            folder,
            Traffic(seed, **traffic),
            seed=seed,
            is_timed=not is_short,
            **options,
        )
        try:
            with stage:
                scenario.fault(stage, repeats)
                stage.finish()
        except Exception as error:  # whatever it was, the scenario has failed and the others are to be seen, too
            stage.outcome.problems.append(f"{type(error).__name__}: {error}")
        return stage.close_outcome()
