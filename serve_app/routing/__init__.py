"""
The choice of a target for a request. Pure: prices, breaker states, latencies and random numbers are
arguments.
"""
