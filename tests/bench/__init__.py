"""What the gateway costs, beside its peers: `python -m tests.bench`. How to read it: docs/performance.md."""
