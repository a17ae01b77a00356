"""
A model on the cluster's own nodes: vLLM's engine in a Ray Serve replica, behind a provider.

Imported only if a provider is configured with `local`: vLLM is an optional extra (docs/local-models.md).
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import orjson
from pydantic import TypeAdapter, ValidationError
from ray import serve
from ray.llm._internal.serve.core.configs.openai_api_models import EmbeddingRequest  # public only for chat
from ray.serve import Application
from ray.serve.llm import LLMConfig, build_llm_deployment
from ray.serve.llm.deployment import LLMServer
from ray.serve.llm.openai_api_models import ChatCompletionRequest
from vllm.exceptions import VLLMClientError

from serve_app.clock import SystemClock
from serve_app.config.local_model import Device, LocalModelConfig
from serve_app.config.provider import ProviderConfig
from serve_app.config.settings import Settings
from serve_app.config.storage import StorageConfig
from serve_app.config.web_hosts import exact_hosts
from serve_app.control.capacity import Presence
from serve_app.control.protocol import ControlUnreachable
from serve_app.deployments.control import read_only_control_client
from serve_app.deployments.options import deployment_options
from serve_app.errors import UpstreamError
from serve_app.ledger.entry import Entry
from serve_app.ledger.idle_time import IdleTime
from serve_app.observability.logs import configure_logs
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.occupancy import Occupancy
from serve_app.providers.base import Answer, Call, Health, Provider, StreamItem
from serve_app.providers.metered import MeteredProvider
from serve_app.providers.vllm_engine import LocalProvider, Said

SPEAKS_EVERY_S = 1.0
ACCOUNTS_EVERY_S = 60.0
MOST_UNWRITTEN = 10_000  # entries that wait for the ledger, a week of them
NOWHERE = "none.invalid"  # a domain that cannot exist (RFC 2606)

_CHAT: TypeAdapter[Any] = TypeAdapter(ChatCompletionRequest)
_EMBEDDING: TypeAdapter[Any] = TypeAdapter(EmbeddingRequest)

log = logging.getLogger("sekha.provider")


class VllmEngine:
    """The engine of `ray.serve.llm` as a `ModelEngine`: it yields frames at once, not in batches."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def chat(self, fields: dict[str, Any], request_id: str) -> Said:
        return self._asked(self._engine.chat, _CHAT, fields, request_id)

    def embed(self, fields: dict[str, Any], request_id: str) -> Said:
        return self._asked(self._engine.embeddings, _EMBEDDING, fields, request_id)

    async def check(self) -> None:
        await self._engine.check_health()

    async def _asked(
        self, ask: Any, question: TypeAdapter[Any], fields: dict[str, Any], request_id: str
    ) -> Said:
        # The engine knows its requests by their ids, and a caller may well send one twice.
        named = {**fields, "request_id": f"{request_id}-{uuid4().hex[:8]}"}
        try:
            request = question.validate_python(named)
        except (ValueError, VLLMClientError) as error:  # from pydantic and from vLLM's own checks
            yield _refusal(error)
            return
        async with aclosing(ask(request)) as answer:
            async for item in answer:
                yield item.encode() if isinstance(item, str) else item.model_dump_json().encode()


def _refusal(error: Exception) -> bytes:
    """Return OpenAI's error object for a request that vLLM rejects."""
    message, param = str(error), getattr(error, "parameter", None)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        message, param = first["msg"], ".".join(str(step) for step in first["loc"]) or None
    facts = {"message": message, "type": "invalid_request_error", "param": param, "code": 400}
    return orjson.dumps({"error": facts})


class LocalModelDeployment:
    """
    The deployment of a hosted model.

    The replica has the methods of a provider, so routers call it as any other, without a hop in between. It
    sends a heartbeat once a second, beginning before its engine has started.
    """

    @classmethod
    def get_deployment_options(cls, llm_config: LLMConfig) -> dict[str, Any]:
        """Return the resources that Ray has to reserve; called by `build_llm_deployment`."""
        options: dict[str, Any] = LLMServer.get_deployment_options(llm_config)
        return options

    async def __init__(  # type: ignore[misc] # Serve awaits it
        self, llm_config: LLMConfig, config: ProviderConfig, log_level: str, storage: StorageConfig
    ) -> None:
        configure_logs(log_level)
        context = serve.get_replica_context()
        self._control = read_only_control_client(context.app_name, log_level, storage)
        self._config = config
        self._name = context.replica_id.unique_id
        self._clock = SystemClock()
        self._occupancy = Occupancy()
        self._idle_time = _idle_time(config, self._name, self._clock.monotonic())
        self._unwritten: deque[Entry] = deque(maxlen=MOST_UNWRITTEN)
        self._local: LocalProvider | None = None
        self._provider: Provider | None = None
        self._tasks = [
            asyncio.create_task(self._again_and_again(self._speak, SPEAKS_EVERY_S)),
            asyncio.create_task(self._again_and_again(self._account, ACCOUNTS_EVERY_S)),
        ]
        self._server = LLMServer.sync_init(llm_config)
        try:
            await self._server.start()
        except BaseException:
            await self._say_goodbye()  # Serve ends this process without asking
            raise
        self._provider = self._local = LocalProvider(config, VllmEngine(self._server.engine), self._clock)
        if self._idle_time is not None:
            self._provider = MeteredProvider(self._local, self._clock, self._occupancy)
        await self._speak()  # before Serve lists the replica, so that routers know of it as soon

    async def chat(self, call: Call) -> Answer | UpstreamError:
        return await self._started.chat(call)

    async def chat_stream(self, call: Call) -> AsyncGenerator[StreamItem, None]:
        async with aclosing(self._started.chat_stream(call)) as stream:
            async for item in stream:
                yield item

    async def embed(self, call: Call) -> Answer | UpstreamError:
        return await self._started.embed(call)

    async def health(self) -> Health:
        return await self._started.health()

    async def wake(self) -> None:
        """Do nothing: the call itself makes Serve start a replica."""

    async def check_health(self) -> None:
        """Raise if the engine is dead or the heartbeat has stopped; Serve then replaces the replica."""
        for task in self._tasks:
            if task.done():
                task.result()
        await self._server.check_health()

    async def __del__(self) -> None:
        """Stop; Serve awaits this when it retires a replica."""
        if hasattr(self, "_tasks"):
            await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        """Send the last heartbeat and the last idle time."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._speak(is_leaving=True)
        await self._account()

    @property
    def _started(self) -> Provider:
        assert self._provider is not None  # noqa: S101 - Serve sends nothing before the constructor is done
        return self._provider

    async def _again_and_again(self, do: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            await do()
            await self._clock.sleep(every_s)

    async def _speak(self, is_leaving: bool = False) -> None:
        """Send the heartbeat: this replica, whether its engine has started, and its running requests."""
        running = 0 if self._local is None else self._local.running
        presence = Presence(self._name, self._config.id, self._local is not None, running, is_leaving)
        try:
            await self._control.heartbeat(presence)
        except ControlUnreachable as error:
            log.debug("provider '%s': the heartbeat was not delivered: %s", self._config.id, error)

    async def _account(self) -> None:
        """Submit the cost of idle time to the ledger; repeated until it is stored."""
        if self._idle_time is None:
            return
        now = self._clock.monotonic()
        if entry := self._idle_time.entry(self._clock.now(), now, self._occupancy.busy_s(now)):
            self._unwritten.append(entry)
        if not self._unwritten:
            return
        try:
            mark = await self._control.submit_recovered(tuple(self._unwritten))
        except ControlUnreachable as error:
            log.warning("provider '%s': its idle time is not recorded yet: %s", self._config.id, error)
            return
        while self._unwritten and self._unwritten[0].number <= mark.written:
            self._unwritten.popleft()


def _idle_time(config: ProviderConfig, name: str, since: float) -> IdleTime | None:
    """Return the counter of idle time; None if the machine has no hourly rate."""
    if not config.hourly_rate:
        return None
    hourly = nano_dollars(config.hourly_rate)
    return IdleTime(f"idle-{name}", config.id, config.hosted_model, hourly, since)


def local_model(config: ProviderConfig, local: LocalModelConfig, settings: Settings) -> Application:
    """Return the Serve application of a provider that hosts its model."""
    options = deployment_options(f"provider-{config.id}", config)
    named = {"name": options.pop("name")}
    return build_llm_deployment(
        llm_config_of(config, local, options),
        deployment_cls=LocalModelDeployment,
        override_serve_options=named,
        bind_kwargs={"config": config, "log_level": settings.log_level, "storage": settings.storage},
    )


def llm_config_of(config: ProviderConfig, local: LocalModelConfig, options: dict[str, Any]) -> LLMConfig:
    """Return the configuration of a hosted model for `ray.serve.llm`."""
    placement = None
    if local.bundles is not None:
        placement = {"bundles": list(local.bundles), "strategy": local.placement}
    elif local.device is Device.CPU:
        placement = {"bundles": [{"CPU": 1}] * local.devices, "strategy": local.placement}
    return LLMConfig(
        model_loading_config={"model_id": config.hosted_model, "model_source": local.source},
        engine_kwargs=engine_arguments(local, config.allowed_media_domains),
        accelerator_type=local.accelerator_type,
        accelerator_config={"kind": local.device.value},
        placement_group_config=placement,
        runtime_env=local.runtime_env or None,
        deployment_config=options,
    )


def engine_arguments(local: LocalModelConfig, media_domains: Sequence[str] = ()) -> dict[str, Any]:
    """
    Return the arguments of vLLM's engine; those of the operator's `engine` take precedence.

    Links come from callers, and this process is inside the operator's network: it fetches from
    `media_domains` alone.
    """
    arguments: dict[str, Any] = {
        "tensor_parallel_size": local.tensor_parallel,
        "pipeline_parallel_size": local.pipeline_parallel,
        "max_num_seqs": local.max_running,
        "allowed_media_domains": exact_hosts(media_domains) or [NOWHERE],
    }
    if local.tokenizer is not None:
        arguments["tokenizer"] = local.tokenizer
    if local.adapters:
        arguments["enable_lora"] = True
        arguments["max_loras"] = len(local.adapters)
        arguments["lora_modules"] = [
            {"name": name, "path": path} for name, path in sorted(local.adapters.items())
        ]
    return arguments | local.engine
