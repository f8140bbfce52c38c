"""Amounts are whole minor units of a currency everywhere; people see major units."""

from __future__ import annotations


def minor_digits(minor_per_major: int) -> int:
    """Return how many decimals an amount in major units has: 2 where a hundred minor units make one, 0 for yen."""
    return len(str(minor_per_major)) - 1
