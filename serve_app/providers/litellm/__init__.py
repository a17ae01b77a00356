"""Providers that are called through LiteLLM."""
