"""A made population with known truth."""
