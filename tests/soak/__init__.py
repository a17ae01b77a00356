"""Ten minutes of everything at once, and what is left of it: a measurement; see docs/performance.md."""
