"""Definitions by rules → one program for the compiled library, see `native/program.h`."""
