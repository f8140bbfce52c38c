"""The runtime without a server: files in, files out, time taken from the events."""
