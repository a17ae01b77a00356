"""The life of one request, from its plan to its answer."""
