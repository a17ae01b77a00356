"""The gateway from Python: a running one through its handle, and its parts under the seed's names."""
