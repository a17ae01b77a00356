"""Requirements of a request, read from its content and its caller's permissions."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Any

from serve_app.caller import Caller
from serve_app.config.model import CHAT_TASKS, SOUND_TASKS, ModelTask
from serve_app.config.settings import Settings
from serve_app.control.backend import OFFERED, Backend, switched_by
from serve_app.control.control_cache import ControlCache
from serve_app.errors import InvalidRequest
from serve_app.formats.chat_request import ChatRequest
from serve_app.formats.route_question import RouteQuestion
from serve_app.formats.routing_fields import Wishes
from serve_app.formats.sound_request import SoundRequest
from serve_app.formats.task_request import TaskRequest
from serve_app.formats.upstream_format import TRANSLATIONS
from serve_app.gateway.model_access import ModelAccess
from serve_app.gateway.request import GatewayRequest
from serve_app.gateway.vendor_reach import check_reach
from serve_app.pricing.asked_pieces import ASKED_PIECES
from serve_app.pricing.money import nano_dollars
from serve_app.pricing.prompt import Prompt
from serve_app.pricing.sound import ASKED_CHARACTERS, ASKED_S, LEAST_BILLED_S, MOST_HEARD_PER_S
from serve_app.pricing.usage import NO_PIECES
from serve_app.providers.catalogue.wire_format import OPENAI, WireFormat
from serve_app.routing.intent import TIERS, Intent
from serve_app.routing.requirements import Extent, Requirements

Headers = Sequence[tuple[str, str]]

_WIDER_WINDOW = re.compile(r"(^|[\s,])context-\d", re.IGNORECASE)  # one of Anthropic's betas: context-1m-…


class RequirementsReader:
    """The reader of one gateway: turns model names, routing fields and permissions into requirements."""

    def __init__(self, settings: Settings, access: ModelAccess, control: ControlCache) -> None:
        self._routing = settings.routing
        self._access = access
        self._names = access.names
        self._control = control
        limit = settings.routing.max_cost_per_request
        self._max_cost = None if limit is None else nano_dollars(limit)

    def read(self, request: GatewayRequest) -> Requirements:
        """
        Return the requirements of the request, within its caller's permissions.

        Raises:
            ModelNotFound: it names a model that is not configured, or not for this caller.
            ModelNotAllowed: it names a model that its caller may not use.
            InvalidRequest: it names an unknown task or provider, or something that is not a model.
        """
        content, caller = request.content, request.caller
        with self._access.seen_by(caller):
            if isinstance(content, ChatRequest):
                check_reach(content, caller, self._routing.allowed_mcp_servers)
                requirements = self._chat(content, caller, request.format.name, request.headers)
            elif isinstance(content, SoundRequest):
                requirements = self._sound(content, caller, request.format.name)
            elif isinstance(content, TaskRequest):
                requirements = self._of_task(content, caller, request.format.name)
            else:
                requirements = self._route(content, caller)
        return self._access.permitted(requirements, caller)

    def _chat(self, request: ChatRequest, caller: Caller, wire: WireFormat, headers: Headers) -> Requirements:
        intent, backend = self._intent(request.model)
        listed = self._listed(request.wishes, self._names.chat)
        if listed and self._names.leaves_the_choice(request.model):
            intent = listed[0]
        shows_images = self._shows_images(request)
        task = ModelTask.VISION if shows_images else intent.task
        return Requirements(
            task=task,
            preferred_model=request.preferred_model or intent.preferred_model,
            require_vision=request.require_vision or shows_images,
            require_audio=request.require_audio,
            max_cost=self._limit(request.max_cost),
            context_size=request.context_size,
            images=request.images,
            written_images=request.written_images if shows_images else 0,
            image_links=request.image_links,
            links=request.links,
            needs_own_format=request.vendor_object is not None or bool(request.mcp_servers),
            input_tokens=request.input_tokens,
            output_tokens=request.output_tokens,
            output_limit=request.output_limit,
            answers=request.answers,
            service_tier=request.service_tier,
            writes_cache=request.writes_cache,
            thinks=request.thinks,
            preferred_type=backend,
            parameters=(binding := self._binding(request)),
            format=wire,
            untranslatable=() if binding is None else _untranslatable(request, wire),
            extent=None if request.prompt is None else _extent(request, request.prompt, headers),
            source=request,
            **self._wished(task, request.wishes, [intent, *listed], caller),
        )

    def _of_task(self, request: TaskRequest, caller: Caller, wire: WireFormat) -> Requirements:
        """
        Return the requirements of a request that is no chat.

        A named model is never replaced: vectors and scores of two models cannot be compared.
        """
        meaning = self._meaning(request.task)
        intent = meaning(request.model)
        listed = self._listed(request.wishes, meaning)
        return Requirements(
            task=request.task,
            preferred_model=request.preferred_model,
            max_cost=self._limit(request.max_cost),
            links=request.links,
            input_tokens=request.input_tokens,
            parameters=self._binding(request),
            format=wire,
            extent=None if request.prompt is None else Extent(*request.prompt),
            pieces=request.pieces,
            source=request,
            **self._wished(request.task, request.wishes, [intent, *listed], caller),
        )

    def _sound(self, request: SoundRequest, caller: Caller, wire: WireFormat) -> Requirements:
        """Return the requirements of speech or of a transcript."""
        return self._of_task(request, caller, wire)._replace(
            output_tokens=0,
            seconds=ceil(request.sound.likely_s or 0),
            characters=request.characters,
            extent=_extent_of_sound(request),
        )

    def _route(self, request: RouteQuestion, caller: Caller) -> Requirements:
        known = [task.value for task in ModelTask]
        if request.task not in known:
            excerpt = request.task[:100].encode("utf-8", "replace").decode()
            raise InvalidRequest(f"Invalid task '{excerpt}'. Valid tasks: {known}", param="task")
        task = ModelTask(request.task)
        meaning = self._meaning(task)
        intents = [meaning(request.model)] if request.model else []
        intents += self._listed(request.wishes, meaning)
        return Requirements(
            task=task,
            preferred_model=request.preferred_model,
            require_vision=request.require_vision,
            require_audio=request.require_audio,
            max_cost=self._limit(request.max_cost),
            context_size=request.context_size,
            pieces=ASKED_PIECES.get(task, NO_PIECES),
            seconds=ASKED_S if task in SOUND_TASKS else 0,
            characters=ASKED_CHARACTERS if task is ModelTask.SPEECH else 0,
            **self._wished(task, request.wishes, intents, caller),
        )

    def _meaning(self, task: ModelTask) -> Callable[[str | None], Intent]:
        """Return what a model's name means in a request for this task."""
        return self._names.chat if task in CHAT_TASKS else partial(self._names.of_task, task)

    def _limit(self, max_cost: int | None) -> int | None:
        """Return the stricter of the caller's limit and the configured one, in nano-dollars."""
        if self._max_cost is None or max_cost is None:
            return self._max_cost if max_cost is None else max_cost
        return min(max_cost, self._max_cost)

    def _binding(self, request: ChatRequest | TaskRequest) -> Mapping[str, Any] | None:
        """Return the parameters that a target must accept; None: dropped parameters are only reported."""
        binds = self._routing.require_parameters or request.wishes.require_parameters
        return request.parameters if binds else None

    def _listed(self, wishes: Wishes, meaning: Callable[[str], Intent]) -> list[Intent]:
        """Return the intents of the names in `models`."""
        for name in wishes.models:
            if self._names.stands_for_many(name):
                message = f"'{name}' is not a model: 'models' takes model ids and provider/model"
                raise InvalidRequest(message, param="models")
        return [meaning(name) for name in wishes.models]

    def _wished(
        self, task: ModelTask, wishes: Wishes, intents: Sequence[Intent], caller: Caller
    ) -> dict[str, Any]:
        """Return the caller and its routing rules as fields of `Requirements`."""
        named = tuple(dict.fromkeys(intent.named for intent in intents if intent.named is not None))
        falls_back = self._routing.auto_fallback and wishes.allow_fallbacks
        is_fixed = bool(wishes.models) or not falls_back or task not in CHAT_TASKS
        only = None if wishes.only is None else self._access.providers_called(wishes.only, caller)
        order = self._access.providers_called(wishes.order, caller)
        if order and not wishes.allow_fallbacks:  # only these providers
            only = order if only is None else only & order
        return {
            "named": named,
            "only_named": bool(named) and is_fixed,
            "falls_back": falls_back,
            "only_providers": only,
            "ignored_providers": self._access.providers_called(wishes.ignore, caller),
            "provider_order": wishes.order,
            "local_only": wishes.local_only,
            "tenant": caller.tenant,
        }

    def _shows_images(self, request: ChatRequest) -> bool:
        """
        Return whether the request needs a vision model.

        A link in plain text can be read by any model, so it counts only where no model is named and a vision
        model is configured.
        """
        if not self._routing.require_vision_for_images:
            return False
        if request.images or not request.written_images:
            return request.images > 0
        if request.preferred_model is not None or request.wishes.models:
            return False
        return any(target.supports_vision for target in self._access.targets)

    def _intent(self, name: str | None) -> tuple[Intent, Backend | None]:
        """Return the intent of a model name, and the backend that operators switched to if that decides."""
        backend = switched_by(self._control.runtime_config.backend)
        if backend is None and name is not None and (own := self._names.own_type(name)):
            at_home = self._names.tier_at(name, own)
            return replace(at_home, preferred_model=TIERS[name].model_id), Backend(own)
        if backend is None or not self._names.leaves_the_choice(name):
            return self._names.chat(name), None
        offered = [tier.name for tier in OFFERED[backend]]
        if name in offered:
            return self._names.chat(name), backend
        if backend is Backend.ANTHROPIC and name not in TIERS:
            return self._names.chat(name), backend  # nothing is named: the default model for the work
        return self._names.tier_at(offered[0], backend), backend


def _untranslatable(request: ChatRequest, wire: WireFormat) -> tuple[str, ...]:
    """
    Return the parameters that are dropped if the upstream speaks another format than the caller.

    A request that cannot be translated at all drops none: its target refuses it.
    """
    translate = next(iter(TRANSLATIONS.get(wire, {}).values()), None)
    if translate is None or wire in OPENAI:
        return ()
    try:
        return translate(request.raw).dropped
    except InvalidRequest:
        return ()


def _extent(request: ChatRequest, prompt: Prompt, headers: Headers) -> Extent:
    return Extent(
        *prompt,
        thinking=request.thinking,
        searches=request.tools.searches,
        fetched=request.tools.fetched,
        unbounded_tool=request.tools.unbounded,
        lacks_uses=request.tools.lacks_uses,
        speaks=request.speaks,
        further_prompts=request.prompts - 1,
        predicted=request.predicted,
        widens_window=any(_WIDER_WINDOW.search(value) for _, value in headers),
    )


def _extent_of_sound(request: SoundRequest) -> Extent:
    """Return the bounds of speech or of a transcript."""
    size = request.prompt.size if request.prompt else 0
    most_s = request.sound.most_s
    seconds = max(ceil(most_s or 0), LEAST_BILLED_S)
    if not request.files:
        return Extent(size, seconds=seconds, speaks=True)
    return Extent(size, sound=MOST_HEARD_PER_S * seconds, seconds=seconds, is_endless=most_s is None)
