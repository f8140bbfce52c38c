"""A streaming customer segmenter: events in, segment migrations out."""
