"""OpenAI's Responses: the format of `POST /v1/responses`."""
