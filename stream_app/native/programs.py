"""Rules in the compiled library: a program for all of them, and the questions about one customer.

Steps ask the questions themselves, customer by customer; `Subject` asks them from here, for tests and for explanations.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_app.native.library import address, function
from stream_app.native.structures import ACTIVITY_DTYPE, FACT_DTYPE, MEMBERSHIP_DTYPE, PLACE_DTYPE, Bytes

SEGMENTATIONS_MAX: Final = 256
"""`SEG_RULES_MAX`: how many one program can have."""
LEDGER_MAX: Final = 61_440
"""`SEG_LEDGER_MAX`: bytes of a customer's series."""
FACTS_MAX: Final = 64
_SERIES_WORDS: Final = 16


class _Shape(ctypes.Structure):
    """`seg_program_shape`."""

    _fields_ = tuple(
        (name, ctypes.c_int32)
        for name in ("segmentations", "words", "since", "reads_activity", "reads_segments", "series")
    )


class _Ledger(ctypes.Structure):
    """`seg_ledger`."""

    _fields_ = (("size", ctypes.c_int64), ("data", ctypes.c_uint8 * LEDGER_MAX))


class Touched(ctypes.Structure):
    """`seg_touched`: what the events of one instant have touched."""

    _fields_ = (
        ("series", ctypes.c_uint64 * _SERIES_WORDS),
        ("any", ctypes.c_int32),
        ("traits", ctypes.c_int32),
        ("activity", ctypes.c_int32),
        ("must_evaluate", ctypes.c_int32),
    )


class _SubjectForm(ctypes.Structure):
    """`seg_subject`."""

    _fields_ = (
        ("activity", ctypes.c_void_p),
        ("ledger", Bytes),
        ("traits", Bytes),
        ("id", Bytes),
        ("places", ctypes.c_void_p),
        ("since_ms", ctypes.c_void_p),
        ("memberships", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
        ("segmentations", ctypes.c_void_p),
    )


class _Due(ctypes.Structure):
    """`seg_due`."""

    _fields_ = (("at_ms", ctypes.c_int64), ("target", ctypes.c_int32), ("reserved", ctypes.c_int32))


@cache
def _functions() -> dict[str, Callable[..., Any]]:
    pointer, size, number, instant = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_int64
    subject, touched = ctypes.POINTER(_SubjectForm), ctypes.POINTER(Touched)
    signatures: dict[str, tuple[Any, ...]] = {
        "new": (pointer, ctypes.c_char_p, size),
        "free": (None, pointer),
        "shape_of": (None, pointer, ctypes.POINTER(_Shape)),
        "note": (number, pointer, pointer, ctypes.c_char_p, instant, number, ctypes.POINTER(_Ledger), touched),
        "may_move": (ctypes.c_bool, pointer, subject, instant, touched, pointer, size, pointer),
        "evaluate": (None, pointer, subject, instant, pointer, pointer, pointer, size, pointer),
        "silence": (_Due, pointer, subject, number, instant, instant),
        "explain": (number, pointer, number, subject, instant, subject, instant, pointer),
    }
    return {name: function(f"seg_program_{name}", *signature) for name, signature in signatures.items()}


class NativeProgram:
    """All rules of a partition in the library. Never changed; may be asked by any number of threads.

    Parameters
    ----------
    form
        See `native/program.h`.
    kept_since
        Names of the segmentations of which it is kept when a customer entered its segment.

    Attributes
    ----------
    handle
        Its `seg_program`; it ends with this object.
    words
        How many times 64 conditions there are.
    shape
        What else a step has to know of it.

    Raises
    ------
    ValueError
        If the library cannot evaluate it.
    """

    def __init__(self, form: bytes, kept_since: Sequence[str] = ()) -> None:
        handle = _functions()["new"](form, len(form))
        if not handle:
            raise ValueError(f"program: {len(form)} bytes, expected a form that the compiled library can evaluate")
        self.handle: Final = int(handle)
        weakref.finalize(self, _functions()["free"], self.handle)
        self.shape: Final = _Shape()
        _functions()["shape_of"](self.handle, self.shape)
        self.words: Final = int(self.shape.words)
        self.kept_since: Final = tuple(kept_since)


class Verdict(NamedTuple):
    """Where a customer belongs.

    Attributes
    ----------
    targets, codes
        Of each segmentation: index of its roster, −1 for none, and the segment's code, 0 for none.
    due_ms
        Silence changes nothing before it.
    """

    targets: list[int]
    codes: list[int]
    due_ms: int


class Subject:
    """One customer as rules see it, for questions from here.

    Parameters
    ----------
    program
        The rules.
    customer_id
        Its id.
    segmentations
        Handles of the segmentations of other kinds, whose memberships conditions may look at.
    """

    def __init__(self, program: NativeProgram, customer_id: str, segmentations: Sequence[int] = ()) -> None:
        self.program = program
        self.activity = np.zeros(1, ACTIVITY_DTYPE)
        for name in ("first_at_ms", "first_purchased_at_ms"):
            self.activity[name] = 2**62
        for name in ("purchased_at_ms", "ordered_at_ms", "engaged_at_ms"):
            self.activity[name] = -(2**62)
        self.places = np.zeros(max(1, program.shape.segmentations), PLACE_DTYPE)
        self.since_ms = np.zeros(max(1, program.shape.since), np.int64)
        self.memberships = np.zeros(max(1, len(segmentations)), MEMBERSHIP_DTYPE)
        self.traits = b""
        self.touched = Touched()
        self.bits = np.zeros(max(1, program.words), np.uint64)
        self._id = customer_id.encode()
        self._ledger = _Ledger()
        self._segmentations = np.array(segmentations or [0], np.uintp)

    @property
    def ledger(self) -> bytes:
        """Its series."""
        return bytes(memoryview(self._ledger.data)[: self._ledger.size])

    def note(self, event: np.ndarray, texts: bytes, now_ms: int) -> int:
        """Enter an event, an `EVENT_DTYPE` of shape `(1,)`, as the first of its order; return the library's status."""
        arguments = address(event), texts, now_ms, 0, self._ledger, self.touched
        return int(_functions()["note"](self.program.handle, *arguments))

    def evaluate(self, now_ms: int) -> Verdict:
        """Return where it belongs at an instant; what was touched is forgotten."""
        count = len(self.places)
        targets, codes, due_ms = np.full(count, -1, np.int32), np.zeros(count, np.int16), np.zeros(1, np.int64)
        outputs = (address(targets), address(codes), address(self.bits), 1, address(due_ms))
        _functions()["evaluate"](self.program.handle, self._form(), now_ms, *outputs)
        self.touched = Touched()
        return Verdict(targets.tolist(), codes.tolist(), int(due_ms[0]))

    def may_move(self, now_ms: int, due_ms: int) -> tuple[bool, int]:
        """Return whether what was touched may change a membership, and the due instant if not."""
        due = np.array([due_ms], np.int64)
        asked = (self._form(), now_ms, self.touched, address(self.bits), 1, address(due))
        return bool(_functions()["may_move"](self.program.handle, *asked)), int(due[0])

    def silence(self, rule: int, after_ms: int, by_ms: int) -> tuple[int, int]:
        """Return when silence first moves it in a segmentation, and where to."""
        due = _functions()["silence"](self.program.handle, self._form(), rule, after_ms, by_ms)
        return int(due.at_ms), int(due.target)

    def explain(self, rule: int, before: Subject | None, before_ms: int, after_ms: int) -> npt.NDArray[np.void]:
        """Return the conditions that differ from those of an earlier state, `FACT_DTYPE`."""
        facts = np.zeros(FACTS_MAX, FACT_DTYPE)
        asked = (rule, before._form() if before else None, before_ms, self._form(), after_ms, address(facts))
        return facts[: _functions()["explain"](self.program.handle, *asked)]

    def copy(self) -> Subject:
        """Return the customer as it is now."""
        twin = Subject.__new__(Subject)
        twin.__dict__.update(self.__dict__)
        for name in ("activity", "places", "since_ms", "memberships", "bits"):
            setattr(twin, name, getattr(self, name).copy())
        twin._ledger = _Ledger.from_buffer_copy(self._ledger)
        twin.touched = Touched.from_buffer_copy(self.touched)
        return twin

    def _form(self) -> _SubjectForm:
        traits = np.frombuffer(self.traits, np.uint8)
        own_id = np.frombuffer(self._id, np.uint8)
        self._kept_alive = (traits, own_id)
        ledger_at = ctypes.addressof(self._ledger) + _Ledger.data.offset
        return _SubjectForm(
            address(self.activity),
            Bytes(ledger_at, self._ledger.size),
            Bytes(address(traits) if len(traits) else None, len(traits)),
            Bytes(address(own_id), len(own_id)),
            address(self.places),
            address(self.since_ms),
            address(self.memberships),
            1,
            address(self._segmentations),
        )
