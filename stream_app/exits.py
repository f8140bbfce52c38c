"""With which status a command ends; docs/commands.md has the same table with what to do about each."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a supervisor or a script may go by."""

    DONE = 0
    """All is done, or SIGTERM or SIGINT ended a service."""
    FAILED = 1
    """The start was right, and something outside or in the data stopped it: the same start may succeed later."""
    REFUSED = 2
    """A setting, option, file or topic is missing or wrong: starting again does not help."""
    DOUBT = 70
    """EX_SOFTWARE of sysexits.h: a service cannot know what was written, and a restart finds out."""
    INTERRUPTED = 130
    """Ctrl-C ended a command before it was done; shells expect this, so that a script stops as well."""
