"""The connections to one upstream: where it is, how it is asked, and what its refusals say."""

import re
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from serve_app.clock import Clock
from serve_app.config.provider import ProviderConfig
from serve_app.errors import FailureKind, UpstreamError, upstream_error
from serve_app.formats.exact_json import dumps
from serve_app.providers.address_policy import DEFAULT_ENDPOINT_POLICY, AddressPolicy, EndpointPolicy
from serve_app.providers.base import Call
from serve_app.providers.catalogue.vendor import Vendor
from serve_app.providers.connections import Pool
from serve_app.providers.health_check import listed_models
from serve_app.providers.http.endpoint import Endpoint, FormEndpoint
from serve_app.providers.keys import missing_key
from serve_app.providers.openai_compatible.failures import clean, failure_of_error, failure_of_response
from serve_app.providers.reading import words_of_refusal
from serve_app.providers.timeouts import OutOfTime, Timeout, within

_VERSION = re.compile(r"/v\d+(alpha|beta)?\d*$")


def versioned(base_url: str) -> str:
    """Return the address that paths are appended to: `/v1` is added unless it ends in a version already."""
    base_url = base_url.rstrip("/")
    return base_url if _VERSION.search(urlsplit(base_url).path) else f"{base_url}/v1"


def _without_ends(base_url: str, ends: tuple[str, ...]) -> str:
    """Return the address without the path of an endpoint that was copied from the vendor's page."""
    for end in ends:
        base_url = base_url.rstrip("/").removesuffix(end)
    return base_url


class Connection:
    """Asks one upstream; the session opens with the first call."""

    def __init__(
        self,
        config: ProviderConfig,
        vendor: Vendor,
        api_key: str | None,
        clock: Clock,
        endpoint_policy: EndpointPolicy = DEFAULT_ENDPOINT_POLICY,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """As of `HttpProvider`."""
        self.provider_id = config.id
        self._config = config
        self._clock = clock
        self._base_url = versioned(_without_ends(config.base_url or vendor.base_url, vendor.extra_ends))
        self._api_key = api_key
        self._key_headers = {**vendor.headers, **vendor.key_headers(api_key)}
        self.missing_key = missing_key(config, vendor, api_key)
        self._written = endpoint_policy.written
        self._pool = Pool(AddressPolicy.of_file(self._base_url, endpoint_policy.written), resolver)
        self._moved_pool = Pool(endpoint_policy.address_policy, resolver)

    async def post(self, endpoint: Endpoint, call: Call, fields: dict[str, Any]) -> aiohttp.ClientResponse:
        """Send a request, and return the head of its answer; the body is still to be read."""
        headers = {"Content-Type": "application/json"}
        data: Any
        if isinstance(endpoint, FormEndpoint):
            data = endpoint.form(call, fields)
            del headers["Content-Type"]  # the form's has its boundary
        else:
            data = dumps(fields)
        if call.api_base is None:
            headers |= self._key_headers
        headers |= endpoint.headers(call)
        if call.request_id:
            headers["X-Request-Id"] = call.request_id
        pool = self._pool if call.api_base in (None, self._written) else self._moved_pool
        posting = pool.session.post(
            (call.api_base or self._base_url) + endpoint.path,
            data=data,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(connect=self._config.connect_timeout_s),
        )
        try:
            return await within(call.first_byte_s, Timeout.FIRST_BYTE, posting)
        except aiohttp.ConnectionTimeoutError as error:
            raise OutOfTime(Timeout.CONNECT, self._config.connect_timeout_s) from error

    async def refusal(self, response: aiohttp.ClientResponse) -> UpstreamError:
        """Return the failure that an answer other than a success is."""
        return failure_of_response(
            response.status,
            response.headers,
            await words_of_refusal(response),
            self._config.id,
            now=self._clock.now(),
            secret=self._api_key,
        )

    async def refused(self, response: aiohttp.ClientResponse) -> UpstreamError:
        """Return the same, and close the answer."""
        try:
            return await self.refusal(response)
        finally:
            response.close()

    async def models(self) -> tuple[str, ...] | UpstreamError:
        """Return the models that the upstream lists."""
        return await listed_models(
            self._pool.session,
            f"{self._base_url}/models",
            self._key_headers,
            self._config.id,
            now=self._clock.now(),
            secret=self._api_key,
        )

    def type_of(self, response: aiohttp.ClientResponse) -> str:
        """Return what it calls its answer, as written: aiohttp's small letters would hide our key."""
        written = response.headers.get("Content-Type", response.content_type)
        return self.without_key(written.partition(";")[0])

    def without_key(self, text: str) -> str:
        """Return an upstream's text without the gateway's key, in case it repeats it."""
        return clean(text, self._api_key)

    def failure_in(self, said: dict[str, Any]) -> UpstreamError:
        """Return the failure that an error object is, in place of an answer."""
        return failure_of_error(said, self.provider_id, self._api_key, 200)

    def keyless(self) -> UpstreamError:
        """Return the failure of a call without a key that is needed."""
        return upstream_error(self.missing_key or "", self._config.id, FailureKind.AUTH)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()
        await self._moved_pool.aclose()


def is_success(response: aiohttp.ClientResponse) -> bool:
    """Return whether an upstream accepted a request."""
    return 200 <= response.status < 300
