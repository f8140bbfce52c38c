"""Checks of what a deployment has written, made apart from the code that wrote it."""
