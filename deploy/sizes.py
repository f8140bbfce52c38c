"""How large the installed packages of each role are: its lock, installed into a folder of its own and then removed.

`make sizes` prints the table of docs/deployment.md. The package itself is in none of the figures, nor is Python.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LOCKS: Final = ("worker", "view", "api", "webhooks", "replay", "runtime")
"""In `requirements/`; `runtime` is all of them."""
_PINNED: Final = re.compile(r"^[a-z0-9][a-z0-9.-]*==", re.MULTILINE)


def installed_bytes(lock: Path) -> int:
    """Return how many bytes of files a lock installs, with their bytecode, as an image has them."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"),
                *("--require-hashes", "--only-binary=:all:", "--target", folder, "-r", str(lock)),
            ],
            check=True,
        )
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def main() -> None:
    """Print a row for each role."""
    print("| role | packages | installed, MB |\n|---|---:|---:|")
    for name in LOCKS:
        lock = ROOT / "requirements" / f"{name}.txt"
        packages = len(_PINNED.findall(lock.read_text("utf-8")))
        role = "all" if name == "runtime" else f"`{name}`"
        print(f"| {role} | {packages} | {installed_bytes(lock) / 1e6:.0f} |", flush=True)


if __name__ == "__main__":
    main()
