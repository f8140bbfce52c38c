"""Kafka and everything else outside the process: one concern a file."""
