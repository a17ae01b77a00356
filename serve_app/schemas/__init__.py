"""What travels over HTTP: OpenAI's words under /v1, the seed's under /api/v1."""
