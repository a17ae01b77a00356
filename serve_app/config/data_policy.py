"""The data policy of a request, and the addresses that count as local."""

from collections.abc import Iterable
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

# Suffixes that public name servers do not resolve.
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".svc", ".cluster.local")


class DataPolicy(StrEnum):
    """
    The providers that may receive a request: `any`, or `local` ones, whose data stays on local machines.
    """

    ANY = "any"
    LOCAL = "local"


def strictest(policies: Iterable[DataPolicy | None]) -> DataPolicy:
    """Return the policy that satisfies all of these; None adds nothing."""
    return DataPolicy.LOCAL if DataPolicy.LOCAL in policies else DataPolicy.ANY


def is_private_address(url: str) -> bool:
    """
    Return whether an address can only be a local machine.

    True for loopback and private IP addresses but not for link-local ones, for names without a dot
    (`localhost`, a container, a service of the same namespace), and for suffixes that are never public.
    Nothing is looked up: a public name that resolves to a private address is not recognized.
    """
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return False
    if not host:
        return False
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        name = host.rstrip(".").lower()
        return not _is_number(name) and ("." not in name or name.endswith(_PRIVATE_SUFFIXES))
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_private) and not mapped.is_link_local


def _is_number(name: str) -> bool:
    """Return whether this is an IP address written as one number, which may lead anywhere."""
    try:
        int(name, 0)
    except ValueError:
        return name.isdigit()  # Python does not read `010` as a number
    return True
