"""Sekha Serve: a multi-provider LLM gateway that runs as a Ray Serve deployment graph."""

__version__ = "2.1.0"
