from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import AddressRefused, ConfigurationError
from stream_app.webhooks.addresses import Resolver, is_callable, parse_networks


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",  # metadata of most clouds
        "100.100.100.200",  # Alibaba's
        "192.0.0.192",  # Oracle's
        "168.63.129.16",  # Azure's
        "fd00:ec2::254",  # AWS's
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "240.0.0.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo's 127.0.0.1
    ],
)
def test_address_inside_is_refused_however_it_is_written(address: str) -> None:
    assert not is_callable(ip_address(address), ())


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07::1", "64:ff9b::808:808"])
def test_public_address_may_be_called(address: str) -> None:
    assert is_callable(ip_address(address), ())


def test_network_that_is_allowed_may_be_called_and_no_other() -> None:
    allowed = parse_networks("10.1.0.0/16, fd12::/16")
    assert is_callable(ip_address("10.1.2.3"), allowed)
    assert is_callable(ip_address("::ffff:10.1.2.3"), allowed)
    assert is_callable(ip_address("fd12::1"), allowed)
    assert not is_callable(ip_address("10.2.0.1"), allowed)
    with pytest.raises(ConfigurationError, match=r"'10\.1\.0\.1/16', expected a network"):
        parse_networks("10.1.0.1/16")


@given(st.ip_addresses(v=4))
def test_no_way_of_writing_an_ipv4_address_in_ipv6_makes_it_callable(address: Any) -> None:
    for text in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert is_callable(ip_address(text), ()) == is_callable(address, ())


def test_only_the_addresses_that_were_checked_are_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter((["127.0.0.1", "8.8.8.8", "8.8.8.8"], ["127.0.0.1"]))

    def look_up(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in next(answers)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    async def play() -> None:
        resolver = Resolver("rebinding.example", 443, ())
        try:
            assert await resolver.addresses() == ("8.8.8.8",)
            assert await resolver.addresses() == ("8.8.8.8",)  # not looked up again
            resolver.forget()
            with pytest.raises(AddressRefused):
                await resolver.addresses()
        finally:
            resolver.close()

    asyncio.run(play())
