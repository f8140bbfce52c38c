"""Settings: defaults < a TOML file < `SEGMENTER_…` environment variables < a command's options."""
