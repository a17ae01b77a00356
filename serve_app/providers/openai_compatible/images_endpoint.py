"""OpenAI's image generation, as an upstream is asked for it."""

from collections.abc import Mapping
from typing import Any

from serve_app.errors import UpstreamError
from serve_app.pricing.usage import Usage
from serve_app.providers.bodies import choices_in, usage_in
from serve_app.providers.http.endpoint import WholeAnswer
from serve_app.providers.openai_compatible.failures import broken
from serve_app.providers.openai_compatible.json_endpoint import JsonEndpoint
from serve_app.providers.whole_answer import checked


class ImagesEndpoint(JsonEndpoint):
    """`POST /images/generations` of one upstream, below its versioned address; without streams."""

    path = "/images/generations"

    def ask_for_whole(self, fields: dict[str, Any]) -> None:
        for name in ("stream", "partial_images"):  # false, null or 0, which some vendors do not know
            fields.pop(name, None)

    def whole(self, body: bytes, fields: Mapping[str, Any]) -> WholeAnswer | UpstreamError:
        answer = checked(body, self._id, "data", secret=self._api_key)
        if isinstance(answer, UpstreamError):
            return answer
        images, wanted = answer.answer["data"], choices_in(fields)
        if len(images) > wanted:
            return broken(self._id, f"sent {len(images)} images, where {wanted} were asked for", 200)
        if not all(_is_image(image) for image in images):
            return broken(self._id, "sent an image without url and b64_json", 200)
        return WholeAnswer(answer.body, _usage(answer.answer, len(images)))


def _is_image(image: Any) -> bool:
    if not isinstance(image, dict):
        return False
    return any(isinstance(image.get(name), str) and image[name] for name in ("url", "b64_json"))


def _usage(answer: dict[str, Any], images: int) -> Usage:
    """Return the usage; output without details is the pictures. Most vendors charge for these alone."""
    usage = usage_in(answer) or Usage()
    reported = answer.get("usage")
    if isinstance(reported, dict) and not isinstance(reported.get("output_tokens_details"), dict):
        usage = usage._replace(output=0, image_output=usage.image_output + usage.output)
    return usage._replace(images=images)
