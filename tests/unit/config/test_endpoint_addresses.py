"""Which addresses an endpoint that is set at run time may have."""

from ipaddress import IPv4Address, ip_address

import pytest

from serve_app.config.endpoint_addresses import is_ours, literal_address, refused_address

METADATA = "is link-local, or a cloud's metadata service"
NO_HOST = "names no host; on this machine, write 127.0.0.1"
NOT_ONE = "is no address of one host"
PRIVATE = "is private, and backends.allow_private is false"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1.", "10.0.0.1"),
        ("2852039166", "169.254.169.254"),
        ("0xa9fea9fe", "169.254.169.254"),
        ("0XA9FEA9FE", "169.254.169.254"),
        ("0251.254.169.254", "169.254.169.254"),
        ("127.1", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("::1", "::1"),
        ("fd00:ec2::254", "fd00:ec2::254"),
        ("gpu.internal", None),
        ("10.0.0.1.example", None),
        ("1.2.3.4.5", None),
        ("", None),
    ],
)
def test_every_spelling_that_the_c_library_takes_is_read(host: str, address: str | None) -> None:
    assert literal_address(host) == (None if address is None else ip_address(address))


@pytest.mark.parametrize("host", ["256.0.0.1", "4294967296", "1:2", "0x1ffffffff"])
def test_numbers_that_are_no_address_are_refused(host: str) -> None:
    with pytest.raises(ValueError, match=host):
        literal_address(host)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("169.254.169.254", METADATA),
        ("169.254.1.1", METADATA),
        ("100.100.100.200", METADATA),
        ("168.63.129.16", METADATA),
        ("192.0.0.192", METADATA),
        ("fd00:ec2::254", METADATA),
        ("fd20:ce::254", METADATA),
        ("fe80::1", METADATA),
        ("::ffff:169.254.169.254", METADATA),  # mapped
        ("::169.254.169.254", METADATA),  # compatible
        ("2002:a9fe:a9fe::1", METADATA),  # 6to4
        ("64:ff9b::169.254.169.254", METADATA),  # NAT64
        ("64:ff9b:1::169.254.169.254", METADATA),
        ("2001:0:a9fe:a9fe::1", METADATA),  # Teredo, its server
        ("0.0.0.0", NO_HOST),
        ("::", NO_HOST),
        ("::ffff:0.0.0.0", NO_HOST),
        ("224.0.0.1", NOT_ONE),
        ("ff02::1", NOT_ONE),
        ("255.255.255.255", NOT_ONE),
        ("::ffff:255.255.255.255", NOT_ONE),
        ("::ffff:240.0.0.1", NOT_ONE),
    ],
)
def test_some_are_never_called_however_they_are_wrapped(address: str, why: str) -> None:
    assert refused_address(ip_address(address), allow_private=True) == why
    assert refused_address(ip_address(address), allow_private=False) in (why, PRIVATE)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_who_is_public_is_called(address: str) -> None:
    assert refused_address(ip_address(address), allow_private=False) is None
    assert refused_address(ip_address(address), allow_private=True) is None


@pytest.mark.parametrize("address", ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_a_public_address_may_be_wrapped(address: str) -> None:
    assert refused_address(ip_address(address), allow_private=True) is None


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "192.168.1.1", "172.16.0.1", "127.0.0.1", "::1", "fd12::1", "100.64.0.1", "::ffff:10.0.0.1"],
)
def test_who_is_private_is_called_where_that_is_allowed(address: str) -> None:
    assert refused_address(ip_address(address), allow_private=True) is None
    assert refused_address(ip_address(address), allow_private=False) == PRIVATE


@pytest.mark.parametrize(
    ("address", "port", "ours"),
    [
        ("127.0.0.1", 8000, True),
        ("127.9.9.9", 8000, True),
        ("::1", 8000, True),
        ("::ffff:127.0.0.1", 8000, True),
        ("10.0.0.5", 8000, True),
        ("::ffff:10.0.0.5", 8000, True),
        ("10.0.0.6", 8000, False),
        ("10.0.0.5", 8001, False),
        ("127.0.0.1", 8001, False),
    ],
)
def test_the_gateway_does_not_call_itself(address: str, port: int, ours: bool) -> None:
    assert is_ours(ip_address(address), port, [IPv4Address("10.0.0.5")], [8000, 9000]) is ours
