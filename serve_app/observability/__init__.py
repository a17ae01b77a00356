"""What operators see: metrics and logs, made from events."""
