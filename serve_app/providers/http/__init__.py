"""Upstreams that are called over a pool of HTTP connections, each format in its own words."""
