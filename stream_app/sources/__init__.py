"""Where events come from: files of any form, made records of our contracts by mappings.

A file goes through four stages, each in modules of its own:

1. `forms` looks at it: packing, encoding, form, delimiter, preamble, header. Never by its name.
2. `mapping` says what its columns mean: a preset, a source of a `sources.yaml`, or what `generic` makes of a header.
3. `loading` lets DuckDB read all cells as text, cast, group, join and sort; what comes out are lines of JSON that keep
   our contracts, in order of time, each with the number of its file and row.
4. `files` decodes these lines as if they came from Kafka, so that one place says what is valid.

The interface::

    sources = load_sources(Path("sources.yaml")) | load_presets()     # mapping: Source by name
    look = look_at(path)                                               # forms
    file = InputFile(0, path.name, sources["shopify"], "shopify", look)
    with Loading([file], LoadingOptions(zone="Europe/Berlin")) as loading:
        for block in loading.lines():                                  # in order of time
            for topic, text, error, file_number, row in block:         # text: JSON; error: why it is refused, if so
                ...

`InputFile.frame` takes a pandas, Polars or Arrow table in place of a file, with `frame_look(table)` as its look.
`recognise(look_at(path), sources)` names the sources that fit a file, the best one first.
"""
