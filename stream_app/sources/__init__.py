"""Where events come from: files of any form, made records of our contracts by mappings.

A file goes through four stages, each in modules of its own:

1. `forms` looks at it: packing, encoding, form, delimiter, preamble, header. Never by its name.
2. `mapping` says what its columns mean: a preset, a source of a `sources.yaml`, or what `generic` makes of a header.
3. `loading` lets DuckDB read all cells as text, cast, group, join and sort; what comes out are lines of JSON that keep
   our contracts, in order of time, each with the number of its file and row.
4. `files` decodes these lines as if they came from Kafka, so that one place says what is valid.

The interface::

    sources = load_sources(Path("sources.yaml")) | load_presets()          # mapping: name -> Source
    inputs = [InputFile(path, number, name, source, source_name)]           # loading: what to read and how
    with Loading(inputs, options) as loading:                               # loading
        for block in loading.blocks():                                      # in order of time
            block.lines, block.topics, block.files, block.rows              # bytes of JSON lines, arrays (n,)
        loading.refusals, loading.notes                                     # broken rows; counts of guests and the like

`InputFile.frame` takes a pandas, Polars or Arrow table in place of a file. `recognise(look_at(path), sources)` names the
sources that fit a file, the best one first.
"""
