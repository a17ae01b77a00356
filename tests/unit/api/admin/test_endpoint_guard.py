"""Endpoints set at run time: what their names lead to, and private addresses where they are not allowed."""

from collections.abc import Mapping, Sequence

import pytest

from serve_app.api.admin.endpoint_guard import EndpointGuard
from serve_app.errors import InvalidRequest

pytestmark = pytest.mark.anyio

NAMES = {
    "metadata.example": ("10.0.0.9", "169.254.169.254"),
    "six.example": ("64:ff9b::a9fe:a9fe",),
    "gpu.example": ("10.0.0.9",),
    "public.example": ("93.184.216.34",),
    "box": ("10.0.0.1",),
}
SCOPE: Mapping[str, object] = {"server": ("10.0.0.1", 8443), "headers": [(b"host", b"gw.example:443")]}


async def resolve(name: str) -> Sequence[str]:
    return NAMES.get(name, ())


def guard(allow_private: bool = True) -> EndpointGuard:
    return EndpointGuard(5001, allow_private, resolve)


@pytest.mark.parametrize("host", ["metadata.example", "METADATA.example.", "six.example"])
async def test_a_name_that_leads_to_a_metadata_service_is_refused_whatever_else_it_leads_to(
    host: str,
) -> None:
    with pytest.raises(InvalidRequest, match="link-local"):
        await guard().check(f"http://{host.lower()}:8000", SCOPE)


@pytest.mark.parametrize("host", ["metadata.google.internal", "Metadata.Google.Internal.", "instance-data"])
async def test_a_metadata_service_is_refused_by_its_name_too_before_it_leads_anywhere(host: str) -> None:
    with pytest.raises(InvalidRequest, match="metadata service"):
        await guard().check(f"http://{host}/computeMetadata/v1", SCOPE)


@pytest.mark.parametrize("port", [5001, 8443, 443])
async def test_the_gateways_own_address_and_each_port_it_is_reached_by_are_refused(port: int) -> None:
    with pytest.raises(InvalidRequest, match="this gateway itself"):
        await guard().check(f"http://box:{port}", SCOPE)

    await guard().check("http://box:8000", SCOPE)
    await guard().check(f"http://gpu.example:{port}", SCOPE)


@pytest.mark.parametrize(
    "endpoint", ["http://10.0.0.9", "http://gpu.example", "http://127.0.0.1:8000", "http://[fd12::1]:1",
                 "http://100.64.1.1", "http://192.168.1.1", "http://[::ffff:10.0.0.9]", "http://0x7f.1:8000"],
)  # fmt: skip
async def test_private_addresses_are_for_a_vllm_of_ones_own_and_can_be_forbidden(endpoint: str) -> None:
    await guard().check(endpoint, SCOPE)
    with pytest.raises(InvalidRequest, match=r"backends\.allow_private"):
        await guard(allow_private=False).check(endpoint, SCOPE)


@pytest.mark.parametrize("endpoint", ["http://public.example", "https://93.184.216.34:8000"])
async def test_a_public_address_is_always_allowed(endpoint: str) -> None:
    await guard(allow_private=False).check(endpoint, SCOPE)


async def test_a_name_that_leads_nowhere_yet_is_allowed() -> None:
    await guard().check("http://not-started-yet:8000", SCOPE)
