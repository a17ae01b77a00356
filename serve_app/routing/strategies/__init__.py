"""One way to order candidates per file."""
