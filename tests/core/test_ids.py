from __future__ import annotations

import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.ids import normal_id


def test_all_white_space_of_unicode_is_cut_off_at_both_ends() -> None:
    spaces = "".join(chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace())
    assert normal_id(f"{spaces}a{spaces}b{spaces}") == f"a{unicodedata.normalize('NFC', spaces)}b"


@given(st.text())
def test_normal_form_of_an_id_is_its_own(text: str) -> None:
    normal = normal_id(text)
    assert normal_id(normal) == normal
    assert normal_id(unicodedata.normalize("NFD", text)) == normal
    assert normal_id(f" {text}\ufeff") == normal
