"""What comes in, a module for each topic; `table` lists them, and everything that has to do with inputs walks it."""
