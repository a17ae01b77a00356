"""Translation between the caller's format and the upstream's, around a provider."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from serve_app.clock import Clock
from serve_app.errors import FailureKind, InvalidRequest, UpstreamError, upstream_error
from serve_app.formats.translation import Translate, Translation
from serve_app.formats.upstream_format import TRANSLATIONS, upstream_format
from serve_app.providers.base import Answer, Call, Health, Provider, StreamEnd, StreamHead, StreamItem
from serve_app.providers.catalogue.wire_format import WireFormat

LARGE = 250_000  # bytes of a request whose translation takes too long to let others wait

# One at a time, because they hold the GIL anyway, and need many times the request's memory.
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="translations")


def speaking(
    callers: WireFormat, provider: Provider, provider_id: str, spoken: Collection[WireFormat], clock: Clock
) -> Provider | None:
    """
    Return a provider that accepts calls in this format; None if there is no translation to its formats.

    Args:
        callers: the format of the calls.
        provider: the provider.
        provider_id: its id, for messages.
        spoken: the formats that its upstream accepts.
        clock: the source of time.
    """
    if callers in spoken:
        return provider
    upstream = upstream_format(callers, spoken)
    if upstream is None:
        return None
    return TranslatingProvider(provider, provider_id, upstream, TRANSLATIONS[callers][upstream], clock)


class TranslatingProvider:
    """
    Translates the requests to a provider, and its answers.

    The provider decides whether an answer is whole: a stream that broke off stays broken.
    """

    def __init__(
        self, provider: Provider, provider_id: str, upstream: WireFormat, translate: Translate, clock: Clock
    ) -> None:
        """
        Args:
            provider: the provider that is called.
            provider_id: its id, for messages.
            upstream: the format of its calls.
            translate: begins a translation from the caller's format into that one.
            clock: the source of time.
        """
        self._provider = provider
        self._id = provider_id
        self._upstream = upstream
        self._translate = translate
        self._clock = clock

    async def chat(self, call: Call) -> Answer | UpstreamError:
        translation = await self._begun(call)
        if isinstance(translation, UpstreamError):
            return translation
        answer = await self._provider.chat(self._translated(call, translation))
        if isinstance(answer, UpstreamError):
            return answer
        dropped = _both(translation.dropped, answer.dropped)
        return answer._replace(body=translation.answer(answer.body), dropped=dropped)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        translation = await self._begun(call)
        if isinstance(translation, UpstreamError):
            yield translation
            return
        stream = self._provider.chat_stream(self._translated(call, translation))
        way_back = translation.stream()
        try:
            async for item in stream:
                if isinstance(item, bytes):
                    if block := way_back.feed(item):
                        yield block
                elif isinstance(item, StreamHead):
                    yield replace(item, dropped=_both(translation.dropped, item.dropped))
                else:
                    if isinstance(item, StreamEnd) and (last := way_back.end()):
                        yield last
                    yield item
        finally:
            await stream.aclose()

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return await self._provider.embed(call)

    async def health(self) -> Health:
        return await self._provider.health()

    async def aclose(self) -> None:
        await self._provider.aclose()

    async def _begun(self, call: Call) -> Translation | UpstreamError:
        """Begin a translation; that of a large request in a thread, to not delay other requests."""
        if len(call.body) <= LARGE:
            return self._translation(call)
        return await asyncio.get_running_loop().run_in_executor(_THREAD, self._translation, call)

    def _translation(self, call: Call) -> Translation | UpstreamError:
        """Begin a translation; return the failure of this target if the request cannot be translated."""
        try:
            return self._translate(call.body, int(self._clock.now()))
        except InvalidRequest as error:
            return upstream_error(
                error.told, self._id, FailureKind.UNSUPPORTED, code=error.code, param=error.param
            )

    def _translated(self, call: Call, translation: Translation) -> Call:
        # A translated stream needs the usage, whether its caller asked for a frame of it or not.
        return call._replace(body=translation.body, format=self._upstream, wants_usage=True, headers=())


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*one, *other})) if one and other else one or other
