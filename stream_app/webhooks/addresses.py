"""Which addresses may be called, and resolving names to them.

A URL can name anything, and this process runs inside the network: without a check it would carry requests to cloud
metadata, databases and admin pages (server-side request forgery). The check is of the *address*, after
resolving, and the connection goes to that very address: a name that resolves otherwise a moment later ("DNS
rebinding") changes nothing.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from stream_app.errors import AddressRefused, ConfigurationError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

REFUSED: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "100.64.0.0/10",  # shared address space (RFC 6598), with Alibaba's metadata
        "168.63.129.16/32",  # Azure's metadata: a public address, by its range
        "192.0.0.0/24",  # protocol assignments (RFC 6890), with Oracle's metadata
        "192.88.99.0/24",  # relays of 6to4, deprecated (RFC 7526)
        "224.0.0.0/4",  # multicast, some of which Python counts as global
        "240.0.0.0/4",
        "fec0::/10",  # site-local, deprecated (RFC 3879)
        "ff00::/8",
    )
)
"""Beyond the ones that `ipaddress` does not count as global, which depend on Python's version."""
NAT64: Final = ip_network("64:ff9b::/96")
"""The last four bytes are an IPv4 address (RFC 6052)."""
RESOLVED_SECONDS: Final = 30.0
"""An answer is used for this long; a lookup for each request would make the name server the bottleneck."""
ADDRESSES_MAX: Final = 4
"""Most addresses that are tried in turn."""


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a list that is separated by commas.

    Raises
    ------
    ConfigurationError
        If a part is not a network.
    """
    networks = []
    for part in text.split(","):
        if word := part.strip():
            try:
                networks.append(ip_network(word))
            except ValueError:
                raise ConfigurationError(
                    f"setting webhooks.allowed_networks: {word!r}, expected a network such as 10.1.0.0/16"
                ) from None
    return tuple(networks)


def is_callable(address: Address, allowed: Sequence[Network]) -> bool:
    """Return whether an address is on the public internet, or explicitly allowed."""
    embedded = _embedded(address)
    if embedded is not None:
        return is_callable(embedded, allowed)
    if any(address in network for network in allowed):
        return True
    return address.is_global and not any(address in network for network in REFUSED)


def _embedded(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to an IPv6 address end up at, if there is one in it."""
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in NAT64 else None


class Resolver:
    """Turns one host into addresses that may be called.

    It has a thread of its own: a name server that does not answer holds up nobody else.

    Parameters
    ----------
    host
        A name, or an address.
    port
        To connect to.
    allowed
        Networks that may be called though they are not public.
    """

    def __init__(self, host: str, port: int, allowed: Sequence[Network]) -> None:
        self._host = host
        self._port = port
        self._allowed = allowed
        self._found: tuple[str, ...] = ()
        self._expires_at = 0.0
        self._lookup = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "resolver")

    async def addresses(self) -> tuple[str, ...]:
        """Return the addresses that may be called, at least one.

        Raises
        ------
        AddressRefused
            If no address found may be called.
        OSError
            If the name cannot be resolved.
        """
        async with self._lookup:
            if time.monotonic() >= self._expires_at:
                self._found = await self._resolve()
                self._expires_at = time.monotonic() + RESOLVED_SECONDS
        return self._found

    def forget(self) -> None:
        """Look the name up again next time: nothing answered at its address."""
        self._expires_at = 0.0

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _resolve(self) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, self._look_up)
        addresses = [ip_address(text) for text in found]
        callable_ones = [str(address) for address in addresses if is_callable(address, self._allowed)]
        if not callable_ones:
            raise AddressRefused("address not allowed")
        return tuple(callable_ones[:ADDRESSES_MAX])

    def _look_up(self) -> list[str]:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))
