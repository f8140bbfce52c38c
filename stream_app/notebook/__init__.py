"""The interface for notebooks and scripts, which `import stream_app` offers by the same names.

`segmenter` is the interface, `events` turns a dictionary into a record, `tables` says what `learn_many` takes, and
`frames` makes data frames of results. Segments come about in `stream_app.replay`, as for the `replay` command.
"""
