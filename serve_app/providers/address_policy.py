"""
Which addresses connections to upstreams may lead to.

A name that was harmless when an operator set it may lead to a cloud's metadata service a minute later. So the
address itself is looked at, where its socket is made and after the last look into the DNS. A connection that
is used again costs nothing.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import urlsplit

from serve_app.config.endpoint_addresses import Address, is_ours, literal_address, refused_address
from serve_app.config.settings import Settings

AddressInfo = tuple[Any, Any, int, str, Any]
"""Family, type, protocol, name and socket address, as `getaddrinfo` has them."""


class AddressRefused(OSError):
    """
    A connection was about to lead to an address that the gateway calls nobody at.

    Its text is about the kind of address, so that it can be told; the address is for the log alone.
    """

    def __init__(self, why: str, address: Address) -> None:
        super().__init__(why)
        self.why = why
        self.address = address


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """
    Which addresses connections may lead to.

    As it stands, what a name in the operator's file may lead to: anything but link-local addresses, metadata
    services and what is no host's. `written` are addresses that the file spells out, which are never refused.
    `own_ports` are the gateway's own, on this machine.
    """

    written: frozenset[Address] = frozenset()
    allow_private: bool = True
    own_ports: frozenset[int] = frozenset()

    @classmethod
    def of_file(cls, *urls: str | None) -> Self:
        """Return what these addresses of the operator's file may lead to."""
        return cls(frozenset(spelt for url in urls if url and (spelt := _spelt_by(url)) is not None))

    def why_not(self, address: Address, port: int) -> str | None:
        """Return why the gateway connects to nobody there; None where it may."""
        if address in self.written:
            return None
        if why := refused_address(address, allow_private=self.allow_private):
            return why
        if port in self.own_ports:
            own = [address] if _is_of_this_machine(address) else []
            if is_ours(address, port, own, self.own_ports):
                return "is the gateway's own"
        return None

    def check(self, info: AddressInfo) -> None:
        """Raise AddressRefused for an address that a socket is about to be made for."""
        host, port, *_ = info[4]
        address = ip_address(host)
        if why := self.why_not(address, port):
            raise AddressRefused(why, address)

    def socket_for(self, info: AddressInfo) -> socket.socket:
        """Return a socket for an address; raises AddressRefused."""
        self.check(info)
        family, kind, protocol, _, _ = info
        return socket.socket(family, kind, protocol)


DEFAULT_ADDRESS_POLICY = AddressPolicy()
"""What holds where nobody said more."""


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """
    What holds for calls that go elsewhere than where their provider is configured.

    `address_policy` is for endpoints set at run time. `written` is the endpoint of the operator's file,
    which is trusted as a `base_url` is.
    """

    written: str | None = None
    address_policy: AddressPolicy = DEFAULT_ADDRESS_POLICY

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what the configuration allows."""
        backends = settings.backends
        run_time = AddressPolicy(allow_private=backends.allow_private, own_ports=frozenset({settings.port}))
        return cls(backends.api_base, run_time)

    def address_policy_for(self, api_base: str) -> AddressPolicy:
        """Return where calls to this address may lead."""
        return AddressPolicy.of_file(api_base) if api_base == self.written else self.address_policy


DEFAULT_ENDPOINT_POLICY = EndpointPolicy()


def refused_address_in(error: BaseException | None) -> AddressRefused | None:
    """Return the refused address that an error of an HTTP client came from, if one is what it came from."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, AddressRefused):
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None


def _spelt_by(url: str) -> Address | None:
    """The address that the host of a URL spells; None for a name, and for what is neither."""
    try:
        return literal_address(urlsplit(url).hostname or "")
    except ValueError:
        return None


def _is_of_this_machine(address: Address) -> bool:
    """Whether packets to it would come from it; nothing is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    towards: Sequence[Any] = (str(address), 9)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(tuple(towards))
            return ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False
