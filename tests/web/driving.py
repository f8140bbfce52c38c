"""Pages in a real browser: what a person would do there, and what the pages hold afterwards."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from html import unescape
from pathlib import Path
from typing import Any, Final

from tests.support.programs import find_program

SOURCES: Final = Path(__file__).with_name("browser")
PATIENCE_SECONDS: Final = 600


@dataclass(frozen=True)
class Visit:
    """A page that is opened, and what is done there; see `browser/drive.mjs`."""

    url: str
    width: int = 1_280
    scheme: str = "light"
    actions: list[dict[str, Any]] = field(default_factory=list)
    axe: bool = False
    screenshot: str | None = None


@dataclass(frozen=True)
class Found:
    """What a page holds."""

    raw: dict[str, Any]

    @property
    def html(self) -> str:
        return str(self.raw["html"])

    @cached_property
    def text(self) -> str:
        return text_of(self.html)

    @property
    def errors(self) -> list[str]:
        return list(self.raw["errors"])

    @property
    def downloads(self) -> list[dict[str, str]]:
        return list(self.raw["downloads"])

    def section(self, title: str) -> str:
        """The part under a heading."""
        parts = re.findall(r'<section class="card".*?</section>', self.html, re.DOTALL)
        (part,) = [part for part in parts if text_of(part).startswith(title)]
        return str(part)

    def rows(self, title: str) -> list[list[str]]:
        """The cells of the tables under a heading, without their head."""
        bodies = "".join(re.findall(r"<tbody[^>]*>(.*?)</tbody>", self.section(title), re.DOTALL))
        rows = re.findall(r"<tr[^>]*>(.*?)</tr>", bodies, re.DOTALL)
        return [[text_of(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows]


def text_of(html: str) -> str:
    """What a person reads of a piece of a page."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))).strip()


class Driver:
    """Chromium behind Playwright, as Debian and npm bring them.

    Parameters
    ----------
    folder
        Where npm installs; it must not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self._node, npm = find_program("node"), find_program("npm")
        self._chromium = find_program("chromium")
        shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("node_modules"))
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        self._folder = folder

    def visit(self, *visits: Visit) -> list[Found]:
        """Make visits one after the other, each as a new person."""
        plan = {"chromium": self._chromium, "visits": [vars(visit) for visit in visits]}
        done = subprocess.run(
            [self._node, "drive.mjs"],
            cwd=self._folder,
            input=json.dumps(plan),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [Found(raw) for raw in json.loads(done.stdout)]
