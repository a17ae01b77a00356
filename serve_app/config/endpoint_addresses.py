"""
The addresses that an endpoint set at run time may have, or a name may resolve to.

A configuration is written by the operator and may contain any address. The admin API is restricted: an admin
key must not give access to a cloud's metadata service, or make the gateway call itself. Pure: names are
resolved by the caller.
"""

import re
import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

# Addresses at which clouds return credentials, besides the link-local 169.254.169.254 that most of them use.
METADATA = frozenset(
    map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_V4_COMPATIBLE = IPv6Network("::/96")
_SHARED = IPv4Network(
    "100.64.0.0/10"
)  # of carriers and clouds; Python counts it neither as private nor as public
_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}\Z", re.I)


def literal_address(host: str) -> Address | None:
    """
    Return the address that a host is written as; None for a name that must be resolved.

    Accepts all notations of the C library: `2852039166`, `0xa9fea9fe`, `0251.254.169.254`, `127.1`.

    Raises:
        ValueError: the host is a number, but not an address.
    """
    host = host.rstrip(".")
    if ":" in host:
        return IPv6Address(host)
    if not _NUMERIC.match(host):
        return None
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        raise ValueError(f"'{host}' is no address") from None


def is_literal(host: str) -> bool:
    """Return whether a host is an address, or a number that is not a valid one, instead of a name."""
    try:
        return literal_address(host) is not None
    except ValueError:
        return True


def refused_address(address: Address, *, allow_private: bool) -> str | None:
    """Return why the gateway refuses to call this address; None: it does not."""
    for inner in _all_meant_by(address):
        if inner in METADATA or inner.is_link_local:
            return "is link-local, or a cloud's metadata service"
        if inner.is_unspecified:
            return "names no host; on this machine, write 127.0.0.1"
        if inner.is_multicast or (inner.is_reserved and inner is not address) or _is_broadcast(inner):
            return "is no address of one host"
        if not allow_private and (inner.is_private or inner.is_loopback or _is_shared(inner)):
            return "is private, and backends.allow_private is false"
    return None


def is_ours(address: Address, port: int, own: Iterable[Address], ports: Iterable[int]) -> bool:
    """Return whether the gateway itself listens there: on loopback or at an address of its machine."""
    if port not in set(ports):
        return False
    mine = set(own)
    return any(inner.is_loopback or inner in mine for inner in _all_meant_by(address))


def _all_meant_by(address: Address) -> Iterator[Address]:
    """Yield the address, and every IPv4 address embedded in it: mapped, compatible, 6to4, Teredo, NAT64."""
    yield address
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    is_compatible = address in _V4_COMPATIBLE and int(address) > 1  # not `::` and `::1`
    if is_compatible or any(address in network for network in _NAT64):
        yield IPv4Address(int(address) & 0xFFFFFFFF)


def _is_broadcast(address: Address) -> bool:
    return isinstance(address, IPv4Address) and (address == IPv4Address("255.255.255.255"))


def _is_shared(address: Address) -> bool:
    return isinstance(address, IPv4Address) and address in _SHARED
