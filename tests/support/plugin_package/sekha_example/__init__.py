"""A package outside the gateway that adds a strategy, a provider and a middleware to it."""
