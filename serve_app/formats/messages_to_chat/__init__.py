"""Callers of Anthropic Messages, served by upstreams that speak chat completions."""
