"""The runtime for files: events through the core, time taken from the events."""
