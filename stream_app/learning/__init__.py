"""Learning segments from samples of the population; the only place that imports River."""
