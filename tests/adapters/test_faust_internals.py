"""Whatever of Faust and aiokafka is used and is no public interface is listed, is there, and stays in two files."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from faust.types import TP

from stream_app.adapters import faust_bridge, record_batches
from stream_app.adapters.faust_bridge import BridgeConsumer, BridgeThread, BridgeTransport
from stream_app.adapters.record_batches import FetchedRecords, HeldRecords, PreparedBatch

ROOT = Path(__file__).parents[2]
DERIVED = {
    faust_bridge: (BridgeConsumer, BridgeThread, BridgeTransport),
    record_batches: (FetchedRecords, HeldRecords, PreparedBatch),
}
"""By file that may use internals, the classes that it derives from theirs."""
OTHERS = sorted(
    path
    for layer in ("adapters", "worker")
    for path in (ROOT / "stream_app" / layer).glob("*.py")
    if path not in {Path(str(module.__file__)) for module in DERIVED}
)
LISTED = {
    module: {name.rpartition(":")[2].rpartition(".")[2] for name in module.INTERNALS}
    for module in (faust_bridge, record_batches)
}
OUR_ATTRIBUTES = {"consumer", "host"}
"""What the bridge sets on objects of its own, or on those that it derives from theirs."""
PUBLIC_ATTRIBUTES = {"transport"}
"""`App.transport` has a documented setter."""
PUBLIC_METHODS = {"__init__", "on_stop"}
"""Mode documents `on_stop` as a service's callback."""
PUBLIC_DESPITE_THEIR_NAME = {"_asdict", "_exit", "_fields", "_make", "_replace"}
"""Of named tuples and of `os`."""


def name_of(owner: ModuleType | type) -> str:
    return owner.__name__.rpartition(".")[2]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def syntax_of(source: ModuleType | type | Path) -> ast.Module:
    return ast.parse(source.read_text("utf-8") if isinstance(source, Path) else inspect.getsource(source))


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def targets(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Yield all attributes that anything is assigned to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node


def is_python(owner: type) -> bool:
    """Return whether a class has a source, which what is compiled has not."""
    return str(inspect.getmodule(owner).__file__).endswith(".py")  # type: ignore[union-attr]


def attributes_of(owner: ModuleType | type) -> set[str]:
    """Return the names that a module or class has, with those that a class's methods give its objects."""
    names = set(dir(owner))
    if isinstance(owner, type):
        for base in owner.__mro__:
            package = base.__module__.split(".")[0]
            if package in ("aiokafka", "faust", "mode") and is_python(base):
                names |= {target.attr for target in targets(syntax_of(base)) if is_self(target.value)}
    return names


def foreign_bases(derived: type) -> set[str]:
    """Return the names that a class of ours inherits."""
    return set().union(*(attributes_of(base) for base in derived.__bases__))


def private_uses_of_others(path: ModuleType | Path) -> set[str]:
    """Return the private attributes that a file takes from objects other than `self`."""
    return {
        node.attr
        for node in ast.walk(syntax_of(path))
        if isinstance(node, ast.Attribute) and is_private(node.attr) and not is_self(node.value)
    } - PUBLIC_DESPITE_THEIR_NAME


def inherited_uses(derived: type) -> set[str]:
    """Return the private attributes that a class of ours takes from `self` and its bases have given it."""
    used = {
        node.attr
        for node in ast.walk(syntax_of(derived))
        if isinstance(node, ast.Attribute) and is_private(node.attr) and is_self(node.value)
    }
    return used & foreign_bases(derived)


def overrides(derived: type) -> set[str]:
    """Return what a class of ours redefines."""
    (body,) = syntax_of(derived).body
    assert isinstance(body, ast.ClassDef)
    names = {node.name for node in body.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    names |= {name.id for node in body.body if isinstance(node, ast.Assign) for name in node.targets}  # type: ignore[attr-defined]
    return (names & foreign_bases(derived)) - PUBLIC_METHODS


@pytest.mark.parametrize("name", [*faust_bridge.INTERNALS, *record_batches.INTERNALS])
def test_every_internal_is_there(name: str) -> None:
    module_name, _, path = name.partition(":")
    *classes, attribute = path.split(".")
    owner = importlib.import_module(module_name)
    for class_name in classes:
        assert hasattr(owner, class_name), f"{module_name} has no {class_name} any more; {name} is used by the bridge"
        owner = getattr(owner, class_name)
    packages = {package: version(package) for package in ("faust-streaming", "aiokafka")}
    assert attribute in attributes_of(owner), f"{name} is gone from {packages}; see where the bridge uses it"


@pytest.mark.parametrize("module", DERIVED, ids=name_of)
def test_no_internal_is_listed_that_is_not_used(module: ModuleType) -> None:
    used = {node.attr for node in ast.walk(syntax_of(module)) if isinstance(node, ast.Attribute)}
    assert LISTED[module] - used.union(*map(overrides, DERIVED[module])) == set()


@pytest.mark.parametrize("module", DERIVED, ids=name_of)
def test_private_attributes_of_their_objects_are_listed(module: ModuleType) -> None:
    assert private_uses_of_others(module) - LISTED[module] == set()


@pytest.mark.parametrize(
    ("module", "derived"), [(m, c) for m, classes in DERIVED.items() for c in classes], ids=name_of
)
def test_inherited_private_attributes_and_overridden_methods_are_listed(module: ModuleType, derived: type) -> None:
    assert (inherited_uses(derived) | overrides(derived)) - LISTED[module] == set()


@pytest.mark.parametrize("module", DERIVED, ids=name_of)
def test_what_is_set_on_their_objects_is_listed(module: ModuleType) -> None:
    set_on_others = {target.attr for target in targets(syntax_of(module)) if not is_self(target.value)}
    assert set_on_others - OUR_ATTRIBUTES - PUBLIC_ATTRIBUTES - LISTED[module] == set()


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_other_file_uses_internals(path: Path) -> None:
    assert private_uses_of_others(path) == set()


def test_partition_that_is_caught_up_with_for_long_is_no_error_to_faust(caplog: pytest.LogCaptureFixture) -> None:
    consumer = object.__new__(BridgeConsumer)  # Faust's own check would ask its thread, which is not there
    consumer.verify_event_path(1e9, TP("purchases", 0))
    assert not caplog.records


def test_consumer_of_a_worker_hands_out_its_inputs_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace()
    base = faust_bridge.driver.AIOKafkaConsumerThread
    monkeypatch.setattr(base, "_create_worker_consumer", lambda _thread, _transport: made)
    thread: Any = object.__new__(BridgeThread)
    thread.consumer = SimpleNamespace()
    thread._create_worker_consumer(SimpleNamespace(host=SimpleNamespace(inputs=["purchases"])))
    assert made._key_deserializer.topics == {"purchases"}
    assert (fetcher.MemoryRecords, fetcher.PartitionRecords) == (HeldRecords, FetchedRecords)


@pytest.mark.parametrize("package", ["faust-streaming", "aiokafka"])
def test_versions_that_the_internals_are_of_are_pinned_and_installed(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    roles = project["optional-dependencies"].values()
    pins = {line for role in roles for line in role if re.split(r"[=<>~! ]", line)[0] == package}
    assert pins == {f"{package}=={version(package)}"}
