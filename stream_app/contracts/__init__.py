"""What goes in and out: the one definition of a valid record, its decoding, and the published schemas."""
