"""Segments that are learned from the population."""
