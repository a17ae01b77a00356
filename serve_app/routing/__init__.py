"""Which target serves a request: pure, given prices, breaker states, latencies and chance."""
