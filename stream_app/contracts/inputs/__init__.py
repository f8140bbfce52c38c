"""The input topics, a module for each; `table` lists them, and everything that has to do with inputs walks it."""
