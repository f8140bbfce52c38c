"""Settings of all tests: properties are drawn alike in every run, and no test depends on the machine's speed.

Where a test names no segmentations, the processes that it starts and the settings that it loads have `value` alone.

A test that needs Kafka asks for the fixture `kafka`, and gets the address of a real broker that the whole run shares.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.support.one_segmentation import FILE, VARIABLE
from tests.support.processes import ServerFailed, ServerUnavailable
from tests.support.programs import ProgramMissing
from tests.support.shared_kafka import TestRun, delete_topics

settings.register_profile("deterministic", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("deterministic")
os.environ[VARIABLE] = str(FILE)

RUN = pytest.StashKey[TestRun]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--skip-missing",
        action="store_true",
        help="skip tests whose program is not installed, instead of failing them; CONTRIBUTING lists the programs",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return three processes for two processors: many tests wait for servers."""
    return -(-3 * (os.cpu_count() or 1) // 2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _name_what_is_missing(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _name_what_is_missing(item))


def _name_what_is_missing(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    except ProgramMissing as missing:
        reason, is_packaged = str(missing), missing.is_packaged
    if item.config.getoption("skip_missing") or not is_packaged:
        pytest.skip(reason)
    pytest.fail(reason, pytrace=False)


def pytest_configure(config: pytest.Config) -> None:
    told = getattr(config, "workerinput", None)  # of pytest-xdist, in its workers
    config.stash[RUN] = TestRun.begin() if told is None else TestRun(**told["test_run"])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["test_run"] = node.config.stash[RUN].as_input()


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUN in config.stash and not hasattr(config, "workerinput"):
        config.stash[RUN].end()


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> str:
    """Bootstrap servers of a real broker, the same for all tests of the run."""
    try:
        return pytestconfig.stash[RUN].kafka()
    except ProgramMissing:
        raise
    except (ServerUnavailable, ServerFailed) as error:
        reason = str(error)
    pytest.fail(reason, pytrace=False)


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> Iterator[str]:
    """A prefix that no other test's topics, groups and transactional ids have; its topics are deleted afterwards."""
    prefix = f"t{uuid.uuid4().hex[:8]}-"
    yield prefix
    if "kafka" in request.fixturenames:
        delete_topics(request.getfixturevalue("kafka"), prefix)
