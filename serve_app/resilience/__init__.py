"""Circuit breakers, retries and time limits. Pure: time is an argument."""
