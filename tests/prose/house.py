"""The house list: words and turns that read as translated, each with what to write instead; `make lint` looks for them.

Prose is what people read: pages, docstrings, comments, messages, descriptions. Code is not: names between backticks,
blocks of code, and fields of f-strings are left out. A turn that is right in its place is allowed there by `ALLOWED`.
`python -m tests.prose.house` prints what it finds, a line each, and ends with 1 if that is anything.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.replays import ROOT

PAGES: Final = (
    "README.md",
    "CONTRIBUTING.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "docs/*.md",
    "deploy/**/*.yml",
    "deploy/**/*.yaml",
    "docker-compose.yml",
)
SWEPT: Final = (
    "deploy/**/*.py",
    *(
        f"stream_app/{folder}/**/*.py"
        for folder in (
            "adapters",
            "api",
            "audit",
            "contracts",
            "core",
            "learning",
            "replay",
            "report",
            "segmentations",
            "settings",
            "simulator",
            "sources",
            "view",
            "webhooks",
            "worker",
        )
    ),
)
"""Code whose words have been gone through; what joins this list stays on it."""


class Turn(NamedTuple):
    """A turn to avoid.

    Attributes
    ----------
    pattern
        A regular expression.
    instead
        What to write.
    """

    pattern: str
    instead: str


TURNS: Final = (
    Turn(r"\b[Tt]old\b", "published, reported, given, said to"),
    Turn(r"(?<!there )\b(?:is|are|was|were) none\b", "is not one, does not exist"),
    Turn(r"\b(?:for|in|within|after|at least|at most|up to) so (?:long|many|much)\b", "for this long, this many"),
    Turn(r"\b[Ss]o (?:long|many|much) (?:as|of|more|records|words|bytes|texts)\b", "as long as, this many"),
    Turn(r"\bany more\b", "no longer"),
    Turn(r"\b(?:goes|went|going|go) on (?=[a-z])(?!topic)", "continues"),
    Turn(r"\bfor ever\b", "without end, for good"),
    Turn(r"\b[Ww]hoever\b", "anyone who, customers who"),
    Turn(r"\banew\b", "again"),
    Turn(r"\bas of late\b", "recently"),
    Turn(r"\bstands twice\b|\bstand together\b|\bnames stand\b", "occurs twice, are combined"),
    Turn(r"\b(?:lies?|lay) (?:in|on) (?:a|the|its|their|these)\b", "is in, is on"),
    Turn(r"\bstands? (?:in|on) (?:a|an|the|its|their|these|it)\b", "is in, is on"),
    Turn(r"\b(?:stands?|comes?|or) behind (?:it|them|the (?:command|name|others))\b", "follows, after"),
    Turn(r"\bbelongs? into\b", "belongs in"),
    Turn(r"\bmend(?:s|ed)?\b", "correct, repair"),
    Turn(r"\b[Ww]hat is (?:told|said|meant)\b", "name the thing"),
    Turn(r"\bas the case (?:may be|is)\b", "as appropriate"),
    Turn(r"\bthere is no (?:\w+ ){0,3}any more\b", "no longer exists"),
    Turn(r"\bis not looked at any\b", "is no longer looked at"),
    Turn(r"\bbehind the name of\b", "after"),
    Turn(r"\bof whom (?:there|it|nothing|the)\b", "whose, with, about whom"),
    Turn(r"\b(?:hereby|thereby|whereby|wherein|therein|thereof)\b", "by it, in it"),
    Turn(r"\bhang(?:s)? on\b", "depends on"),
    Turn(r"\bgoes about it\b", "works"),
    Turn(r"\bthe least\. ", "the minimum"),
    Turn(r"\bmust be had\b|\bcannot be had\b|\bcan be had\b", "is available"),
)
ALLOWED: Final[dict[str, tuple[str, ...]]] = {
    "stream_app/core/trust.py": ("    anew\n        Indices",),  # the name of a field
    "stream_app/api/scripts.py": ("'told'",),  # a key in Redis
    "stream_app/api/segment_lists.py": ("    told\n",),  # a parameter
    "stream_app/replay/history.py": ('"told"',),  # a key of its state
    "stream_app/sources/staging.py": ('f"mended{file.number}.csv"',),  # a file's name
    "stream_app/adapters/view_schema.py": ('+ "told"',),  # a key in Redis
    "stream_app/view/scripts.py": (".. 'told'",),
    "stream_app/view/target.py": ("        told\n",),  # a parameter
}
"""Turns that are right, by file: exact pieces of its text."""


class Finding(NamedTuple):
    """A turn that was found."""

    path: str
    line: int
    found: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found!r}, write: {self.instead}"


def files() -> Iterator[Path]:
    """Yield the files whose words are looked at."""
    for pattern in (*PAGES, *SWEPT):
        yield from sorted(ROOT.glob(pattern))


def prose_of_code(text: str) -> Iterator[tuple[int, str]]:
    """Yield comments and strings with the line that each begins in; what f-strings compute is left out."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
        elif token.type == tokenize.STRING or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
            is_formatted = re.match(r"[A-Za-z]*[fF]", token.string) is not None
            yield token.start[0], re.sub(r"\{[^{}]*\}", "…", token.string) if is_formatted else token.string


def prose_of_page(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page, without blocks of code."""
    text = re.sub(r"^```.*?^```$", lambda found: "\n" * found[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)
    yield from ((number, "" if line.startswith("    ") else line) for number, line in enumerate(text.splitlines(), 1))


def findings_in(path: str, text: str) -> Iterator[Finding]:
    """Yield what one file holds of the list."""
    for piece in ALLOWED.get(path, ()):
        text = text.replace(piece, "…")
    parts = prose_of_code(text) if path.endswith(".py") else prose_of_page(text)
    for line, part in parts:
        plain = re.sub(r"``?[^`]*``?", "…", part)
        for turn in TURNS:
            for found in re.finditer(turn.pattern, plain):
                yield Finding(path, line + plain[: found.start()].count("\n"), found[0], turn.instead)


def findings(paths: Iterable[Path] | None = None) -> Sequence[Finding]:
    """Return all findings, in order."""
    chosen = files() if paths is None else paths
    return [finding for path in chosen for finding in findings_in(str(path.relative_to(ROOT)), path.read_text("utf-8"))]


if __name__ == "__main__":
    found = findings()
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(1 if found else 0)
