"""The compiled library, `native/` in the repository: loading it, and the structures that it shares with Python."""
