"""Where a replay reads its events from."""
