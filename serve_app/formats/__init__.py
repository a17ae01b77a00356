"""What callers and upstreams speak."""
