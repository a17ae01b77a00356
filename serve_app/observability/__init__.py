"""Metrics, logs and alerts for operators, made from events."""
