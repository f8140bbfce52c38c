"""Exit statuses that the commands share."""

from __future__ import annotations

from typing import Final

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
"""What shells expect of a command that Ctrl-C ended, so that a script does not go on."""
