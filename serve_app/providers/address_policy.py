"""
The addresses that connections to upstreams may use.

A host name that was harmless when an operator set it may resolve to a cloud's metadata service a minute
later. So the resolved address is checked when its socket is created. A reused connection costs nothing.
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
    A connection would have used an address that the gateway does not call.

    The text names the kind of address and may be shown to callers; `address` is for the log alone.
    """

    def __init__(self, why: str, address: Address) -> None:
        super().__init__(why)
        self.why = why
        self.address = address


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """
    The addresses that connections may use.

    The defaults are for names in the operator's file: anything but link-local addresses, metadata services
    and addresses that belong to no host.

    Fields:
        written: addresses that the file spells out, which are never refused.
        allow_private: whether private addresses may be called.
        own_ports: the gateway's own ports, on this machine.
    """

    written: frozenset[Address] = frozenset()
    allow_private: bool = True
    own_ports: frozenset[int] = frozenset()

    @classmethod
    def of_file(cls, *urls: str | None) -> Self:
        """Return the policy for these URLs of the operator's file."""
        return cls(frozenset(spelt for url in urls if url and (spelt := _spelt_by(url)) is not None))

    def why_not(self, address: Address, port: int) -> str | None:
        """Return why the gateway must not connect to this address; None if it may."""
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
        """Raise AddressRefused unless a socket may be created for this address."""
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
"""The policy where none is configured."""


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """
    The policy for calls to another address than the one configured for their provider.

    Fields:
        written: the endpoint in the operator's file, which is trusted as a `base_url` is.
        address_policy: for endpoints set at run time.
    """

    written: str | None = None
    address_policy: AddressPolicy = DEFAULT_ADDRESS_POLICY

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the policy of a configuration."""
        backends = settings.backends
        run_time = AddressPolicy(allow_private=backends.allow_private, own_ports=frozenset({settings.port}))
        return cls(backends.api_base, run_time)

    def address_policy_for(self, api_base: str) -> AddressPolicy:
        """Return the address policy for calls to this URL."""
        return AddressPolicy.of_file(api_base) if api_base == self.written else self.address_policy


DEFAULT_ENDPOINT_POLICY = EndpointPolicy()


def refused_address_in(error: BaseException | None) -> AddressRefused | None:
    """Return the refused address that caused an HTTP client's error; None if there was none."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, AddressRefused):
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None


def _spelt_by(url: str) -> Address | None:
    """Return the IP address that is the host of a URL; None for a name or anything else."""
    try:
        return literal_address(urlsplit(url).hostname or "")
    except ValueError:
        return None


def _is_of_this_machine(address: Address) -> bool:
    """Return whether packets to the address would be sent from it; nothing is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    towards: Sequence[Any] = (str(address), 9)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(tuple(towards))
            return ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False
