"""Commands of `segmenter` that have a file of their own, one a file or a group of them."""
