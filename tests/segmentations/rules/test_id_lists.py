"""Lists of customers by the hashes of their ids."""

from __future__ import annotations

import base64

import pytest

from stream_app.errors import ModelInvalid
from stream_app.segmentations.rules.id_lists import IdList


def test_list_has_its_ids_and_no_others() -> None:
    found = IdList.decode(IdList.of(["ada", "grace", "ada"]).encode())
    assert len(found) == 2
    assert [each in found for each in ("ada", "grace", "zoe", 5)] == [True, True, False, False]
    assert "ada" not in IdList.of([])


@pytest.mark.parametrize("data", [b"1234567", bytes(16), bytes([2, *bytes(7), 1, *bytes(7)])])
def test_what_is_no_ascending_list_of_hashes_is_refused(data: bytes) -> None:
    with pytest.raises(ModelInvalid, match="expected ascending hashes of 8 bytes"):
        IdList.decode(base64.b64encode(data).decode())
