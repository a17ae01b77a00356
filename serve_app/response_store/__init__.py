"""Responses that the gateway keeps for callers of `POST /v1/responses`."""
