"""Kinds of segmentations, a room each; a kind knows the core and no other kind."""
