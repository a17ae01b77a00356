"""A request for a conversation, whatever format it came in."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from serve_app.formats.routing_fields import NO_WISHES, Wishes
from serve_app.formats.vendor_objects import McpServer, VendorObject
from serve_app.pricing.prompt import Prompt

NO_PARAMETERS: Mapping[str, Any] = {}

# Members that mark a part of a prompt to be cached, which costs more than to read it: in Anthropic's words,
# and in OpenAI's, which a translation turns into the former.
CACHE_MARKS = ("cache_control", "prompt_cache_breakpoint")


class HostedTools(NamedTuple):
    """
    The tools that a request lets the vendor run.

    Fields:
        searches: how many searches, at most.
        fetched: tokens of documents that the vendor may fetch into the prompt.
        unbounded: the first tool of which nobody knows how often it runs or what a use costs.
        lacks_uses: whether a tool takes `max_uses` and the caller has set none.
    """

    searches: int = 0
    fetched: int = 0
    unbounded: str | None = None
    lacks_uses: bool = False


NO_HOSTED_TOOLS = HostedTools()


class ChatRequest(NamedTuple):
    """
    A chat request: the caller's bytes, and what routing needs to know of them.

    Fields:
        raw: the caller's bytes.
        model: the name as written; None where the gateway chooses.
        stream: whether the answer is a stream.
        wants_usage: whether the caller of a stream asked for a last chunk with the usage.
        images: image parts.
        input_tokens: an estimate, four bytes a token over everything that is text.
        output_tokens: an estimate over all answers.
        prompt: what bounds the tokens that a vendor may count.
        output_limit: the most tokens that one answer may have; None where the caller sets no limit.
        thinking: how many of these the caller asks for to think.
        answers: how many answers the caller asks for.
        prompts: how many prompts there are, each of which is answered on its own.
        predicted: the most tokens of an answer that the caller predicts, to have it faster.
        tools: what the vendor may run itself.
        speaks: whether the answer may be sound or pictures.
        service_tier: how fast the caller wants to be served, in the vendor's word.
        writes_cache: whether parts of the input are marked to be cached.
        thinks: whether the model is asked to reason first.
        preferred_model: the caller's hint; another model may answer.
        require_vision: whether the caller asks for a model that takes images.
        require_audio: whether the caller asks for a model that takes sound.
        max_cost: in nano-dollars; None: no limit.
        context_size: tokens that the context window must have; None: as the input needs.
        written_images: links and data URIs of images in plain text, counted where the gateway chooses.
        image_links: the schemes of the images that are web addresses.
        links: where the links lead that whoever runs the model fetches, each as an origin.
        vendor_object: the first thing that it names of the operator's account at the vendor; None: nothing.
        mcp_servers: the servers that the vendor is to ask for tools.
        wishes: the caller's own routing rules.
        parameters: the members of the body that are for the vendor.
    """

    raw: bytes
    model: str | None
    stream: bool
    wants_usage: bool
    images: int
    input_tokens: int
    output_tokens: int
    prompt: Prompt | None = None
    output_limit: int | None = None
    thinking: int = 0
    answers: int = 1
    prompts: int = 1
    predicted: int = 0
    tools: HostedTools = NO_HOSTED_TOOLS
    speaks: bool = False
    service_tier: str | None = None
    writes_cache: bool = False
    thinks: bool = False
    preferred_model: str | None = None
    require_vision: bool = False
    require_audio: bool = False
    max_cost: int | None = None
    context_size: int | None = None
    written_images: int = 0
    image_links: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    vendor_object: VendorObject | None = None
    mcp_servers: tuple[McpServer, ...] = ()
    wishes: Wishes = NO_WISHES
    parameters: Mapping[str, Any] = NO_PARAMETERS
