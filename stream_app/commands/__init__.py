"""The commands of `segmenter`, one a file or a group of them; `stream_app.cli` has the list."""
