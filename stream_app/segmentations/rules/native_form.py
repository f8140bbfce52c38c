"""Rules as the compiled library needs them: one decision diagram, see `native/rules.c`.

Each step tests one comparison and names where to go on if it is true and if it is false: a later step, or a target.
"""

from __future__ import annotations

from typing import Final, get_args

import numpy as np

from stream_app.native.segmentations import RULES, NativeForm
from stream_app.segmentations.rules.definition import (
    OPERATORS,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Figure,
    RulesConfiguration,
)

FORMAT: Final = 1
_FIGURES: Final[tuple[Figure, ...]] = get_args(Figure)
"""In the order of the library's numbers, as are the operators."""
_HEADER_DTYPE: Final = np.dtype([(name, "<i4") for name in ("format", "comparisons", "steps", "reserved")])
_COMPARISON_DTYPE: Final = np.dtype([("figure", "<i4"), ("operator", "<i4"), ("value", "<f8")])
_STEP_DTYPE: Final = np.dtype([(name, "<i4") for name in ("comparison", "if_true", "if_false")])


class _Diagram:
    """Steps from the last one to the first, so that where a step leads is known when it is added.

    A way ≥ 0 is the number of a step in this order; a way < 0 is -1 - target.
    """

    def __init__(self) -> None:
        self._comparisons: dict[tuple[int, int, float], int] = {}
        self._steps: list[tuple[int, int, int]] = []

    def lead(self, condition: Condition, if_true: int, if_false: int) -> int:
        """Return the way that begins with a condition and goes on as it says."""
        match condition:
            case Comparison():
                return self._add(condition, if_true, if_false)
            case AllOf(all=parts):
                for part in reversed(parts):
                    if_true = self.lead(part, if_true, if_false)
                return if_true
            case AnyOf(any=parts):
                for part in reversed(parts):
                    if_false = self.lead(part, if_true, if_false)
                return if_false
            case _:
                return self.lead(condition.negated, if_false, if_true)

    def _add(self, comparison: Comparison, if_true: int, if_false: int) -> int:
        key = (_FIGURES.index(comparison.figure), list(OPERATORS).index(comparison.operator), comparison.value)
        number = self._comparisons.setdefault(key, len(self._comparisons))
        self._steps.append((number, if_true, if_false))
        return len(self._steps) - 1

    def encode(self) -> bytes:
        last = len(self._steps) - 1
        steps = [(each, *(way if way < 0 else last - way for way in ways)) for each, *ways in reversed(self._steps)]
        header = np.array((FORMAT, len(self._comparisons), len(steps), 0), _HEADER_DTYPE)
        comparisons = np.array(list(self._comparisons), _COMPARISON_DTYPE)
        return header.tobytes() + comparisons.tobytes() + np.array(steps, _STEP_DTYPE).tobytes()


def rules_form(definition: RulesConfiguration) -> NativeForm:
    """Return what rules are made of."""
    diagram = _Diagram()
    way = -1 - len(definition.segments)
    for target in range(len(definition.segments) - 1, -1, -1):
        way = diagram.lead(definition.segments[target].when, -1 - target, way)
    return NativeForm(RULES, diagram.encode())
