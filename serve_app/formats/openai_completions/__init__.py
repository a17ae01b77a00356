"""OpenAI's text completions: the format of `POST /v1/completions`."""
