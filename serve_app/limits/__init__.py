"""Budgets and rates: the limits, the leases that routers hold of them, and the reservations of requests."""
