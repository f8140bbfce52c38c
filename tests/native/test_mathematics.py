"""The library's elementary functions are exact to the last place, and the same everywhere."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
import pytest

from native import build
from stream_app.native import mathematics
from stream_app.native.library import PATH
from tests.support.programs import ProgramMissing
from tests.support.wild_arguments import FUNCTIONS, digest

BITS: Final = {
    "exp": 0xB547024EDCC537C4,
    "exp2": 0x7D562ACAE884D7EE,
    "log": 0xF7F1B7350A2B8124,
    "log2": 0x9E70825F55339C1A,
    "log1p": 0x82B4E226A62DE828,
    "expm1": 0xD33BFBF924886DBB,
    "pow": 0x8FF733CAD735821D,
}
"""What every build for every processor must give; another number means that rows differ from those written before."""
EXACT: Final = Context(prec=110, Emin=-100_000, Emax=100_000)
LN2: Final = Decimal(2).ln(EXACT)
TINY: Final = Decimal("1e-40")
INFINITY: Final = math.inf
TRUTHS: Final[dict[str, Callable[[Decimal], Decimal]]] = {
    "exp": lambda x: x.exp(),
    "exp2": lambda x: (x * LN2).exp(),
    "log": lambda x: x.ln(),
    "log2": lambda x: x.ln() / LN2,
    "log1p": lambda x: x if abs(x) < TINY else (1 + x).ln(),
    "expm1": lambda x: x if abs(x) < TINY else x.exp() - 1,
}
WORST_ULP: Final = {"exp": 0.52, "exp2": 0.52, "log": 0.52, "log2": 0.55, "log1p": 1.0, "expm1": 1.0}


def value(function: str, *arguments: float) -> np.float64:
    """Return a function of the library at one place."""
    (found,) = getattr(mathematics, function)(*([each] for each in arguments))
    return np.float64(found)


def drawn(function: str) -> list[float]:
    """Return arguments of all sizes, many of them where the function bends."""
    random = Random(function)
    found = []
    for _ in range(700):
        size = random.choice((random.uniform(-60, 10), random.uniform(-1_070, 1_020)))
        found += [random.gauss(0, 1), random.uniform(-700, 700), 1 + random.gauss(0, 0.05), 2.0**size, -(2.0**size)]
    if function.startswith("exp"):
        return [x for x in found if abs(x) < 705]
    return [x for x in found if x > (-1 if function == "log1p" else 0)]


def error_ulp(found: float, truth: Decimal) -> float:
    return float(abs(Decimal(found) - truth) / Decimal(math.ulp(float(truth))))


@pytest.mark.parametrize("function", TRUTHS)
def test_result_is_the_truth_to_the_last_place(function: str) -> None:
    arguments = drawn(function)
    results = getattr(mathematics, function)(arguments)
    with localcontext(EXACT):
        errors = [error_ulp(float(y), TRUTHS[function](Decimal(x))) for x, y in zip(arguments, results, strict=True)]
    assert max(errors) <= WORST_ULP[function]


def test_power_is_the_truth_to_the_last_place() -> None:
    random = Random(1)
    pairs = [(random.lognormvariate(0, 3), random.gauss(0, 20)) for _ in range(1_500)]
    pairs += [(1 + random.gauss(0, 1e-5), random.uniform(-1e7, 1e7)) for _ in range(500)]
    results = mathematics.power(*zip(*pairs, strict=True))
    with localcontext(EXACT):
        truths = [(Decimal(y) * Decimal(x).ln()).exp() for x, y in pairs]
    assert max(map(error_ulp, map(float, results), truths)) <= 0.55


@pytest.mark.parametrize("sign", [1, -1])
def test_smallest_numbers_keep_their_accuracy(sign: int) -> None:
    with localcontext(EXACT):
        for x in (-1022.5, -1040.25, -1073.9):
            assert error_ulp(float(value("exp2", x)), (Decimal(x) * LN2).exp()) <= 0.55
            assert error_ulp(float(value("exp", x * 0.69)), (Decimal(x * 0.69)).exp()) <= 0.55
    tiny = sign * 5e-324
    assert (value("log1p", tiny), value("expm1", tiny)) == (tiny, tiny)
    assert value("log2", 5e-324) == -1074


@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [
        ("exp", (0.0,), 1.0),
        ("exp", (-0.0,), 1.0),
        ("exp", (INFINITY,), INFINITY),
        ("exp", (-INFINITY,), 0.0),
        ("exp", (709.79,), INFINITY),
        ("exp", (-746.0,), 0.0),
        ("exp2", (10.0,), 1024.0),
        ("exp2", (-1075.0,), 0.0),
        ("exp2", (1024.0,), INFINITY),
        ("exp2", (-INFINITY,), 0.0),
        ("log", (1.0,), 0.0),
        ("log", (0.0,), -INFINITY),
        ("log", (-0.0,), -INFINITY),
        ("log", (INFINITY,), INFINITY),
        ("log2", (1.0,), 0.0),
        ("log2", (8.0,), 3.0),
        ("log2", (0.0,), -INFINITY),
        ("log1p", (0.0,), 0.0),
        ("log1p", (-0.0,), -0.0),
        ("log1p", (-1.0,), -INFINITY),
        ("log1p", (INFINITY,), INFINITY),
        ("expm1", (-0.0,), -0.0),
        ("expm1", (-INFINITY,), -1.0),
        ("expm1", (-60.0,), -1.0),
        ("expm1", (709.79,), INFINITY),
        ("power", (2.0, 10.0), 1024.0),
        ("power", (-2.0, 3.0), -8.0),
        ("power", (math.nan, 0.0), 1.0),
        ("power", (1.0, math.nan), 1.0),
        ("power", (0.0, -1.0), INFINITY),
        ("power", (-0.0, -1.0), -INFINITY),
        ("power", (-1.0, INFINITY), 1.0),
        ("power", (10.0, 400.0), INFINITY),
        ("power", (10.0, -400.0), 0.0),
        ("power", (-10.0, -401.0), -0.0),
    ],
)
def test_edges_are_those_of_ieee_754(function: str, arguments: tuple[float, ...], result: float) -> None:
    found = float(value(function, *arguments))
    assert (found, math.copysign(1, found)) == (result, math.copysign(1, result))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("log", (-1.0,)),
        ("log2", (-INFINITY,)),
        ("log1p", (-1.5,)),
        ("power", (-2.0, 0.5)),
        ("power", (math.nan, -math.nan)),
    ],
)
def test_what_has_no_value_is_one_and_the_same_nan(function: str, arguments: tuple[float, ...]) -> None:
    assert int(value(function, *arguments).view(np.uint64)) == 0x7FF8_0000_0000_0000


@pytest.mark.parametrize("function", [*TRUTHS, "power"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_result_has_the_shape_of_its_arguments(function: str, shape: tuple[int, ...]) -> None:
    arguments = [np.full(shape, 0.5)] * (2 if function == "power" else 1)
    found = getattr(mathematics, function)(*arguments)
    assert (found.shape, found.dtype) == (shape, np.float64)
    assert found.tolist() == np.full(shape, value(function, *[0.5] * len(arguments))).tolist()


def test_powers_of_a_number_have_the_shape_of_the_exponents() -> None:
    assert mathematics.power(2.0, [1.0, 2.0]).tolist() == [2.0, 4.0]
    assert mathematics.power([[1.0], [2.0]], [1.0, 2.0]).tolist() == [[1.0, 1.0], [2.0, 4.0]]
    assert float(mathematics.exp(0)) == 1.0


def test_this_build_gives_the_bits_that_all_give() -> None:
    assert {name: digest(PATH, number) for number, name in enumerate(FUNCTIONS)} == BITS


@pytest.mark.parametrize("flags", ["-O0", "-O2", "-O3 -march=native", "-O1 -funroll-loops -fno-inline"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_other_flags_and_compilers_give_the_same_bits(
    compiler: str, flags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(compiler) is None:
        raise ProgramMissing(f"no {compiler}: what it compiles is compared where it is installed", is_packaged=False)
    monkeypatch.setenv("CC", compiler)
    library = tmp_path / "other.so"
    assert build.build(library, flags=flags.split())
    assert {name: digest(library, number) for number, name in enumerate(FUNCTIONS)} == BITS


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_another_processor_gives_the_same_bits(machine: str, ziglang: Path, tmp_path: Path) -> None:
    program = tmp_path / "same_bits"
    target = ("-target", f"{machine}-linux-none", "-nostdlib", "-static", "-std=c11", "-O3", "-ffp-contract=off")
    own = (path for path in build.sources() if path.parent.name == "musl" or path.stem == "mathematics")
    sources = (Path(__file__).with_name("same_bits.c"), *own)
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", *target, "-o", program, *sources],
        env={"PYTHONPATH": str(ziglang), "ZIG_GLOBAL_CACHE_DIR": str(tmp_path), "ZIG_LOCAL_CACHE_DIR": str(tmp_path)},
        check=True,
        timeout=600,
    )
    emulator = () if build.host().triple.startswith(machine) else (f"qemu-{machine}-static",)
    if any(shutil.which(name) is None for name in emulator):
        raise ProgramMissing(f"no {emulator[0]}: bits on {machine} are compared where it is", is_packaged=False)
    said = subprocess.run([*emulator, program], check=True, capture_output=True, text=True, timeout=600).stdout
    assert dict(zip(FUNCTIONS, map(int, said.split()), strict=True)) == BITS
