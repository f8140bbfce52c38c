"""The only place that wires: settings in, ready objects out.

Concrete classes are chosen here and nowhere else. A process has a module of its own, so that its start imports what it
runs on and nothing else. What several processes share stands below those: how `kafka` and `redis` are reached, and the
rules of `decoding` and `segmentation`.
"""
