"""Callers of chat completions, served by upstreams that speak Anthropic Messages."""
