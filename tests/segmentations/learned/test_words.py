"""Numbers as people say them."""

from __future__ import annotations

import math

import pytest

from stream_app.core.moves import MigrationContext
from stream_app.segmentations.learned.words import about, days, once_in


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (days(0.2), "less than a day"),
        (days(0.9), "1 day"),
        (days(1.4), "1 day"),
        (days(11.6), "12 days"),
        (once_in(-math.log(40.2)), "once in 40 days"),
        (once_in(-math.log(1.2)), "once a day"),
        (once_in(2.0), "once a day"),
        (once_in(-50.0), "once in 2000 days"),
        (about(44.6, MigrationContext()), "about 45 EUR"),
        (about(4.5, MigrationContext()), "about 4.50 EUR"),
        (about(4.5126, MigrationContext("KWD", 1000)), "about 4.513 KWD"),
        (about(4.0, MigrationContext("JPY", 1)), "about 4 JPY"),
    ],
)
def test_number_is_told_as_people_say_it(told: str, words: str) -> None:
    assert told == words
