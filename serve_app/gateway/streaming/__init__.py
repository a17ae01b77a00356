"""Delivery of streams to callers: passed through, resumed, or held back until whole."""
