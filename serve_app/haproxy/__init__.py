"""HAProxy as Ray Serve starts it, made fit to face callers that nobody trusts."""
