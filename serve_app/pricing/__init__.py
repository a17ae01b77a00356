"""Money, usage and prices: what an answer used and what it costs."""
