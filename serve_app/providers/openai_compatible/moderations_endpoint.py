"""OpenAI's moderations, as an upstream is asked for them."""

from collections.abc import Mapping
from typing import Any

from serve_app.errors import UpstreamError
from serve_app.formats.openai_moderations import results_for
from serve_app.providers.bodies import usage_in
from serve_app.providers.http.endpoint import WholeAnswer
from serve_app.providers.openai_compatible.failures import broken
from serve_app.providers.openai_compatible.json_endpoint import JsonEndpoint
from serve_app.providers.whole_answer import checked


class ModerationsEndpoint(JsonEndpoint):
    """`POST /moderations` of one upstream, below its versioned address; it has no streams."""

    path = "/moderations"

    def whole(self, body: bytes, fields: Mapping[str, Any]) -> WholeAnswer | UpstreamError:
        answer = checked(body, self._id, "results", secret=self._api_key)
        if isinstance(answer, UpstreamError):
            return answer
        results, wanted = answer.answer["results"], results_for(fields["input"])
        if len(results) != wanted:
            return broken(self._id, f"sent {len(results)} results, where {wanted} were asked for", 200)
        # Mistral's have no `flagged`.
        if not all(isinstance(result, dict) and "categories" in result for result in results):
            return broken(self._id, "sent a result without categories", 200)
        return WholeAnswer(answer.body, usage_in(answer.answer))
