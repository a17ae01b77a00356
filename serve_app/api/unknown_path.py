"""Hints for clients that request an unknown path: most often their base URL is wrong."""

import re

_HINTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), hint)
    for pattern, hint in (
        (r"/v1/v1(/|$)", "the base URL has /v1 twice: end it in /v1 once"),
        (r"/api/v1/messages(/|$)|/anthropic(/|$)", "Anthropic clients add /v1 to the base URL themselves"),
        (r"/v1/messages/batches(/|$)", "message batches are not served"),
        (
            r"/v1/responses/[^/]+/(?!(input_items|cancel)$)",
            "this part of the Responses API is not served; /docs lists what is",
        ),
        (
            r"/((chat/)?completions|models|responses|rerank|moderations|images/(generations|edits)|"
            r"audio/(speech|transcriptions|translations))$",
            "the base URL has to end in /v1",
        ),
        (
            r"/api/(chat|generate|tags|show|embed|embeddings|ps|version)$",
            "Ollama's own API is not served: use an OpenAI client with the base URL ending in /v1",
        ),
        (
            r"/(v1beta|v1)/models/[^/]+:\w+$",
            "Gemini's own API is not served: use an OpenAI client with the base URL ending in /v1",
        ),
        (
            r"/openai/(deployments|v1)(/|$)",
            "Azure's paths are not served: use an OpenAI client with the base URL ending in /v1",
        ),
        (
            r"/(v1/)?images/variations$",
            "variations of images, which only dall-e-2 makes, are not served; use POST /v1/images/edits",
        ),
        (
            r"/v1/(audio/voices|images(?!/(generations|edits)$)|files|batches|assistants|threads|fine_tuning|realtime)"
            r"(/|$)",
            "this part of OpenAI's API is not served; /docs lists what is",
        ),
    )
)


def hint_for(path: str) -> str | None:
    """Return a hint for a client that requested this path; None for a path without a known cause."""
    return next((hint for pattern, hint in _HINTS if pattern.match(path)), None)
