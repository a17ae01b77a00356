"""OpenAI's edits of images, as an upstream is asked for them."""

from collections.abc import Mapping
from typing import Any

import aiohttp

from serve_app.providers.base import Call
from serve_app.providers.http.endpoint import FormEndpoint
from serve_app.providers.openai_compatible.images_endpoint import ImagesEndpoint
from serve_app.providers.openai_compatible.sent_form import form_with


class ImageEditsEndpoint(ImagesEndpoint, FormEndpoint):
    """`POST /images/edits` of one upstream: a form with pictures; it answers as for generations."""

    path = "/images/edits"

    def form(self, call: Call, fields: Mapping[str, Any]) -> aiohttp.FormData:
        return form_with(fields, call.files)
