from __future__ import annotations

import base64
import gzip
import hashlib
import re
from importlib import resources
from pathlib import Path

import pytest

from stream_app.core.moves import CAUSE_KINDS
from stream_app.web.single_file import compress, lay_end_to_end, single_file

VENDOR = Path(str(resources.files("stream_app.web") / "vendor"))


@pytest.fixture(scope="module")
def page() -> str:
    return single_file(compress(b'{"a": "</script><b>"}'), "A & <b>")


def inside(page: str, tag: str) -> list[str]:
    """Texts of elements that are run or applied."""
    return [
        text for start, text in re.findall(rf"<{tag}([^>]*)>(.*?)</{tag}>", page, re.DOTALL) if "plain" not in start
    ]


def test_the_policy_allows_what_is_in_the_file_and_nothing_else(page: str) -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == "'none'"
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        digests = [
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            for text in inside(page, tag)
        ]
        assert rules.pop(directive).split() == digests
        assert digests
    assert rules == {"base-uri": "'none'", "form-action": "'none'", "require-trusted-types-for": "'script'"}


def test_the_file_names_no_other_file_and_no_host(page: str) -> None:
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", page)
    assert not re.search(r"""(?:fetch\(|XMLHttpRequest|WebSocket|EventSource|import\(|\bstyle=["'])""", page)


def test_data_are_letters_that_no_element_can_end(page: str) -> None:
    (packed,) = re.findall(r'id="content">([^<]*)</script>', page)
    assert gzip.decompress(base64.b64decode(packed)) == b'{"a": "</script><b>"}'


def test_the_title_is_text(page: str) -> None:
    assert "<title>A &amp; &lt;b></title>" in page


def test_a_module_stands_behind_what_it_imports_and_gives_what_it_exports(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "file.js").write_text(
        'import { one } from "./one.js";\nimport { two } from "./deep/two.js";\none(two);\n'
    )
    (tmp_path / "one.js").write_text("function helper() {}\nexport function one() { helper(); }\n")
    (tmp_path / "deep/two.js").write_text(
        'import { one } from "../one.js";\nexport const two = one;\nexport class Three {}\n'
    )
    laid = lay_end_to_end(tmp_path)
    assert "import" not in laid
    assert "export" not in laid
    order = re.findall(r"^const (module_\w+) =", laid, re.MULTILINE)
    assert order == ["module_one", "module_deep_two", "module_file"]
    assert "const { one } = module_one;" in laid
    assert "return { two, Three };" in laid


def test_every_import_and_export_of_the_pages_is_understood() -> None:
    laid = lay_end_to_end(Path(str(resources.files("stream_app.web") / "assets")))
    assert not re.findall(r"^\s*(?:import|export)\b.*", laid, re.MULTILINE)


def test_what_is_vendored_is_what_was_published() -> None:
    listed = dict(reversed(line.split("  ")) for line in (VENDOR / "checksums.txt").read_text("utf-8").splitlines())
    there = {path.relative_to(VENDOR).as_posix() for path in VENDOR.glob("*/*")}
    assert set(listed) == there
    for name, digest in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
    assert {Path(name).parent.name for name in listed if Path(name).name == "LICENSE"} == {"uplot"}


@pytest.mark.parametrize("table", ["CAUSE_NAMES", "CAUSE_COLOURS"])
def test_every_cause_of_a_move_has_a_name_and_a_colour(table: str) -> None:
    text = (resources.files("stream_app.web") / "assets" / "pages" / "movements.js").read_text("utf-8")
    (entries,) = re.findall(rf"const {table} = {{(.*?)}};", text, re.DOTALL)
    assert set(re.findall(r"(\w+): ", entries)) == set(CAUSE_KINDS)
