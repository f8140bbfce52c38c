"""Settings of all tests: properties are drawn alike in every run, and no test depends on the machine's speed."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("deterministic")
