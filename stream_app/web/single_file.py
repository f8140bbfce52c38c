"""All pages and their data as one file of HTML that opens offline and can ask nobody for anything.

A content security policy in the file allows the scripts and styles in it by their digests and nothing else: no other
script, no request, no form, no frame. The data are no script: they are JSON, compressed, in letters and digits, so
nothing in them can end their element, and the pages set text only as text.

Modules within one file cannot import each other without an address. So they are laid end to end, each behind what it
imports, and each becomes a function that is called at once and returns what it exports. That takes modules that are
written as these are: an import stands on a line of its own and names what it wants, an export stands before what it
exports, and there are no circles.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from string import Template
from typing import Final

FILE_NAME: Final = "report.html"
"""What the file is called among a replay's outputs."""
ENTRY: Final = "file.js"
STYLES: Final = ("assets/tokens.css", "vendor/uplot/uPlot.min.css", "assets/pages.css")
LIBRARY: Final = "vendor/uplot/uPlot.iife.min.js"

_IMPORT: Final = re.compile(r'^import (\{[^}]*\}) from "(\.{1,2}/[^"]+)";$', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export ((?:async )?(?:function|class|const) ([A-Za-z_]\w*))", re.MULTILINE)
_CONTENT: Final = re.compile(r'<script type="text/plain" id="content">([A-Za-z0-9+/=]*)</script>')
_COMPRESSION: Final = 9


def compress(data: bytes) -> bytes:
    """Return the document as the file carries it, but for the letters; equal documents give equal bytes."""
    return gzip.compress(data, _COMPRESSION, mtime=0)


def single_file(compressed: bytes, title: str) -> str:
    """Return the file.

    Parameters
    ----------
    compressed
        The document, as JSON that was compressed.
    title
        Of the window.
    """
    root = resources.files(__package__)
    styles = "\n".join(_read(root / path) for path in STYLES)
    library, pages = _read(root / LIBRARY), lay_end_to_end(root / "assets")
    return Template(_read(root / "assets/single_file.html")).substitute(
        policy=_policy(scripts=(library, pages), styles=(styles,)),
        title=title.replace("&", "&amp;").replace("<", "&lt;"),
        styles=styles,
        library=library,
        pages=pages,
        content=base64.b64encode(compressed).decode(),
    )


def lay_end_to_end(assets: Traversable, entry: str = ENTRY) -> str:
    """Return a module and all that it imports, each once and behind what it imports itself, as one script."""
    modules: dict[PurePosixPath, str] = {}
    _collect(assets, PurePosixPath(entry), modules)
    return "\n".join(modules.values())


def content_of(file: str) -> bytes:
    """Return the document that a file carries, compressed; nothing where this is no such file."""
    found = _CONTENT.search(file)
    return b"" if found is None else base64.b64decode(found[1])


def _collect(assets: Traversable, path: PurePosixPath, modules: dict[PurePosixPath, str]) -> None:
    text = _read(assets / str(path))
    imports = [(names, _resolve(path, target)) for names, target in _IMPORT.findall(text)]
    for _, target in imports:
        if target not in modules:
            _collect(assets, target, modules)
    given = "\n".join(f"const {names} = {_variable(target)};" for names, target in imports)
    exported = ", ".join(name for _, name in _EXPORT.findall(text))
    body = _EXPORT.sub(r"\1", _IMPORT.sub("", text)).strip()
    modules[path] = f"const {_variable(path)} = (() => {{\n{given}\n{body}\nreturn {{ {exported} }};\n}})();"


def _variable(path: PurePosixPath) -> str:
    return "module_" + re.sub(r"\W", "_", str(path.with_suffix("")))


def _resolve(path: PurePosixPath, imported: str) -> PurePosixPath:
    parts = list(path.parent.parts)
    for part in PurePosixPath(imported).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return PurePosixPath(*parts)


def _read(path: Traversable) -> str:
    return path.read_text(encoding="utf-8")


def _policy(scripts: tuple[str, ...], styles: tuple[str, ...]) -> str:
    """Return a policy that allows these texts inside their elements, and nothing else."""

    def digests(texts: tuple[str, ...]) -> str:
        return " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts
        )

    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {digests(scripts)}",
            f"style-src {digests(styles)}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        )
    )
