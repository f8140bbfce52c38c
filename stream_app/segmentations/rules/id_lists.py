"""Lists of customers as definitions carry them: hashes of their ids, so that every worker has the same list.

A list is read where it is configured and travels with each definition that looks at it, in that definition's document.
A customer is known by the XXH3-64 of its id: of a million customers, one is taken for one of a list of 50,000 with a
probability of 1 in 370 million. The ids themselves, which may be personal data, stay in their file.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from stream_app.errors import ModelInvalid

DIGEST_BYTES: Final = 8


@dataclass(frozen=True)
class IdList:
    """Some customers.

    Parameters
    ----------
    digests
        Hashes of their ids, 64 bits each, little-endian, ascending, each once.
    """

    digests: bytes

    @classmethod
    def of(cls, customer_ids: Iterable[str]) -> IdList:
        """Return the list of some ids."""
        hashes = {xxh3_64_intdigest(customer_id.encode()) for customer_id in customer_ids}
        return cls(np.array(sorted(hashes), "<u8").tobytes())

    @classmethod
    def decode(cls, text: str) -> IdList:
        """Return what `encode` wrote.

        Raises
        ------
        ModelInvalid
            If it is no list.
        """
        try:
            found = cls(base64.b64decode(text, validate=True))
        except (binascii.Error, TypeError) as error:
            raise ModelInvalid(f"list of ids: not base64 ({error})") from error
        if len(found.digests) % DIGEST_BYTES or (found.hashes[1:] <= found.hashes[:-1]).any():
            raise ModelInvalid("list of ids: expected ascending hashes of 8 bytes")
        return found

    def encode(self) -> str:
        """Return it as text, base64."""
        return base64.b64encode(self.digests).decode()

    @property
    def hashes(self) -> npt.NDArray[np.uint64]:
        """The hashes of the ids, ascending."""
        return np.frombuffer(self.digests, "<u8")

    def __len__(self) -> int:
        return len(self.digests) // DIGEST_BYTES

    def __contains__(self, customer_id: object) -> bool:
        if not isinstance(customer_id, str):
            return False
        wanted = np.uint64(xxh3_64_intdigest(customer_id.encode()))
        place = int(np.searchsorted(self.hashes, wanted))
        return place < len(self) and bool(self.hashes[place] == wanted)
