"""When to leave a provider alone, and for how long to wait: pure, with time as an argument."""
