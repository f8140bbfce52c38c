"""Look-ups and the live stream of migrations over HTTP: `segmenter api`, and `segmenter demo --serve`."""
