"""Segments that are defined by conditions."""
