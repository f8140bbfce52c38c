"""Kinds that the compiled library does not know: it asks them in Python, one customer at a time.

Some microseconds a question, so it is for kinds that are being tried out, and for tests. What an answer raises cannot
pass through the library: Python reports it, and the customer stays where it is.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, cast

import numpy as np

from stream_app.core.columns import CustomerColumns
from stream_app.core.segmentation import Decision, Held, Segmentation
from stream_app.native.segmentations import FOREIGN, HasNativeForm, NativeForm, NativeSegmentation
from stream_app.native.structures import ACTIVITY_DTYPE, DECISION_DTYPE, DUE_DTYPE, HELD_DTYPE

_P, _Q = ctypes.c_void_p, ctypes.c_int64
_ACTS: Final = ctypes.CFUNCTYPE(None, _P, _Q, _P, _P)
_SILENCE: Final = ctypes.CFUNCTYPE(None, _P, _P, _Q, _Q, _P)


class Foreign:
    """What a kind inherits that answers `acts`, `silence` and `revise` in Python; see `Segmentation`."""

    is_ruled: Final = False
    warn_before_ms: Final = 0

    @cached_property
    def compiled(self) -> NativeSegmentation:
        """The version as the library asks it."""
        return NativeSegmentation(cast(HasNativeForm, self))

    @cached_property
    def _callbacks(self) -> tuple[Any, ...]:
        asked = cast(Segmentation, self)
        return (
            _ACTS(lambda *arguments: self._decide(asked.acts, *arguments)),
            _SILENCE(self._stay_silent),
            _ACTS(lambda *arguments: self._decide(asked.revise, *arguments)),
        )

    def native_form(self) -> NativeForm:
        """Return where the library finds the answers; they live as long as this object."""
        pointers = [ctypes.cast(callback, ctypes.c_void_p).value or 0 for callback in self._callbacks]
        return NativeForm(FOREIGN, np.array(pointers, np.uintp).tobytes())

    def _decide(
        self, ask: Callable[[CustomerColumns, Held], Decision], activity: int, at_ms: int, held: int, out: int
    ) -> None:
        customers = CustomerColumns(_read(activity, ACTIVITY_DTYPE), np.array([at_ms], np.int64))
        decision = ask(customers, Held.of(_read(held, HELD_DTYPE)))
        _write(out, np.array([(decision.target.item(), decision.moves.item())], DECISION_DTYPE))

    def _stay_silent(self, activity: int, held: int, after_ms: int, by_ms: int, out: int) -> None:
        after = np.array([after_ms], np.int64)
        customers = CustomerColumns(_read(activity, ACTIVITY_DTYPE), after)
        asked = cast(Segmentation, self)
        due = asked.silence(customers, Held.of(_read(held, HELD_DTYPE)), after, np.array([by_ms], np.int64))
        _write(out, np.array([(due.at_ms.item(), due.target.item(), 0)], DUE_DTYPE))


def _read(address: int, dtype: np.dtype[Any]) -> np.ndarray:
    return np.frombuffer(ctypes.string_at(address, dtype.itemsize), dtype)


def _write(address: int, record: np.ndarray) -> None:
    ctypes.memmove(address, record.tobytes(), record.nbytes)
